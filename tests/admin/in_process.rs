//! What no server can be brought to from outside: a store never heard of, a change never read back, an unknown peer.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use key_ip_sentinel::{
    admin::{
        self,
        api::{
            BanRequest, ClaimKeyRequest, ExplainRequest, GetStatusRequest, ListAuditRequest, ListKeysRequest,
            NoteRequest, PromoteRequest, SetNetworksRequest, UndoRequest, admin_client::AdminClient,
            note_request::Note,
        },
        service::Service,
    },
    cache::Cached,
    client_ip::{Resolver, Source},
    credential::{Credentials, Options, Profile},
    domain::KeyRing,
    engine::Engine,
    events::{self, Events},
    net::caller::Callers,
    replication::ChangeNotifier,
    settings::{LiveSettings, Settings},
    store::{AuditQuery, ReplicaState, Revision, Store, rekey},
    telemetry::{
        health::{Health, LastPoll},
        metrics::Metrics,
    },
};
use tokio::{
    net::{TcpListener, UnixListener},
    sync::oneshot,
    time::Instant,
};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::{Code, transport::Server};

use crate::{
    KEY, by_key, client,
    common::{
        PATIENCE,
        database::{Database, heard},
    },
    pepper,
    run::run,
};

/// The API over a real store, without the Follower: the test sets its replica state.
struct Parts {
    dir: tempfile::TempDir,
    store: Arc<dyn Store>,
    replica_state: Arc<ReplicaState>,
}

fn ring() -> Arc<KeyRing> {
    Arc::new(KeyRing::new(pepper().into(), "default", true))
}

impl Parts {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Database::new(dir.path().join("sentinel.db")).await.open(&pepper().into()).await;
        Self { dir, store, replica_state: Arc::new(ReplicaState::new(Instant::now())) }
    }

    fn service(&self) -> Arc<Service> {
        let profile = Profile::by_name("generic").unwrap();
        let metrics = Metrics::new().unwrap().store;
        let cached = Arc::new(
            Cached::new(self.store.clone(), 16 * Cached::TYPICAL_KEY, metrics, |_| {}).with_patience(PATIENCE),
        );
        let settings = Settings { check_deadline: Duration::from_secs(10), ..Settings::default() };
        Arc::new(Service {
            client_ip: Resolver { source: Source::Peer, trusted_proxies: Vec::new(), nat64: Vec::new() },
            callers: Callers::Local,
            engine: Arc::new(Engine::new(ring(), rekey::Queue::new().0, cached, self.replica_state.clone())),
            settings: Arc::new(LiveSettings::new(settings)),
            store: self.store.clone(),
            upkeep: self.store.clone(),
            ring: ring(),
            credentials: Credentials { profile, route_profiles: Vec::new(), options: Options::default() },
            events: self.events(),
            notifier: ChangeNotifier::default(),
            replica_state: self.replica_state.clone(),
            health: Arc::new(Health::new(|_| LastPoll::default())),
            store_url: "sqlite:sentinel.db".to_owned(),
            started: Instant::now(),
        })
    }

    /// Stores nothing: operators' changes are published as already stored.
    fn events(&self) -> Events {
        let options = events::Options { directory: self.dir.path().join("audit"), spill_max: 0, mask_addresses: false };
        let (metrics, stop) = (Metrics::new().unwrap().audit, oneshot::channel().1);
        Events::new(self.store.clone(), self.replica_state.clone(), metrics, &options, Vec::new(), stop).unwrap().0
    }

    fn serve(&self) -> PathBuf {
        let socket = self.dir.path().join("admin.sock");
        let incoming = UnixListenerStream::new(UnixListener::bind(&socket).unwrap());
        let service = admin::grpc::server(self.service());
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        socket
    }

    async fn records(&self) -> usize {
        self.store.audit(AuditQuery { limit: 10, ..AuditQuery::ALL }).await.unwrap().len()
    }
}

fn ban() -> BanRequest {
    BanRequest { key: by_key(KEY), ..Default::default() }
}

async fn sentinel_ban(socket: &Path) -> crate::Seen {
    let socket = format!("unix:{}", socket.display());
    let command = move || run(&["ban", "--key-file", "-", "--admin", &socket], KEY.as_bytes());
    tokio::task::spawn_blocking(command).await.unwrap()
}

#[tokio::test]
async fn before_the_first_poll_there_is_no_clock_and_no_change() {
    let parts = Parts::new().await;
    let socket = parts.serve();
    let mut api = client(&socket).await;
    for status in [
        api.ban(ban()).await.unwrap_err(),
        api.undo(UndoRequest { record: 1 }).await.unwrap_err(),
        api.promote(PromoteRequest { dry_run: true }).await.unwrap_err(),
        api.list_keys(ListKeysRequest::default()).await.unwrap_err(),
        api.list_audit(ListAuditRequest::default()).await.unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        assert!(status.message().contains("has not reached its store"), "{status:?}");
    }
    assert_eq!(sentinel_ban(&socket).await.code, 3);
    let head = format!("GET / HTTP/1.1\nx-api-key: {KEY}\n").into_bytes();
    let request = ExplainRequest { head, peer: "203.0.113.7".to_owned(), ..Default::default() };
    let explained = api.explain(request).await.unwrap().into_inner();
    assert_eq!((explained.reason.as_str(), explained.looked_up, explained.now_ms), ("store_unavailable", false, 0));
    let status = api.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.serving, status.since_poll_ms, status.learned), (false, None, Some(0)));
    assert_eq!(parts.records().await, 0);
}

#[tokio::test]
async fn a_change_that_is_not_read_back_says_so() {
    let parts = Parts::new().await;
    parts.replica_state.polled(&heard(&*parts.store, Revision(0)).await, Instant::now());
    let socket = parts.serve();
    assert!(!client(&socket).await.ban(ban()).await.unwrap().into_inner().in_effect);
    let seen = sentinel_ban(&socket).await;
    assert!(seen.code == 0 && seen.err.starts_with("warning: the change is stored, but"), "{seen:?}");
    assert_eq!(parts.records().await, 2);
}

#[tokio::test]
async fn a_peer_without_credentials_is_refused() {
    let parts = Parts::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let service = admin::grpc::server(parts.service());
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));
    let mut api = AdminClient::connect(address).await.unwrap();
    let networks = vec!["10.0.0.0/8".to_owned()];
    let set = SetNetworksRequest { key: by_key(KEY), networks: networks.clone(), reserve: false };
    for status in [
        api.get_status(GetStatusRequest {}).await.unwrap_err(),
        api.ban(ban()).await.unwrap_err(),
        api.set_networks(set).await.unwrap_err(),
        api.claim_key(ClaimKeyRequest { key: by_key(KEY), networks }).await.unwrap_err(),
        api.note(NoteRequest { key: by_key(KEY), note: Some(Note::Remove(true)) }).await.unwrap_err(),
        api.promote(PromoteRequest { dry_run: false }).await.unwrap_err(),
        api.undo(UndoRequest { record: 1 }).await.unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    }
    assert_eq!(parts.records().await, 0);
}

//! A store in memory, just true enough to be asked, and a server for it on a real unix socket.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use key_ip_sentinel::{
    admin::{self, Deps, Operations, StatusView, api::admin_client::AdminClient},
    domain::{
        ApiKey, Ban, Binding, KeyDigest, KeyFacts, KeyHasher, KeyId, Pepper, State, Timestamp,
        event::{EventKind, Record},
        key::Hint,
    },
    store::{
        Action, Applied, AuditQuery, Change, ChangeError, Changes, Claim, Claimed, Counts, KeyQuery, KeyRow, Reading,
        Refusal, RefusedNetwork, Revision, Store, StoreError, Target,
    },
};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Channel, Endpoint, Server};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_770_000_000_000);
pub(crate) const KEY: &str = "sk-live-0123456789abcdef";

pub(crate) fn hasher() -> KeyHasher {
    KeyHasher::new(Pepper::new(&[7; 32]).unwrap(), "default", true)
}

pub(crate) fn id_of(key: &str) -> KeyId {
    hasher().digest(&ApiKey::new(key.into())).new_id()
}

pub(crate) fn learned(id: KeyId, network: &str) -> KeyRow {
    let binding = Binding {
        id,
        hint: Some(Hint::from_stored("sk-l…cdef".into())),
        state: State::Learned,
        networks: vec![network.parse().unwrap()],
        created_at: NOW.before(Duration::from_secs(180)),
    };
    KeyRow { key_id: id, facts: KeyFacts { binding: Some(binding), ban: None } }
}

pub(crate) fn record(kind: EventKind, id: KeyId, actor: Option<&str>) -> Record {
    Record {
        kind,
        reason: None,
        key_id: Some(id),
        network: None,
        count: 1,
        first_at: NOW,
        last_at: NOW,
        actor: actor.map(str::to_owned),
        decision_id: None,
        detail: None,
    }
}

#[derive(Default)]
pub(crate) struct FakeStore {
    pub(crate) rows: Mutex<Vec<KeyRow>>,
    pub(crate) log: Mutex<Vec<Record>>,
    pub(crate) audit_queries: Mutex<Vec<AuditQuery>>,
    pub(crate) lost: Mutex<bool>,
    /// How long a change takes to answer once it is made.
    pub(crate) slow: Mutex<Duration>,
}

impl FakeStore {
    fn check(&self) -> Result<(), StoreError> {
        if *self.lost.lock().unwrap() {
            return Err(StoreError::Unavailable("disk /secret/path is full".into()));
        }
        Ok(())
    }

    /// The row's place, made for a key that was never seen.
    fn place(&self, target: &Target) -> Result<usize, Refusal> {
        let mut rows = self.rows.lock().unwrap();
        let prefix = match target {
            Target::Id(prefix) => prefix.as_str().to_owned(),
            Target::Key(key) => key.digest.new_id().to_string(),
        };
        let found: Vec<usize> = (0..rows.len()).filter(|&i| rows[i].key_id.to_string().starts_with(&prefix)).collect();
        match (found.as_slice(), target) {
            ([one], _) => Ok(*one),
            ([], Target::Key(key)) => {
                rows.push(KeyRow { key_id: key.digest.new_id(), facts: KeyFacts::default() });
                Ok(rows.len() - 1)
            }
            ([], Target::Id(_)) => Err(Refusal::NotFound),
            (many, _) => Err(Refusal::Ambiguous(many.iter().map(|&i| rows[i].key_id).collect())),
        }
    }
}

fn act(facts: &mut KeyFacts, id: KeyId, action: Action, actor: &str, now: Timestamp) -> Result<EventKind, Refusal> {
    let binding = facts.binding.as_mut().ok_or(Refusal::NotBound(id));
    match action {
        Action::Reserve => {
            binding.map(|binding| (binding.networks.clear(), binding.state = State::Pinned))?;
        }
        Action::HandOver(to) => {
            binding.map(|binding| (binding.networks = vec![to], binding.state = State::Pinned))?;
        }
        Action::Open => {
            binding?;
            facts.binding = None;
        }
        Action::Ban { lasting, reason } => {
            let until = lasting.map(|lasting| now.after(lasting));
            facts.ban = Some(Ban { id, hint: None, until, reason, actor: actor.to_owned(), created_at: now });
            return Ok(EventKind::Ban);
        }
        Action::Unban => {
            facts.ban.take().ok_or(Refusal::NotBanned(id))?;
            return Ok(EventKind::Unban);
        }
    }
    Ok(EventKind::Unbind)
}

#[async_trait]
impl Store for FakeStore {
    async fn lookup(&self, _: &KeyDigest) -> Result<Reading, StoreError> {
        unreachable!("admin never looks up")
    }

    async fn claim(&self, _: Claim) -> Result<Claimed, StoreError> {
        unreachable!("admin never claims")
    }

    async fn apply(&self, change: Change, actor: &str, now: Timestamp) -> Result<Applied, ChangeError> {
        self.check()?;
        let slow = *self.slow.lock().unwrap();
        let place = self.place(&change.target)?;
        let mut row = self.rows.lock().unwrap()[place].clone();
        let before = row.facts.clone();
        let kind = act(&mut row.facts, row.key_id, change.action, actor, now)?;
        self.rows.lock().unwrap()[place] = row.clone();
        tokio::time::sleep(slow).await;
        let record = record(kind, row.key_id, Some(actor));
        self.log.lock().unwrap().push(record.clone());
        let refused = vec![RefusedNetwork { network: "198.51.100.9/32".parse().unwrap(), count: 12, last_at: NOW }];
        Ok(Applied { revision: Revision(7), key_id: row.key_id, before, after: row.facts, refused, record })
    }

    async fn changes_after(&self, _: Revision) -> Result<Changes, StoreError> {
        unreachable!("admin never follows")
    }

    async fn keys(&self, query: KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
        self.check()?;
        Ok(self.rows.lock().unwrap().iter().take(query.limit as usize).cloned().collect())
    }

    async fn find(&self, target: Target) -> Result<KeyRow, ChangeError> {
        self.check()?;
        let place = self.place(&target)?;
        Ok(self.rows.lock().unwrap()[place].clone())
    }

    async fn append_audit(&self, _: Vec<Record>) -> Result<(), StoreError> {
        unreachable!("admin never appends")
    }

    async fn audit(&self, query: AuditQuery) -> Result<Vec<Record>, StoreError> {
        self.check()?;
        self.audit_queries.lock().unwrap().push(query);
        Ok(self.log.lock().unwrap().iter().rev().cloned().collect())
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.check()?;
        Ok(Counts { learned: 3, pinned: 2, reserved: 1, banned: 0 })
    }
}

/// A running server; ends with the test's runtime.
pub(crate) struct Fake {
    pub(crate) store: Arc<FakeStore>,
    /// What was published, and the kinds of the records that were announced.
    pub(crate) published: Arc<Mutex<Vec<Revision>>>,
    pub(crate) recorded: Arc<Mutex<Vec<Record>>>,
    /// `None` stands for a process that has not polled its store yet.
    pub(crate) clock: Arc<Mutex<Option<Timestamp>>>,
    pub(crate) socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Fake {
    pub(crate) async fn start(rows: Vec<KeyRow>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("admin.sock");
        let store = Arc::new(FakeStore { rows: Mutex::new(rows), ..FakeStore::default() });
        let (published, recorded) = (Arc::default(), Arc::default());
        let clock = Arc::new(Mutex::new(Some(NOW)));
        let fake = Self { store, published, recorded, clock, socket, _folder: folder };
        serve(&fake.socket, fake.deps());
        fake
    }

    pub(crate) fn deps(&self) -> Deps {
        let (published, recorded, clock) = (self.published.clone(), self.recorded.clone(), self.clock.clone());
        let applied = self.published.clone();
        Deps {
            store: self.store.clone(),
            hasher: hasher(),
            read_key: |text| text.starts_with("sk-").then(|| ApiKey::new(text.to_owned())),
            publish: Arc::new(move |revision| {
                published.lock().unwrap().push(revision);
                Box::pin(async {})
            }),
            recorded: Arc::new(move |record| recorded.lock().unwrap().push(record.clone())),
            now: Arc::new(move || *clock.lock().unwrap()),
            status: Arc::new(move || status(applied.lock().unwrap().last().copied().unwrap_or_default())),
        }
    }

    pub(crate) async fn client(&self) -> AdminClient<Channel> {
        connect(&self.socket).await
    }

    /// A second server on the same store, with other dependencies.
    pub(crate) async fn serve_also(&self, deps: Deps) -> AdminClient<Channel> {
        let socket = self.socket.with_extension("2");
        serve(&socket, deps);
        connect(&socket).await
    }
}

fn serve(socket: &Path, deps: Deps) {
    let service = admin::grpc::service(Operations::new(deps));
    let incoming = UnixListenerStream::new(UnixListener::bind(socket).unwrap());
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
}

async fn connect(socket: &Path) -> AdminClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap();
    AdminClient::new(endpoint.connect().await.unwrap())
}

fn status(applied_revision: Revision) -> StatusView {
    StatusView {
        version: "0.1.0",
        pid: 42,
        uptime: Duration::from_secs(3661),
        serving: true,
        mode: "enforce".into(),
        store: "sqlite:sentinel.db".into(),
        applied_revision,
        since_poll: Some(Duration::from_millis(250)),
        pepper: hasher().pepper().id(),
        realm: "default".into(),
    }
}

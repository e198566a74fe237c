//! The only wiring: [`Config`] → store → engine → servers, and their end.

mod checks;
pub mod pepper;
mod preflight;
mod reload;
mod replicas;
mod servers;
mod shutdown;
mod store;

use std::{error::Error, io, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use nix::sys::stat::{Mode, umask};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
    task::JoinSet,
    time::{Instant, timeout},
};
use tonic::transport::server::Router;
use tracing::{info, warn};

use crate::{
    admin,
    cache::Cached,
    config::{self, Config},
    domain::{KeyRing, Peppers},
    engine::Engine,
    events::{self, Audit},
    ext_authz::{Authorization, Manner, SERVICE, Server},
    maintenance::{self, jobs, last_seen},
    net::{
        caller::Callers,
        listen::{Access, Address, Listener},
    },
    replication::{ChangeNotifier, Follower},
    store::{ReplicaState, Revision, Store, observed::Observed, rekey},
    telemetry::{
        health::{self, Health},
        logs::{self, Log},
        metrics::Metrics,
    },
};

pub use preflight::refusals;
use reload::Reload;
pub use reload::Source;
use replicas::Replicas;
use shutdown::{Drain, Signals};
use store::Opened;

/// Whatever ends the process; the text is for the operator.
pub type Fatal = Box<dyn Error + Send + Sync>;

/// Keys that the process keeps in memory; the least used make room.
const CACHED_KEYS: usize = 1_000_000;

/// How late a replica may learn of a change without a hint.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long a stopping process waits for the times of last use to be written.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// How long the first poll may hold up the first answer. A store that takes longer is away.
const FIRST_POLL: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or SIGINT, then drains.
pub async fn serve(config: Config, source: Source) -> Result<(), Fatal> {
    let log = logs::init(config.log_level);
    // Before any file or socket exists: what is made is ours alone until a mode is set.
    umask(Mode::from_bits_truncate(0o077));
    preflight::make_data_dir(&config.data_dir)?;
    let opened = store::open(&config)?;
    let listeners = Listeners::bind(&config).await?;
    listeners.announce()?;
    if config.callers == Callers::Unauthenticated {
        warn!(
            "listen.allow_unauthenticated_callers: whoever reaches listen.grpc can claim any client address; only the \
             network keeps him out"
        );
    }
    run(config, opened, listeners, Signals::new()?, (source, log)).await
}

/// Brings the store's schema up to date, once; answers where the store is.
pub async fn migrate(config: &Config) -> Result<String, Fatal> {
    if let config::Store::Sqlite(_) = config.store {
        preflight::make_data_dir(&config.data_dir)?;
    }
    store::migrate(config).await
}

/// The bound sockets.
pub struct Listeners {
    grpc: Listener,
    http: Listener,
    admin: Listener,
}

impl Listeners {
    /// Binds everything before anything is served.
    async fn bind(config: &Config) -> Result<Self, Fatal> {
        let private = Access { mode: 0o600, group: None };
        Ok(Self {
            admin: Listener::bind(&Address::Unix(config.admin.clone()), &private).await?,
            grpc: Listener::bind(&config.grpc, &config.grpc_access).await?,
            http: Listener::bind(&config.http, &private).await?,
        })
    }

    fn announce(&self) -> io::Result<()> {
        let [grpc, http, admin] = [self.grpc.address()?, self.http.address()?, self.admin.address()?];
        info!(%grpc, %http, %admin, version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "listening");
        Ok(())
    }
}

/// Serves on `listeners` until a signal has come and the drain is over, or until any task ends.
async fn run(
    config: Config,
    opened: Opened,
    listeners: Listeners,
    signals: Signals,
    (source, log): (Source, Log),
) -> Result<(), Fatal> {
    let Opened { store, peppers, place, keep } = opened;
    let mut tasks: JoinSet<Result<(), Fatal>> = JoinSet::new();
    let (core, rekeys) = Core::new(store, peppers, place, &config, &mut tasks)?;
    let (stop_audit, audit_stopped) = oneshot::channel();
    let (audit, pipeline) = core.audit(&config, audit_stopped)?;
    let pipeline = tokio::spawn(pipeline);
    let (stop_last_seen, last_seen_stopped) = oneshot::channel();
    let last_seen =
        tokio::spawn(last_seen::write(Arc::clone(&core.store), Arc::clone(&core.cached), last_seen_stopped));

    let hint = core.notifier.signal().clone();
    tasks.spawn(async move { Err(keep.run(move || hint.wake()).await) });
    let archive_after = core.spawn_upkeep(&config, rekeys, &mut tasks);
    let (hangup, reload) = (signal(SignalKind::hangup())?, core.reload(&config, source, archive_after, log));
    tasks.spawn(async move { match reload.run(hangup).await {} });
    let admin = core.admin(&config);
    tasks.spawn(servers::admin(admin, listeners.admin));
    tasks.spawn(servers::http(health::http(Arc::clone(&core.health), core.metrics.exposition.clone()), listeners.http));
    let (health_service, keep_health) = health::grpc(Arc::clone(&core.health), SERVICE).await;
    tasks.spawn(async move {
        keep_health.await;
        Ok(())
    });
    let (drain, mut draining) = watch::channel(false);
    // Calls that came meanwhile wait in the socket's backlog: better than telling owners that the store is unavailable.
    let _ = timeout(FIRST_POLL, core.view.has_applied(Revision::default())).await;
    let services = checks::Services { checks: core.checks(&config, audit), health: health_service };
    let checks = checks::serve(services, listeners.grpc, async move {
        // The sender outlives the server; if it did not, ending would still be right.
        let _ = draining.wait_for(|draining| *draining).await;
    });
    let drain = Drain { delay: config.drain_delay, deadline: config.drain_deadline, health: core.health, start: drain };
    let ended = drain.serve_until_signal(tokio::spawn(checks), tasks, signals).await;
    let _ = stop_audit.send(());
    let _ = stop_last_seen.send(());
    pipeline.await?;
    // A store that hangs has held up the audit already; when keys were last used is not worth more.
    let _ = timeout(LAST_WRITE, last_seen).await;
    info!("stopped");
    ended
}

/// What the servers share.
struct Core {
    metrics: Metrics,
    store: Arc<dyn Store>,
    view: Arc<ReplicaState>,
    cached: Arc<Cached>,
    engine: Arc<Engine>,
    notifier: ChangeNotifier,
    health: Arc<Health>,
    ring: Arc<KeyRing>,
    /// The store, as an operator calls it.
    place: String,
    manner: Arc<ArcSwap<Manner>>,
    started: Instant,
}

impl Core {
    fn new(
        store: Arc<dyn Store>,
        peppers: Peppers,
        place: String,
        config: &Config,
        tasks: &mut JoinSet<Result<(), Fatal>>,
    ) -> Result<(Self, rekey::Batches), Fatal> {
        let metrics = Metrics::new()?;
        let store: Arc<dyn Store> = Arc::new(Observed::new(store, metrics.store.clone()));
        let started = Instant::now();
        let view = Arc::new(ReplicaState::new(started));
        let ring = Arc::new(KeyRing::new(peppers, &config.realm, config.hint));
        let Replicas { notifier, shared, work } = replicas::join_them(config, &ring, &view, &metrics.store);
        tasks.spawn(async move { match work.await {} });
        let cached = Cached::new(Arc::clone(&store), CACHED_KEYS, metrics.store.clone(), events::log)
            .with_patience(config.check_deadline);
        let cached = Arc::new(match shared {
            Some(shared) => cached.with_shared(shared),
            None => cached,
        });
        let (rekeys, batches) = rekey::Queue::new();
        let (peppers, keys, clock) = (Arc::clone(&ring), Arc::clone(&cached), Arc::clone(&view));
        let core = Self {
            engine: Arc::new(Engine::new(peppers, rekeys, keys, clock, config.engine.clone())),
            cached,
            health: Arc::new(Health::new(Arc::clone(&view), config.engine.stale_grace)),
            notifier,
            metrics,
            store,
            view,
            ring,
            place,
            manner: Arc::new(ArcSwap::from_pointee(Manner {
                help: config.help.clone(),
                check_deadline: config.check_deadline,
            })),
            started,
        };
        Ok((core, batches))
    }

    fn audit(
        &self,
        config: &Config,
        stop: oneshot::Receiver<()>,
    ) -> Result<(Audit, impl Future<Output = ()> + Send + use<>), Fatal> {
        let folder = config.data_dir.join("audit");
        let options = events::Options {
            folder: folder.clone(),
            spill_max: config.audit.spill_max,
            mask_addresses: config.audit.mask_addresses,
        };
        let (store, view) = (Arc::clone(&self.store), Arc::clone(&self.view));
        Audit::new(store, view, self.metrics.audit.clone(), &options, stop)
            .map_err(|cause| format!("{}: {cause}", folder.display()).into())
    }

    /// Starts what runs beside the requests. What is returned changes `binding.archive_after`.
    fn spawn_upkeep(
        &self,
        config: &Config,
        rekeys: rekey::Batches,
        tasks: &mut JoinSet<Result<(), Fatal>>,
    ) -> watch::Sender<Duration> {
        let follower = Follower {
            store: Arc::clone(&self.store),
            cached: Arc::clone(&self.cached),
            view: Arc::clone(&self.view),
            signal: self.notifier.signal().clone(),
            poll_interval: POLL_INTERVAL,
            ring: Arc::clone(&self.ring),
            metrics: self.metrics.store.clone(),
        };
        let health = Arc::clone(&self.health);
        tasks.spawn(async move { Err(follower.run(move |now| health.judge(now)).await.into()) });
        let count =
            jobs::count_bindings(Arc::clone(&self.store), Arc::clone(&self.view), self.metrics.bindings.clone());
        let upkeep = jobs::drain_histograms(self.metrics.exposition.clone());
        let (changes, archive_after) = watch::channel(config.archive_after);
        let (store, view) = (Arc::clone(&self.store), Arc::clone(&self.view));
        let archive = jobs::archive(store, view, archive_after, config.engine.stale_grace);
        let rekey = maintenance::rekey::run(rekeys, Arc::clone(&self.store), Arc::clone(&self.view));
        tasks.spawn(async move { match tokio::join!(count, upkeep, archive, rekey) {} });
        let view = Arc::clone(&self.view);
        let (store, retention) = (Arc::clone(&self.store), config.audit.retention);
        let prune = jobs::delete_what_is_over(store, retention, move || view.time(Instant::now()));
        tasks.spawn(async move { match prune.await {} });
        changes
    }

    fn reload(&self, running: &Config, source: Source, archive_after: watch::Sender<Duration>, log: Log) -> Reload {
        Reload {
            source,
            running: running.clone(),
            engine: Arc::clone(&self.engine),
            manner: Arc::clone(&self.manner),
            archive_after,
            log,
            metrics: self.metrics.reload.clone(),
        }
    }

    fn admin(&self, config: &Config) -> Router {
        let service = admin::service::Service {
            store: Arc::clone(&self.store),
            ring: Arc::clone(&self.ring),
            credentials: config.credentials.clone(),
            client_ip: config.client_ip.clone(),
            callers: config.callers.clone(),
            engine: Arc::clone(&self.engine),
            check_deadline: config.check_deadline,
            notifier: self.notifier.clone(),
            view: Arc::clone(&self.view),
            health: Arc::clone(&self.health),
            place: self.place.clone(),
            started: self.started,
        };
        tonic::transport::Server::builder().add_service(admin::grpc::server(Arc::new(service)))
    }

    fn checks(&self, config: &Config, audit: Audit) -> Server {
        let authorization = Authorization {
            callers: config.callers.clone(),
            client_ip: config.client_ip.clone(),
            credentials: config.credentials.clone(),
            manner: Arc::clone(&self.manner),
            engine: Arc::clone(&self.engine),
            audit,
            metrics: self.metrics.checks.clone(),
        };
        Server::new(Arc::new(authorization))
    }
}

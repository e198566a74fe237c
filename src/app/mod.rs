//! The only wiring: [`Config`] → store → engine → servers, and the shutdown.

mod data_dir;
pub mod pepper;
mod preflight;
mod reload;
mod replicas;
mod servers;
mod shutdown;
mod store;

use std::{io, sync::Arc, time::Duration};

use futures_util::FutureExt;
use nix::sys::stat::{Mode, umask};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout},
};
use tracing::{info, warn};

use crate::{
    admin::service::Service,
    cache::Cached,
    config::{self, Config},
    domain::{KeyRing, Peppers, event::Record},
    engine::Engine,
    events::{self, Event, Events, JsonLog},
    ext_authz::{Authorization, Parts, SERVICE, Server},
    maintenance::{archive::Archive, counts, last_seen, rekey as rekey_job, retention, write_check},
    net::{
        accept::{Acceptor, Slots},
        caller::Callers,
        http2,
        listen::{Access, Address, Listener},
    },
    replication::{ChangeNotifier, Follower},
    settings::LiveSettings,
    store::{ReplicaState, Revision, Store, WriteObstacle, measured::Measured, rekey},
    telemetry::{
        health::{Health, LastPoll},
        logs::{self, Log},
        metrics::{self, Metrics},
        probes,
    },
};

pub use preflight::{Preflight, check_config};
use reload::Reload;
pub use reload::Source;
use replicas::Replicas;
use servers::ChecksAndHealth;
pub use shutdown::Fatal;
use shutdown::{Drain, Signals};
use store::Opened;

/// The most bytes that the in-process cache takes; the least used keys are evicted. They hold 1,000,000 typical keys,
/// with a tenth to spare because its shards do not get equally many. A key that is re-keyed, banned or pinned, or has
/// several networks, takes more.
const CACHE_BYTES: usize = 160 * 1024 * 1024;

const _: () = assert!(CACHE_BYTES / Cached::TYPICAL_KEY >= 1_100_000);

/// The longest time until a replica applies a change that it was not notified of.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How long a stopping process waits for the last batch of times of use.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// How long the first poll may delay the first answer. A slower store counts as unavailable.
const FIRST_POLL: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or SIGINT, then drains.
pub async fn serve(config: Config, source: Source) -> Result<(), Fatal> {
    // Held to the end of this function: dropping the last reference ends the log writer.
    let log = Arc::new(logs::init(config.log_level));
    // Before any file or socket is created: only this user can open them until their mode is set.
    umask(Mode::from_bits_truncate(0o077));
    let faults = preflight::own_faults(&config);
    if !faults.is_empty() {
        return Err(faults.join("\n").into());
    }
    preflight::make_data_dir(&config, false)?;
    let opened = store::open(&config, false)?;
    let listeners = Listeners::bind(&config).await?;
    listeners.announce()?;
    if config.listen.callers == Callers::Unauthenticated {
        warn!(
            "listen.allow_unauthenticated_callers = true: any host that reaches listen.grpc can claim any client address; \
             access is limited only by the network"
        );
    }
    run(config, opened, listeners, Signals::new()?, (source, Arc::clone(&log))).await
}

/// Brings the store's schema up to date; with `init`, creates the store if it is missing or empty. Returns the URL
/// of the store without secrets.
pub async fn migrate(config: &Config, init: bool) -> Result<String, Fatal> {
    if let config::Store::Sqlite(_) = config.store {
        preflight::make_data_dir(config, init)?;
    }
    store::migrate(config, init).await
}

/// The bound sockets.
pub struct Listeners {
    grpc: Listener,
    http: Listener,
    admin: Listener,
}

impl Listeners {
    /// Binds all listeners before any of them serves.
    async fn bind(config: &Config) -> Result<Self, String> {
        let private = Access { mode: 0o600, group: None };
        let bind = async |setting: &str, address: &Address, access: &Access| {
            Listener::bind(address, access).await.map_err(|fault| format!("{setting}: {fault}"))
        };
        Ok(Self {
            admin: bind("listen.admin", &Address::Unix(config.listen.admin.clone()), &private).await?,
            grpc: bind("listen.grpc", &config.listen.grpc, &config.listen.grpc_access).await?,
            http: bind("listen.http", &config.listen.http, &private).await?,
        })
    }

    fn announce(&self) -> io::Result<()> {
        let [grpc, http, admin] = [self.grpc.address()?, self.http.address()?, self.admin.address()?];
        info!(%grpc, %http, %admin, version = env!("CARGO_PKG_VERSION"), pid = std::process::id(), "listening");
        Ok(())
    }
}

/// Serves on `listeners` until a signal and the end of the drain, or until a task ends.
async fn run(
    config: Config,
    opened: Opened,
    listeners: Listeners,
    signals: Signals,
    (source, log): (Source, Arc<Log>),
) -> Result<(), Fatal> {
    let Opened { store, peppers, store_url, background } = opened;
    let mut tasks: JoinSet<Result<(), Fatal>> = JoinSet::new();
    let (stop_events, events_stopped) = oneshot::channel();
    let (core, rekeys, pipeline) = Core::new(store, peppers, store_url, &config, &mut tasks, events_stopped)?;
    let (stop_last_seen, last_seen_stopped) = oneshot::channel();
    let (cached, state) = (Arc::clone(&core.cached), Arc::clone(&core.replica_state));
    let write = last_seen::write(core.store.clone(), state, move |most| cached.take_uses(most), last_seen_stopped);
    let last_seen = tokio::spawn(write);

    let poll = core.notifier.signal().clone();
    tasks.spawn(async move { Err(background.run(move || poll.wake()).await) });
    core.spawn_background(&config, rekeys, &mut tasks);
    let (hangup, reload) = (signal(SignalKind::hangup())?, core.reload(&config, source, log));
    tasks.spawn(async move { match reload.run(hangup).await {} });
    let slots = Slots::raise_and_divide_file_limit()?;
    tasks.spawn(servers::admin(core.service(&config), Acceptor::new(listeners.admin, slots.admin)));
    let probes_and_metrics = probes::http(Arc::clone(&core.health), core.metrics.exposition.clone());
    tasks.spawn(servers::http(probes_and_metrics, Acceptor::new(listeners.http, slots.http)));
    let (health, update_health) = probes::grpc(Arc::clone(&core.health), SERVICE).await;
    tasks.spawn(update_health.map(Ok));
    let (drain, mut draining) = watch::channel(false);
    // Early calls wait in the socket's backlog instead of being denied with store_unavailable.
    let _ = timeout(FIRST_POLL, core.replica_state.has_applied(Revision::default())).await;
    let authorization = core.authorization(&config);
    let services =
        move |trust| ChecksAndHealth { checks: Server::new(Arc::clone(&authorization), trust), health: health.clone() };
    let stop = async move {
        // An error means that the sender is gone, and then the server must end as well.
        let _ = draining.wait_for(|draining| *draining).await;
    };
    let checks = http2::serve(services, config.listen.callers, Acceptor::new(listeners.grpc, slots.grpc), stop)?;
    let drain = Drain { delay: config.drain_delay, deadline: config.drain_deadline, health: core.health, start: drain };
    let ended = drain.serve_until_signal(tokio::spawn(checks), tasks, signals).await;
    let _ = stop_events.send(());
    let _ = stop_last_seen.send(());
    pipeline.await?;
    // Bounded, because times of last use are not worth a longer wait for a store that hangs.
    let _ = timeout(LAST_WRITE, last_seen).await;
    info!("stopped");
    ended
}

/// The state that the servers and background tasks share.
struct Core {
    metrics: Metrics,
    store: Arc<dyn Store>,
    replica_state: Arc<ReplicaState>,
    events: Events,
    cached: Arc<Cached>,
    engine: Arc<Engine>,
    notifier: ChangeNotifier,
    health: Arc<Health>,
    ring: Arc<KeyRing>,
    /// The URL of the store without secrets.
    store_url: String,
    settings: Arc<LiveSettings>,
    started: Instant,
}

impl Core {
    fn new(
        store: Arc<dyn Store>,
        peppers: Peppers,
        store_url: String,
        config: &Config,
        tasks: &mut JoinSet<Result<(), Fatal>>,
        stop_events: oneshot::Receiver<()>,
    ) -> Result<(Self, rekey::Batches, JoinHandle<()>), Fatal> {
        let metrics = Metrics::new()?;
        let started = Instant::now();
        let replica_state = Arc::new(ReplicaState::new(started));
        let store: Arc<dyn Store> = Arc::new(Measured::new(store, metrics.store.clone(), Arc::clone(&replica_state)));
        // No ban ends before the store knows whether its clock can be believed.
        replica_state.set_unsettled(Duration::MAX);
        let ring = Arc::new(KeyRing::new(peppers, &config.realm, config.hint));
        let Replicas { notifier, shared, background } =
            replicas::connect(config, &ring, &replica_state, &metrics.store);
        tasks.spawn(async move { match background.await {} });
        let (events, pipeline) = publish_events(&store, &replica_state, &metrics, config, stop_events)?;
        let first_uses = events.clone();
        let first_use = move |record: &Record| first_uses.publish(Event::Stored(record));
        let cached = Cached::new(store.clone(), CACHE_BYTES, metrics.store.clone(), first_use)
            .with_patience(config.settings.check_deadline);
        let cached = Arc::new(match shared {
            Some(shared) => cached.with_shared(shared),
            None => cached,
        });
        let (rekeys, batches) = rekey::Queue::new();
        let (peppers, keys, clock) = (Arc::clone(&ring), Arc::clone(&cached), Arc::clone(&replica_state));
        let core = Self {
            engine: Arc::new(Engine::new(peppers, rekeys, keys, clock)),
            cached,
            events,
            health: Arc::new(health(Arc::clone(&replica_state), config.settings.stale_grace)),
            notifier,
            metrics,
            store,
            replica_state,
            ring,
            store_url,
            settings: Arc::new(LiveSettings::new(config.settings.clone())),
            started,
        };
        Ok((core, batches, tokio::spawn(pipeline)))
    }

    /// Starts the background tasks.
    fn spawn_background(&self, config: &Config, rekeys: rekey::Batches, tasks: &mut JoinSet<Result<(), Fatal>>) {
        let follower = Follower {
            store: self.store.clone(),
            cached: Arc::clone(&self.cached),
            replica_state: Arc::clone(&self.replica_state),
            signal: self.notifier.signal().clone(),
            poll_interval: POLL_INTERVAL,
            ring: Arc::clone(&self.ring),
            metrics: self.metrics.store.clone(),
        };
        let health = Arc::clone(&self.health);
        tasks.spawn(async move { Err(follower.run(move |now| health.update(now)).await.into()) });
        let archive = Archive {
            store: self.store.clone(),
            state: Arc::clone(&self.replica_state),
            events: self.events.clone(),
            settings: Arc::clone(&self.settings),
            metrics: self.metrics.store.clone(),
        };
        let state = || Arc::clone(&self.replica_state);
        let count = counts::run(self.store.clone(), state(), self.metrics.bindings.clone());
        let rekey = rekey_job::run(rekeys, self.store.clone(), state());
        let upkeep = metrics::drain_histograms(self.metrics.exposition.clone());
        let writes = write_check::run(self.store.clone(), state(), Arc::clone(&self.ring));
        tasks.spawn(async move { match tokio::join!(count, upkeep, archive.run(), rekey, writes) {} });
        let prune = retention::run(self.store.clone(), state(), config.audit.retention);
        tasks.spawn(async move { match prune.await {} });
    }

    fn reload(&self, running: &Config, source: Source, log: Arc<Log>) -> Reload {
        Reload {
            source,
            running: running.written.clone(),
            settings: Arc::clone(&self.settings),
            log,
            metrics: self.metrics.reload.clone(),
        }
    }

    fn service(&self, config: &Config) -> Arc<Service> {
        Arc::new(Service {
            store: self.store.clone(),
            upkeep: self.store.clone(),
            ring: Arc::clone(&self.ring),
            credentials: config.credentials.clone(),
            client_ip: config.client_ip.clone(),
            callers: config.listen.callers.clone(),
            engine: Arc::clone(&self.engine),
            settings: Arc::clone(&self.settings),
            events: self.events.clone(),
            notifier: self.notifier.clone(),
            replica_state: Arc::clone(&self.replica_state),
            health: Arc::clone(&self.health),
            store_url: self.store_url.clone(),
            started: self.started,
        })
    }

    fn authorization(&self, config: &Config) -> Arc<Authorization> {
        Arc::new(Authorization::new(Parts {
            callers: config.listen.callers.clone(),
            client_ip: config.client_ip.clone(),
            credentials: config.credentials.clone(),
            settings: Arc::clone(&self.settings),
            engine: Arc::clone(&self.engine),
            events: self.events.clone(),
            metrics: self.metrics.checks.clone(),
        }))
    }
}

fn publish_events(
    store: &Arc<dyn Store>,
    replica_state: &Arc<ReplicaState>,
    metrics: &Metrics,
    config: &Config,
    stop: oneshot::Receiver<()>,
) -> Result<(Events, impl Future<Output = ()> + Send + use<>), Fatal> {
    let directory = config.data_dir.join("audit");
    let options = events::Options {
        directory: directory.clone(),
        spill_max: config.audit.spill_max,
        mask_addresses: config.audit.mask_addresses,
    };
    let (store, state, sinks) = (store.clone(), Arc::clone(replica_state), vec![Box::new(JsonLog) as _]);
    Events::new(store, state, metrics.audit.clone(), &options, sinks, stop)
        .map_err(|cause| format!("{}: {cause}", directory.display()).into())
}

fn health(state: Arc<ReplicaState>, stale_grace: Duration) -> Health {
    Health::new(move |now| LastPoll {
        since: state.since_poll(now),
        fresh: state.is_fresh(now, stale_grace),
        applied_revision: state.applied().0,
        unwritable: state.writes().obstacle().map(WriteObstacle::cause),
    })
}

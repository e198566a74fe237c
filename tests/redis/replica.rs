//! One replica's cache before a store that others use too, with a Redis that others write to.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use key_ip_sentinel::{
    cache::{Cached, Entry, Shared},
    domain::{
        ApiKey, FactsView, Fingerprint, KeyHasher, KeyRing, Missing, Mode, Pepper, Peppers, Reason, Timestamp,
        event::DecisionId,
    },
    engine::{Decision, Engine, Request},
    net::redis_link::{self, Link},
    settings::Settings,
    store::{Action, Change, Decisions, Operators, ReplicaState, Revision, Target, rekey, sqlite::Database},
    telemetry::metrics::Metrics,
};
use tokio::{task::JoinSet, time::Instant};

use super::common::{
    PATIENCE, eventually,
    redis::{Redis, connect},
    switch::Switch,
};

pub(crate) const OWNER: &str = "203.0.113.7";
pub(crate) const GRACE: Duration = Duration::from_secs(600);
pub(crate) const BAN: Action = Action::Ban { lasting: None, reason: None };
/// More than a Redis on this machine needs, however busy it is.
const ANSWER: Duration = Duration::from_secs(2);

/// A store of its own for a test.
pub(crate) struct Place {
    pub(crate) store: Arc<Switch>,
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new(peppers: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("sentinel.db")).unwrap();
        Self { store: Arc::new(Switch::new(Arc::new(database.start(&listed(peppers)).unwrap()))), folder }
    }

    /// A second connection to the database.
    pub(crate) fn shell(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.folder.path().join("sentinel.db")).unwrap()
    }

    pub(crate) async fn change(&self, key: &str, action: Action) -> Revision {
        let target = Target::Key(fingerprint(key));
        self.store.apply(Change::Key { target, action }, "uid:0", Timestamp::from_millis(1)).await.unwrap().revision
    }
}

fn listed(peppers: &[u8]) -> Peppers {
    Peppers::new(peppers.iter().map(|byte| Pepper::new(&[*byte; 32]).unwrap()).collect()).unwrap()
}

/// Under the first pepper and realm of every replica.
pub(crate) fn fingerprint(key: &str) -> Fingerprint {
    KeyHasher::new(Pepper::new(&[7; 32]).unwrap(), "default", true).fingerprint(&ApiKey::new(key.to_owned()))
}

pub(crate) struct Replica {
    pub(crate) store: Arc<Switch>,
    pub(crate) cached: Arc<Cached>,
    pub(crate) replica_state: Arc<ReplicaState>,
    ring: Arc<KeyRing>,
    settings: Settings,
    engine: Engine,
    metrics: Metrics,
    /// Ends with the replica.
    _tasks: JoinSet<()>,
}

/// What a test says of a replica.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) url: String,
    /// PEM.
    pub(crate) ca: Option<Vec<u8>>,
    pub(crate) prefix: &'static str,
    pub(crate) peppers: Vec<u8>,
    pub(crate) realm: &'static str,
    pub(crate) settings: Settings,
    /// For an answer, and before a probe; none are the real ones.
    pub(crate) times: Option<(Duration, Duration)>,
}

impl Setup {
    pub(crate) fn of(url: &str) -> Self {
        let times = Some((ANSWER, Duration::from_millis(20)));
        let settings = Settings { stale_grace: GRACE, ..Settings::default() };
        Self { url: url.to_owned(), ca: None, prefix: "sentinel", peppers: vec![7], realm: "default", settings, times }
    }
}

impl Replica {
    /// A replica before its first poll; it may have Redis.
    pub(crate) fn new(place: &Place, setup: &Setup) -> Self {
        let (metrics, started, mut tasks) = (Metrics::new().unwrap(), Instant::now(), JoinSet::new());
        let replica_state = Arc::new(ReplicaState::new(started));
        let ring = Arc::new(KeyRing::new(listed(&setup.peppers), setup.realm, true));
        let link = redis_link::Options::new(&setup.url, setup.ca.as_deref(), setup.prefix).unwrap();
        let link = match setup.times {
            Some((patience, pause)) => link.with_times(patience, pause),
            None => link,
        };
        let link = Link::new(link, metrics.store.redis_up.clone());
        let (shared, writer) =
            Shared::new(Arc::clone(&link), Arc::clone(&ring), Arc::clone(&replica_state), GRACE, metrics.store.clone());
        let store = Arc::clone(&place.store);
        let cached = Cached::new(Arc::clone(&store) as _, 1000 * Cached::TYPICAL_KEY, metrics.store.clone(), |_| ());
        let cached = Arc::new(cached.with_patience(PATIENCE).with_shared(shared));
        tasks.spawn(async move { match tokio::join!(link.run(), writer.run()) {} });
        let (peppers, keys, clock) = (Arc::clone(&ring), Arc::clone(&cached), Arc::clone(&replica_state));
        let engine = Engine::new(peppers, rekey::Queue::new().0, keys, clock);
        Self { store, cached, replica_state, ring, settings: setup.settings.clone(), engine, metrics, _tasks: tasks }
    }

    /// One that is ready: connected, and polled.
    pub(crate) async fn ready(place: &Place, setup: &Setup) -> Self {
        let this = Self::new(place, setup);
        this.connected(true).await;
        this.poll().await;
        this
    }

    /// The same, although the store is lost: it has heard what `one` heard.
    pub(crate) async fn ready_beside(one: &Self, place: &Place, setup: &Setup) -> Self {
        let this = Self::new(place, setup);
        this.connected(true).await;
        place.store.find_again();
        this.poll().await;
        place.store.lose();
        assert_eq!(this.applied(), one.applied());
        this
    }

    pub(crate) async fn connected(&self, up: bool) {
        let up = if up { "1" } else { "0" };
        eventually("the connection to Redis is known to be so", async || {
            (self.metric("sentinel_redis_up") == up).then_some(())
        })
        .await;
    }

    pub(crate) async fn poll(&self) {
        let changes = self.store.changes_after(self.replica_state.applied()).await.unwrap();
        assert!(self.ring.activate(&changes.active_pepper));
        self.cached.absorb(&changes);
        self.replica_state.polled(&changes, Instant::now());
    }

    pub(crate) fn applied(&self) -> Revision {
        self.replica_state.applied()
    }

    /// The facts that this replica uses for a key that has an owner or a ban, from any source.
    pub(crate) async fn read(&self, key: &str) -> Arc<Entry> {
        let digests = self.ring.digests(&ApiKey::new(key.to_owned()));
        match self.cached.get(digests.iter()) {
            Some(entry) => entry,
            None => self.cached.load(digests, |facts: FactsView<'_>| !facts.is_empty(), true).await.unwrap(),
        }
    }

    pub(crate) async fn ask(&self, key: &str, from: &str) -> Reason {
        self.ask_at(key, from, Duration::ZERO).await
    }

    /// At this time after now.
    pub(crate) async fn ask_at(&self, key: &str, from: &str, later: Duration) -> Reason {
        let now = Instant::now();
        match self.engine.decide(&self.settings, &request(key, from), now + later, now + PATIENCE).await {
            Decision::Allow(permit) => permit.reason(),
            Decision::Deny(denial) => denial.reason,
        }
    }

    pub(crate) async fn explain(&self, key: &str, from: &str) -> Reason {
        let now = Instant::now();
        self.engine.explain(&self.settings, &request(key, from), now, now + PATIENCE).await.reason
    }

    /// Every line of `/metrics` about cache requests.
    pub(crate) fn cache_requests(&self) -> Vec<String> {
        let text = self.metrics.exposition.render();
        let lines = text.lines().filter(|line| line.starts_with("sentinel_cache_requests_total"));
        let mut lines: Vec<_> = lines.map(str::to_owned).collect();
        // The exposition has no order of its own.
        lines.sort();
        lines
    }

    /// The line of `/metrics` that begins so, without its beginning.
    pub(crate) fn metric(&self, series: &str) -> String {
        let text = self.metrics.exposition.render();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series} in {text}")).to_owned()
    }

    /// How many look-ups in Redis ended so.
    pub(crate) fn shared(&self, outcome: &str) -> u64 {
        let series = format!(r#"sentinel_cache_requests_total{{tier="redis",outcome="{outcome}"}}"#);
        self.metric(&series).parse().unwrap()
    }
}

fn request(key: &str, from: &str) -> Request {
    Request {
        ip: Some(from.parse().unwrap()),
        key: Ok(Some(ApiKey::new(key.to_owned()))),
        missing: Missing::Deny,
        mode: Mode::Enforce,
        decision_id: DecisionId(1),
    }
}

/// The history of each store here: all have the same schema, and none is restored.
static HISTORY: LazyLock<i64> = LazyLock::new(|| {
    let place = Place::new(&[7]);
    place.shell().query_row("PRAGMA schema_version", [], |row| row.get(0)).unwrap()
});

/// The Redis key of the fact of `key`.
pub(crate) fn place_of(prefix: &str, key: &str) -> String {
    let hex: String = fingerprint(key).digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}:v1:{:032x}:default:{hex}", *HISTORY)
}

pub(crate) async fn value_of(redis: &Redis, prefix: &str, key: &str) -> Option<Vec<u8>> {
    redis.command(&["GET", &place_of(prefix, key)]).await
}

pub(crate) async fn put(redis: &Redis, key: &str, value: &[u8]) {
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = connect(&client).await.unwrap();
    redis::cmd("SET").arg(key).arg(value).exec_async(&mut connection).await.unwrap();
}

/// Waits until Redis holds a value of `key` that was read at `as_of` or later.
pub(crate) async fn written(redis: &Redis, prefix: &str, key: &str, as_of: Revision) -> Vec<u8> {
    eventually("the fact is written to Redis", async || {
        let value = value_of(redis, prefix, key).await?;
        (i64::from_be_bytes(value.get(9..17)?.try_into().unwrap()) >= as_of.0).then_some(value)
    })
    .await
}

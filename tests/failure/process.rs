//! One process's decisions, without its sockets.

use std::{cell::RefCell, path::PathBuf, sync::Arc, time::Duration};

use key_ip_sentinel::{
    cache::Cached,
    domain::{
        ApiKey, Failsafe, Fingerprint, KeyDigest, KeyRing, Missing, Mode, Pepper, Peppers, Reason, Timestamp,
        event::{DecisionId, Record},
    },
    engine::{Decision, Engine, Request},
    replication::{Follower, PollSignal},
    settings::Settings,
    store::{
        Action, Change, Operators, Rekey, ReplicaState, Revision, Rotation, Target, Upkeep, measured::Measured, rekey,
    },
    telemetry::metrics::Metrics,
};
use tempfile::TempDir;
use tokio::time::Instant;

use super::{
    GRACE, SECOND,
    common::{
        PATIENCE,
        database::{Database, heard},
        switch::Switch,
    },
};

thread_local! {
    /// Every first use that was reported on this thread, which is the thread of this test.
    static FIRST_USES: RefCell<Vec<Record>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn first_uses() -> Vec<Record> {
    FIRST_USES.with_borrow(Vec::clone)
}

/// Where SQLite has its store.
fn file_in(folder: &TempDir) -> PathBuf {
    folder.path().join("sentinel.db")
}

/// The peppers of these bytes.
pub(crate) fn listed(bytes: &[u8]) -> Peppers {
    Peppers::new(bytes.iter().map(|byte| Pepper::new(&[*byte; 32]).unwrap()).collect()).unwrap()
}

pub(crate) struct Process {
    pub(crate) store: Arc<Switch>,
    pub(crate) cached: Arc<Cached>,
    pub(crate) replica_state: Arc<ReplicaState>,
    metrics: Metrics,
    pub(crate) ring: Arc<KeyRing>,
    settings: Settings,
    engine: Arc<Engine>,
    started: Instant,
    /// A folder, and the database, which may be in it.
    place: (Arc<TempDir>, Database),
}

impl Process {
    pub(crate) async fn new(failsafe: Failsafe) -> Self {
        Self::with(Settings { failsafe, stale_grace: GRACE, ..Settings::default() }).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        Self::listing(settings, &[7]).await
    }

    /// One that lists the peppers of these bytes.
    pub(crate) async fn with_peppers(failsafe: Failsafe, peppers: &[u8]) -> Self {
        Self::listing(Settings { failsafe, stale_grace: GRACE, ..Settings::default() }, peppers).await
    }

    async fn listing(settings: Settings, peppers: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::new(file_in(&folder)).await;
        Self::of(database, folder, listed(peppers), settings).await
    }

    /// One that gives up a read and a claim as soon as the product does, which a busy store may be too slow for.
    pub(crate) async fn impatient(failsafe: Failsafe) -> Self {
        let Process { store, place, .. } = Self::new(failsafe).await;
        let settings = Settings { failsafe, stale_grace: GRACE, ..Settings::default() };
        Self::over(store, listed(&[7]), place, settings, Duration::ZERO)
    }

    /// One on SQLite, whatever the other tests run on.
    pub(crate) async fn on_sqlite(failsafe: Failsafe) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { failsafe, stale_grace: GRACE, ..Settings::default() };
        Self::of(Database::Sqlite(file_in(&folder)), folder, listed(&[7]), settings).await
    }

    async fn of(database: Database, folder: TempDir, peppers: Peppers, settings: Settings) -> Self {
        let store = Arc::new(Switch::new(database.open(&peppers).await));
        Self::over(store, peppers, (Arc::new(folder), database), settings, PATIENCE)
    }

    /// Another process of the same store, which has not heard of it yet.
    pub(crate) fn beside(&self, failsafe: Failsafe, peppers: &[u8]) -> Self {
        let settings = Settings { failsafe, stale_grace: GRACE, ..Settings::default() };
        Self::over(Arc::clone(&self.store), listed(peppers), self.place.clone(), settings, PATIENCE)
    }

    /// One of a server's database, without a limit on claims.
    pub(crate) async fn of_server(url: &str, peppers: Peppers) -> Self {
        let mut settings = Settings { failsafe: Failsafe::Closed, stale_grace: GRACE, ..Settings::default() };
        settings.claims.per_network = None;
        Self::of(Database::Postgres(url.to_owned()), tempfile::tempdir().unwrap(), peppers, settings).await
    }

    fn over(
        store: Arc<Switch>,
        peppers: Peppers,
        place: (Arc<TempDir>, Database),
        settings: Settings,
        patience: Duration,
    ) -> Self {
        let metrics = Metrics::new().unwrap();
        let started = Instant::now();
        let replica_state = Arc::new(ReplicaState::new(started));
        let observed =
            Arc::new(Measured::new(Arc::clone(&store) as _, metrics.store.clone(), Arc::clone(&replica_state)));
        let record_first_use =
            |record: &Record| FIRST_USES.with_borrow_mut(|first_uses| first_uses.push(record.clone()));
        let cached = Arc::new(
            Cached::new(observed, 1000 * Cached::TYPICAL_KEY, metrics.store.clone(), record_first_use)
                .with_patience(patience),
        );
        let ring = Arc::new(KeyRing::new(peppers, "default", true));
        let (peppers, keys, clock) = (Arc::clone(&ring), Arc::clone(&cached), Arc::clone(&replica_state));
        let engine = Arc::new(Engine::new(peppers, rekey::Queue::new().0, keys, clock));
        Self { store, cached, replica_state, metrics, ring, settings, engine, started, place }
    }

    /// Has new rows written with the pepper of this byte from now on.
    pub(crate) async fn activate(&self, byte: u8) -> Revision {
        let pepper = Pepper::new(&[byte; 32]).unwrap();
        let step = Rotation::Activate { id: pepper.id(), check_value: *pepper.check_value() };
        self.store.rotate(step, "uid:0", self.now()).await.unwrap().revision
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.replica_state.time(self.started).unwrap()
    }

    /// Moves the row of `key` from `from` to where this process sees it.
    pub(crate) async fn move_key(&self, key: &str, from: KeyDigest) {
        let to = self.fingerprint(key);
        assert_eq!(self.store.rekey(vec![Rekey { from, to }], self.now()).await.unwrap(), 1);
    }

    /// One successful poll, answered `at` after the start.
    pub(crate) async fn poll(&self, at: Duration) {
        let changes = heard(&*self.store, self.replica_state.applied()).await;
        assert!(self.ring.activate(&changes.active_pepper));
        self.cached.absorb(&changes);
        self.replica_state.polled(&changes, self.started + at);
    }

    /// What polls in the real process.
    pub(crate) fn follower(&self) -> Follower {
        Follower {
            store: Arc::clone(&self.store) as _,
            cached: Arc::clone(&self.cached),
            replica_state: Arc::clone(&self.replica_state),
            signal: PollSignal::default(),
            poll_interval: 30 * SECOND,
            ring: Arc::clone(&self.ring),
            metrics: self.metrics.store.clone(),
        }
    }

    /// The moment that this process's times are counted from.
    pub(crate) fn clock_origin(&self) -> Instant {
        self.started
    }

    pub(crate) async fn ask(&self, key: &str, from: &str, at: Duration) -> Reason {
        match self.decide(key, from, Mode::Enforce, at).await {
            Decision::Allow(permit) => permit.reason(),
            Decision::Deny(denial) => denial.reason,
        }
    }

    /// The decision in observe mode, which allows every request here, and whether it would deny.
    pub(crate) async fn watch(&self, key: &str, from: &str) -> (Reason, bool) {
        match self.decide(key, from, Mode::Observe, Duration::ZERO).await {
            Decision::Allow(permit) => (permit.reason(), permit.would_deny()),
            Decision::Deny(denial) => panic!("observe mode denied: {denial:?}"),
        }
    }

    async fn decide(&self, key: &str, from: &str, mode: Mode, at: Duration) -> Decision {
        let request = Request {
            ip: Some(from.parse().unwrap()),
            key: Ok(Some(ApiKey::new(key.to_owned()))),
            missing: Missing::Deny,
            mode,
            decision_id: DecisionId(1),
        };
        self.engine.decide(&self.settings, &request, self.started + at, Instant::now() + PATIENCE).await
    }

    pub(crate) fn fingerprint(&self, key: &str) -> Fingerprint {
        self.ring.fingerprint(&ApiKey::new(key.to_owned()))
    }

    pub(crate) async fn change(&self, key: &str, action: Action) -> Revision {
        let target = Target::Key(self.fingerprint(key));
        self.store.apply(Change::Key { target, action }, "uid:0", self.now()).await.unwrap().revision
    }

    pub(crate) fn database(&self) -> &Database {
        &self.place.1
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.place.0.path()
    }

    /// The line of `/metrics` that begins so, without its beginning.
    pub(crate) fn metric(&self, series: &str) -> String {
        let text = self.metrics.exposition.render();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series} in {text}")).to_owned()
    }
}

//! One process's decisions, without its sockets.

use std::{cell::RefCell, sync::Arc, time::Duration};

use key_ip_sentinel::{
    changes::{Follower, Hint},
    domain::{
        ApiKey, Fingerprint, KeyRing, Mode, Pepper, Peppers, Reason,
        event::{DecisionId, Record},
    },
    engine::{Decision, Engine, Failsafe, Options, Request},
    metrics::Metrics,
    store::{
        Action, Change, Revision, Store, Target, cached::Cached, observed::Observed, rekey, sqlite::Database,
        view::View,
    },
};
use rusqlite::Connection;
use tokio::time::Instant;

use super::{GRACE, SECOND, common::switch::Switch};

thread_local! {
    /// Every first use that was told on this thread, which is this test's.
    static FIRST_USES: RefCell<Vec<Record>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn first_uses() -> Vec<Record> {
    FIRST_USES.with_borrow(Vec::clone)
}

pub(crate) struct Process {
    pub(crate) store: Arc<Switch>,
    pub(crate) cached: Arc<Cached>,
    pub(crate) view: Arc<View>,
    metrics: Metrics,
    pub(crate) ring: Arc<KeyRing>,
    engine: Arc<Engine>,
    started: Instant,
    folder: tempfile::TempDir,
}

impl Process {
    pub(crate) fn new(failsafe: Failsafe) -> Self {
        Self::with_peppers(failsafe, &[7])
    }

    /// One that lists the peppers of these bytes.
    pub(crate) fn with_peppers(failsafe: Failsafe, peppers: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let peppers = peppers.iter().map(|byte| Pepper::new(&[*byte; 32]).unwrap()).collect();
        let peppers = Peppers::new(peppers).unwrap();
        let sqlite = Database::open(&folder.path().join("sentinel.db")).unwrap().start(&peppers).unwrap();
        let store = Arc::new(Switch::new(Arc::new(sqlite)));
        let metrics = Metrics::new().unwrap();
        let observed = Arc::new(Observed::new(Arc::clone(&store) as _, metrics.store.clone()));
        let tell = |record: &Record| FIRST_USES.with_borrow_mut(|told| told.push(record.clone()));
        let cached = Arc::new(Cached::new(observed, 1000, metrics.store.clone(), tell));
        let started = Instant::now();
        let view = Arc::new(View::new(started));
        let ring = Arc::new(KeyRing::new(peppers, "default", true));
        let options = Options { failsafe, stale_grace: GRACE, ..Options::default() };
        let engine = Arc::new(Engine::new(
            Arc::clone(&ring),
            rekey::Queue::new().0,
            Arc::clone(&cached),
            Arc::clone(&view),
            options,
        ));
        Self { store, cached, view, metrics, ring, engine, started, folder }
    }

    /// One successful poll, answered `at` after the start.
    pub(crate) async fn poll(&self, at: Duration) {
        let changes = self.store.changes_after(self.view.applied()).await.unwrap();
        self.cached.absorb(&changes);
        self.view.polled(&changes, self.started + at);
    }

    /// What polls in the real process.
    pub(crate) fn follower(&self) -> Follower {
        Follower {
            store: Arc::clone(&self.store) as _,
            cached: Arc::clone(&self.cached),
            view: Arc::clone(&self.view),
            hint: Hint::default(),
            poll_interval: 30 * SECOND,
            ring: Arc::clone(&self.ring),
            metrics: self.metrics.store.clone(),
        }
    }

    pub(crate) async fn ask(&self, key: &str, from: &str, at: Duration) -> Reason {
        let request = Request {
            ip: from.parse().unwrap(),
            key: Some(ApiKey::new(key.to_owned())),
            missing: None,
            mode: Mode::Enforce,
            decision_id: DecisionId(1),
        };
        let patience = Instant::now() + Duration::from_secs(30);
        match self.engine.decide(request, self.started + at, patience).await {
            Decision::Allow(permit) => permit.reason(),
            Decision::Deny(denial) => denial.reason,
        }
    }

    pub(crate) fn fingerprint(&self, key: &str) -> Fingerprint {
        self.ring.fingerprint(&ApiKey::new(key.to_owned()))
    }

    pub(crate) async fn change(&self, key: &str, action: Action) -> Revision {
        let target = Target::Key(self.fingerprint(key));
        let now = self.view.time(self.started).unwrap();
        self.store.apply(Change::Key { target, action }, "uid:0", now).await.unwrap().revision
    }

    /// A second connection to the database.
    pub(crate) fn database(&self) -> Connection {
        Connection::open(self.folder.path().join("sentinel.db")).unwrap()
    }

    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The line of `/metrics` that begins so, without its beginning.
    pub(crate) fn metric(&self, series: &str) -> String {
        let text = self.metrics.exposition.render();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series} in {text}")).to_owned()
    }
}

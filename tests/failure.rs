//! The store lost, slow or out of step: the engine over the real SQLite store behind a switch, with time as an argument.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails is a test that fails")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use key_ip_sentinel::{
    domain::{
        ApiKey, KeyDigest, KeyHasher, Pepper, Reason, Timestamp,
        event::{DecisionId, Record},
    },
    engine::{Decision, Engine, Failsafe, Missing, Options, Request},
    metrics::Metrics,
    store::{
        Action, Applied, AuditQuery, Change, ChangeError, Changes, Claim, Claimed, Counts, KeyQuery, KeyRow, Reading,
        Revision, Store, StoreError, Target, cached::Cached, sqlite::Database, view::View,
    },
};
use tokio::{sync::Semaphore, task::JoinHandle, time::Instant};

const OWNER: &str = "203.0.113.7";
const THIEF: &str = "198.51.100.9";
const GRACE: Duration = Duration::from_secs(600);
const SECOND: Duration = Duration::from_secs(1);

/// The real store, and what can go wrong before it.
struct Switch {
    store: Arc<dyn Store>,
    lost: AtomicBool,
    /// One permit for every `lookup` that has read.
    reads: Semaphore,
    /// What `lookup` read waits here before it is answered.
    answers: Semaphore,
}

impl Switch {
    fn check(&self) -> Result<(), StoreError> {
        match self.lost.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable("switched off".into())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Store for Switch {
    async fn lookup(&self, key: &KeyDigest) -> Result<Reading, StoreError> {
        self.check()?;
        let reading = self.store.lookup(key).await;
        self.reads.add_permits(1);
        let _turn = self.answers.acquire().await.unwrap();
        reading
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        self.check()?;
        self.store.claim(claim).await
    }

    async fn apply(&self, change: Change, actor: &str, now: Timestamp) -> Result<Applied, ChangeError> {
        self.store.apply(change, actor, now).await
    }

    async fn changes_after(&self, applied: Revision) -> Result<Changes, StoreError> {
        self.check()?;
        self.store.changes_after(applied).await
    }

    async fn keys(&self, query: KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
        self.store.keys(query).await
    }

    async fn find(&self, target: Target) -> Result<KeyRow, ChangeError> {
        self.store.find(target).await
    }

    async fn append_audit(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.store.append_audit(records).await
    }

    async fn audit(&self, query: AuditQuery) -> Result<Vec<Record>, StoreError> {
        self.store.audit(query).await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.store.counts().await
    }
}

/// One process's decisions, without its sockets.
struct Process {
    store: Arc<Switch>,
    cached: Arc<Cached>,
    view: Arc<View>,
    hasher: KeyHasher,
    engine: Arc<Engine>,
    started: Instant,
    _folder: tempfile::TempDir,
}

impl Process {
    fn new(failsafe: Failsafe) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pepper = Pepper::new(&[7; 32]).unwrap();
        let sqlite = Database::open(&folder.path().join("sentinel.db")).unwrap().start(&pepper).unwrap();
        let answers = Semaphore::new(Semaphore::MAX_PERMITS);
        let (lost, reads) = (AtomicBool::new(false), Semaphore::new(0));
        let store = Arc::new(Switch { store: Arc::new(sqlite), lost, reads, answers });
        let started = Instant::now();
        let view = Arc::new(View::new(started));
        let cached = Arc::new(Cached::new(Arc::clone(&store) as _, 1000, Metrics::new().unwrap().store));
        let hasher = KeyHasher::new(pepper, "default", true);
        let options = Options { missing: Missing::Deny, failsafe, stale_grace: GRACE, unclaimable: Vec::new() };
        let engine = Arc::new(Engine::new(hasher.clone(), Arc::clone(&cached), Arc::clone(&view), options));
        Self { store, cached, view, hasher, engine, started, _folder: folder }
    }

    /// One successful poll, answered `at` after the start.
    async fn poll(&self, at: Duration) {
        let changes = self.store.changes_after(self.view.applied()).await.unwrap();
        self.cached.absorb(&changes);
        self.view.polled(&changes, self.started + at);
    }

    async fn ask(&self, key: &str, from: &str, at: Duration) -> Reason {
        let request = Request {
            ip: from.parse().unwrap(),
            key: Some(ApiKey::new(key.to_owned())),
            missing: None,
            decision_id: DecisionId(1),
        };
        let patience = Instant::now() + Duration::from_secs(30);
        match self.engine.decide(request, self.started + at, patience).await {
            Decision::Allow(permit) => permit.reason(),
            Decision::Deny(denial) => denial.reason,
        }
    }

    async fn change(&self, key: &str, action: Action) {
        let target = Target::Key(self.hasher.fingerprint(&ApiKey::new(key.to_owned())));
        let now = self.view.time(self.started).unwrap();
        self.store.apply(Change { target, action }, "uid:0", now).await.unwrap();
    }

    fn lose_the_store(&self) {
        self.store.lost.store(true, Ordering::SeqCst);
    }
}

const BAN: Action = Action::Ban { lasting: None, reason: None };

/// A key of the owner's and a banned one, both in the cache; then the store is lost.
async fn cut_off(failsafe: Failsafe) -> Process {
    let process = Process::new(failsafe);
    process.poll(Duration::ZERO).await;
    for key in ["owned-key", "banned-key"] {
        assert_eq!(process.ask(key, OWNER, Duration::ZERO).await, Reason::FirstUse);
    }
    process.change("banned-key", BAN).await;
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("banned-key", OWNER, Duration::ZERO).await, Reason::KeyBanned);
    process.lose_the_store();
    process
}

#[tokio::test]
async fn known_keys_are_decided_from_memory_within_the_grace() {
    for failsafe in [Failsafe::Closed, Failsafe::Open] {
        let process = cut_off(failsafe).await;
        assert_eq!(process.ask("owned-key", OWNER, GRACE).await, Reason::Bound);
        assert_eq!(process.ask("owned-key", THIEF, GRACE).await, Reason::IpMismatch);
        assert_eq!(process.ask("banned-key", OWNER, GRACE).await, Reason::KeyBanned);
    }
}

#[tokio::test]
async fn after_the_grace_closed_refuses_owners_and_open_lets_them_pass() {
    for (failsafe, owner) in [(Failsafe::Closed, Reason::StoreUnavailable), (Failsafe::Open, Reason::FailsafeOpen)] {
        let process = cut_off(failsafe).await;
        let late = GRACE + SECOND;
        assert_eq!(process.ask("owned-key", OWNER, late).await, owner);
        assert_eq!(process.ask("owned-key", THIEF, late).await, Reason::IpMismatch, "{failsafe:?}");
        assert_eq!(process.ask("banned-key", OWNER, late).await, Reason::KeyBanned, "{failsafe:?}");
    }
}

#[tokio::test]
async fn unknown_keys_are_refused_under_closed_and_pass_unbound_under_open() {
    let process = cut_off(Failsafe::Closed).await;
    assert_eq!(process.ask("unknown-key", THIEF, SECOND).await, Reason::StoreUnavailable);
    let process = cut_off(Failsafe::Open).await;
    assert_eq!(process.ask("unknown-key", THIEF, SECOND).await, Reason::FailsafeOpen);
    process.store.lost.store(false, Ordering::SeqCst);
    assert_eq!(process.ask("unknown-key", OWNER, SECOND).await, Reason::FirstUse, "what passed unbound owns nothing");
}

#[tokio::test]
async fn before_the_first_poll_nothing_is_allowed_even_under_open() {
    let process = Process::new(Failsafe::Open);
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::StoreUnavailable);
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
}

#[tokio::test]
async fn owners_pass_again_when_the_store_is_back() {
    let process = cut_off(Failsafe::Closed).await;
    let late = GRACE + SECOND;
    assert_eq!(process.ask("owned-key", OWNER, late).await, Reason::StoreUnavailable);
    process.store.lost.store(false, Ordering::SeqCst);
    process.poll(late).await;
    assert_eq!(process.ask("owned-key", OWNER, late).await, Reason::Bound);
}

#[tokio::test]
async fn a_ban_ends_by_the_stores_clock_carried_on_by_ours() {
    let process = Process::new(Failsafe::Closed);
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
    process.change("some-key", Action::Ban { lasting: Some(60 * SECOND), reason: None }).await;
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", OWNER, 59 * SECOND).await, Reason::KeyBanned);
    assert_eq!(process.ask("some-key", OWNER, 61 * SECOND).await, Reason::Bound);
}

#[tokio::test]
async fn an_expired_ban_on_a_key_without_owner_leaves_it_to_the_next_first_use() {
    let process = Process::new(Failsafe::Closed);
    process.poll(Duration::ZERO).await;
    process.change("some-key", Action::Ban { lasting: Some(60 * SECOND), reason: None }).await;
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", THIEF, 59 * SECOND).await, Reason::KeyBanned);
    assert_eq!(process.ask("some-key", OWNER, 61 * SECOND).await, Reason::FirstUse);
}

/// A reader of `some-key` that has read that its owner may use it, and is answered after a ban was absorbed.
async fn slow_reader_of_a_banned_key(process: &Arc<Process>) -> JoinHandle<Reason> {
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
    // Out of the cache, by a change that leaves the key as it is.
    process.change("some-key", BAN).await;
    process.change("some-key", Action::Unban).await;
    process.poll(Duration::ZERO).await;

    process.store.answers.forget_permits(Semaphore::MAX_PERMITS);
    process.store.reads.forget_permits(process.store.reads.available_permits());
    let mut reader = tokio::spawn({
        let process = Arc::clone(process);
        async move { process.ask("some-key", OWNER, Duration::ZERO).await }
    });
    tokio::select! {
        read = process.store.reads.acquire() => read.unwrap().forget(),
        early = &mut reader => panic!("decided without a read: {early:?}"),
    }
    process.change("some-key", BAN).await;
    process.poll(Duration::ZERO).await;
    reader
}

#[tokio::test]
async fn a_slow_reader_does_not_decide_by_what_it_read_before_a_ban() {
    let process = Arc::new(Process::new(Failsafe::Closed));
    let reader = slow_reader_of_a_banned_key(&process).await;
    process.store.answers.add_permits(Semaphore::MAX_PERMITS);
    assert_eq!(reader.await.unwrap(), Reason::KeyBanned);
}

/// Its read goes on without it, and must not fill the cache.
#[tokio::test]
async fn a_slow_reader_that_was_cancelled_does_not_bring_a_banned_key_back() {
    let process = Arc::new(Process::new(Failsafe::Closed));
    let reader = slow_reader_of_a_banned_key(&process).await;
    reader.abort();
    assert!(reader.await.unwrap_err().is_cancelled());
    process.store.answers.add_permits(Semaphore::MAX_PERMITS);
    // The read's task holds the third reference; it has filled the cache, or not, when it lets go.
    while Arc::strong_count(&process.cached) > 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::KeyBanned);
}

#[tokio::test]
async fn a_store_restored_from_a_backup_empties_the_cache() {
    let process = Process::new(Failsafe::Closed);
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
    let mut changes = process.store.changes_after(Revision(0)).await.unwrap();
    changes.pruned = true;
    process.cached.absorb(&changes);
    process.lose_the_store();
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::StoreUnavailable);
}

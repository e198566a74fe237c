//! What every test starts from.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use key_ip_sentinel::{
    domain::{
        ApiKey, Binding, Fingerprint, KeyDigest, KeyHasher, KeyIdPrefix, Network, Pepper, Timestamp, event::Record,
    },
    store::{
        Action, Applied, AuditQuery, BatchId, Change, ChangeError, Claim, Claimed, KeyQuery, Purpose, Reading, Refusal,
        Revision, Slots, SpoolId, Store, Target,
    },
};

pub(crate) use crate::common::database::heard;

/// A place where stores of one kind can live.
#[async_trait(?Send)]
pub(crate) trait Backend: Send + Sync + 'static {
    /// A place that holds nothing yet.
    async fn fresh() -> Self;

    /// The store that lives here. Called again after the first was dropped, it finds what the first left.
    async fn open(&self) -> Arc<dyn Store>;

    /// Makes the binding of `key` a provisional one that ends at `expires_at`: no operation does that yet.
    async fn make_provisional(&self, key: &Fingerprint, expires_at: Timestamp);
}

/// 2026-01-01T00:00:00Z: every test's beginning, on the store's clock.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

pub(crate) const ADMIN: &str = "uid:0";

pub(crate) fn hours(count: u64) -> Duration {
    Duration::from_hours(count)
}

pub(crate) fn at(after_start: Duration) -> Timestamp {
    START.after(after_start)
}

pub(crate) fn pepper() -> Pepper {
    Pepper::new(&[7; 32]).unwrap()
}

/// The key whose text is `sk-` and `name`, padded so that it has a hint.
pub(crate) fn key(name: &str) -> Fingerprint {
    KeyHasher::new(pepper(), "default", true).fingerprint(&ApiKey::new(format!("sk-{name:->20}")))
}

/// A key whose id begins with these 4 bytes, in hex.
pub(crate) fn key_beginning(beginning: [u8; 4], rest: u8) -> Fingerprint {
    let mut digest = [rest; 32];
    digest[..4].copy_from_slice(&beginning);
    Fingerprint { digest: KeyDigest::from_bytes(digest), ..key("crafted") }
}

pub(crate) fn network(text: &str) -> Network {
    text.parse().unwrap()
}

pub(crate) fn prefix(text: &str) -> KeyIdPrefix {
    text.parse().unwrap()
}

/// The whole id as a prefix.
pub(crate) fn by_id(key: &Fingerprint) -> Target {
    Target::Id(prefix(&key.digest.new_id().to_string()))
}

pub(crate) fn claim(key: &Fingerprint, from: &str, now: Timestamp) -> Claim {
    Claim { key: key.clone(), network: network(from), purpose: ONE, now, decision_id: format!("d-{from}") }
}

/// One of `networks` networks that may join within `window`.
pub(crate) fn one_of(networks: u16, window: Duration) -> Purpose {
    Purpose::Own(Slots { networks, window })
}

/// Claims the key for `from` and insists on winning.
pub(crate) async fn bind(store: &dyn Store, key: &Fingerprint, from: &str) -> Reading {
    match store.claim(claim(key, from, START)).await.unwrap() {
        Claimed::Won { reading, .. } => reading,
        other => panic!("not won: {other:?}"),
    }
}

pub(crate) async fn change(store: &dyn Store, key: &Fingerprint, action: Action) -> Applied {
    change_at(store, key, action, START).await
}

pub(crate) async fn change_at(store: &dyn Store, key: &Fingerprint, action: Action, now: Timestamp) -> Applied {
    let target = Target::Key(key.clone());
    store.apply(Change::Key { target, action }, ADMIN, now).await.unwrap()
}

/// The refusal of a change that must be refused.
pub(crate) async fn refusal(store: &dyn Store, target: Target, action: Action) -> Refusal {
    match store.apply(Change::Key { target, action }, ADMIN, START).await {
        Err(ChangeError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

pub(crate) fn ban_for(lasting: Option<Duration>) -> Action {
    Action::Ban { lasting, reason: None }
}

pub(crate) const FOREVER: Action = Action::Ban { lasting: None, reason: None };

pub(crate) async fn binding(store: &dyn Store, key: &Fingerprint) -> Option<Binding> {
    store.lookup(&key.digest.into()).await.unwrap().facts.binding
}

pub(crate) async fn revision(store: &dyn Store) -> Revision {
    heard(store, Revision(0)).await.revision
}

/// Every audit record, newest first.
pub(crate) const WHOLE_AUDIT: AuditQuery = AuditQuery { limit: 10_000, ..AuditQuery::ALL };

/// A batch that was not delivered yet.
pub(crate) fn new_batch() -> BatchId {
    static LAST: AtomicU64 = AtomicU64::new(0);
    BatchId { spool: SpoolId(7), number: LAST.fetch_add(1, Ordering::Relaxed) + 1 }
}

/// How many of the records were appended.
pub(crate) async fn deliver(store: &dyn Store, batch: BatchId, records: Vec<Record>) -> u64 {
    store.deliver(batch, records).await.unwrap()
}

/// Appends the records as a new batch.
pub(crate) async fn append(store: &dyn Store, records: Vec<Record>) {
    let all = records.len() as u64;
    assert_eq!(deliver(store, new_batch(), records).await, all);
}

/// The audit without the numbers of its records.
pub(crate) async fn audit(store: &dyn Store, query: AuditQuery) -> Vec<Record> {
    store.audit(query).await.unwrap().into_iter().map(|stored| stored.record).collect()
}

/// One network, at once and for good.
pub(crate) const ONE: Purpose = Purpose::Own(Slots { networks: 1, window: Duration::ZERO });

/// Every key, newest first.
pub(crate) const ALL_KEYS: KeyQuery = KeyQuery::ALL;

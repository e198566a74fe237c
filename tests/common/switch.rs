//! The real store, and what can go wrong before it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use key_ip_sentinel::{
    domain::{
        KeyDigests, KeyId, Timestamp,
        event::Record,
        running::{Pause, Replica},
    },
    store::{
        Applied, AuditQuery, BatchId, Change, ChangeError, Changes, Claim, Claimed, Counts, CrowdedNetwork, Decisions,
        DenialCount, ExportedKey, Imported, KeyQuery, KeyRow, KnownPepper, Operators, PepperRow, Reading, Rekey,
        Revision, Rotated, Rotation, Store, StoreError, StoredRecord, Target, Upkeep, Use,
    },
};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, watch},
    task::spawn_blocking,
};

/// Where answers of the store can be held back.
pub(crate) struct Gate {
    /// One permit for everyone who came since it was closed.
    arrived: Semaphore,
    closed: watch::Sender<bool>,
}

impl Gate {
    fn open_from_the_start() -> Self {
        Self { arrived: Semaphore::new(0), closed: watch::Sender::new(false) }
    }

    async fn pass(&self) {
        self.arrived.add_permits(1);
        self.closed.subscribe().wait_for(|closed| !closed).await.unwrap();
    }

    pub(crate) fn close(&self) {
        self.arrived.forget_permits(self.arrived.available_permits());
        self.closed.send_replace(true);
    }

    pub(crate) fn open(&self) {
        self.closed.send_replace(false);
    }

    /// Waits for the next one who came since the gate was closed.
    pub(crate) async fn arrival(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }
}

/// A store that can be lost, slow or full.
pub(crate) struct Switch {
    store: Arc<dyn Store>,
    lost: AtomicBool,
    /// The next `lookup` panics.
    broken: AtomicBool,
    /// How many more batches of the audit are taken.
    audit_room: AtomicUsize,
    /// What `lookup` has read.
    pub(crate) reads: Gate,
    /// What `claim` has done.
    pub(crate) claims: Gate,
    /// What [`Upkeep::deliver`] is about to do.
    pub(crate) appends: Gate,
    /// What [`Upkeep::deliver`] has done.
    pub(crate) appended: Gate,
}

impl Switch {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        let gate = Gate::open_from_the_start;
        let (lost, broken, audit_room) = (AtomicBool::new(false), AtomicBool::new(false), AtomicUsize::new(usize::MAX));
        Self { store, lost, broken, audit_room, reads: gate(), claims: gate(), appends: gate(), appended: gate() }
    }

    /// Lost to decisions and polls.
    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::SeqCst);
    }

    pub(crate) fn find_again(&self) {
        self.lost.store(false, Ordering::SeqCst);
    }

    /// Panics in the next read of a key.
    pub(crate) fn break_once(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }

    /// Takes so many more batches of the audit, then refuses.
    pub(crate) fn take_batches(&self, count: usize) {
        self.audit_room.store(count, Ordering::SeqCst);
    }

    fn check(&self) -> Result<(), StoreError> {
        match self.lost.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable("switched off".into())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Decisions for Switch {
    async fn lookup(&self, key: &KeyDigests) -> Result<Reading, StoreError> {
        self.check()?;
        assert!(!self.broken.swap(false, Ordering::SeqCst), "as the test has asked for");
        let reading = self.store.lookup(key).await;
        self.reads.pass().await;
        reading
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        self.check()?;
        let claimed = self.store.claim(claim).await;
        self.claims.pass().await;
        claimed
    }

    async fn try_claim(&self, claim: Claim) -> Result<(), StoreError> {
        self.check()?;
        self.store.try_claim(claim).await
    }

    async fn changes_after(&self, applied: Revision) -> Result<Changes, StoreError> {
        self.check()?;
        self.store.changes_after(applied).await
    }
}

#[async_trait]
impl Operators for Switch {
    async fn apply(&self, change: Change, actor: &str, now: Timestamp) -> Result<Applied, ChangeError> {
        self.store.apply(change, actor, now).await
    }

    async fn rotate(&self, step: Rotation, actor: &str, now: Timestamp) -> Result<Rotated, ChangeError> {
        self.store.rotate(step, actor, now).await
    }

    async fn find(&self, target: Target) -> Result<KeyRow, ChangeError> {
        self.store.find(target).await
    }

    async fn list(&self, query: KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
        self.store.list(query).await
    }

    async fn would_deny_keys(&self, limit: u32) -> Result<Vec<KeyRow>, StoreError> {
        self.store.would_deny_keys(limit).await
    }

    async fn export_page(&self, after: Option<KeyId>, limit: u32) -> Result<Vec<ExportedKey>, StoreError> {
        self.store.export_page(after, limit).await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.store.counts().await
    }

    async fn crowded_networks(&self, limit: u32) -> Result<Vec<CrowdedNetwork>, StoreError> {
        self.store.crowded_networks(limit).await
    }

    async fn denials_since(&self, since: Timestamp) -> Result<Vec<DenialCount>, StoreError> {
        self.store.denials_since(since).await
    }

    async fn peppers(&self) -> Result<Vec<PepperRow>, StoreError> {
        self.store.peppers().await
    }

    async fn audit(&self, query: AuditQuery) -> Result<Vec<StoredRecord>, StoreError> {
        self.store.audit(query).await
    }
}

#[async_trait]
impl Upkeep for Switch {
    async fn note_uses(&self, uses: Vec<Use>) -> Result<u64, StoreError> {
        self.check()?;
        self.store.note_uses(uses).await
    }

    async fn deliver(&self, batch: BatchId, records: Vec<Record>) -> Result<u64, StoreError> {
        self.appends.pass().await;
        let room = self.audit_room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |room| room.checked_sub(1));
        room.map_err(|_| StoreError::Unavailable("switched to full".into()))?;
        // A paused clock stands still while blocking work is under way, but not for a thread of the store's own.
        let (store, runtime) = (Arc::clone(&self.store), Handle::current());
        let appended = spawn_blocking(move || runtime.block_on(store.deliver(batch, records))).await.unwrap();
        self.appended.pass().await;
        appended
    }

    async fn prune_audit(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.store.prune_audit(before, limit).await
    }

    async fn tick(&self, now: Timestamp) -> Result<Vec<Pause>, StoreError> {
        self.store.tick(now).await
    }

    async fn uses_written(&self, until: Timestamp) -> Result<(), StoreError> {
        self.check()?;
        self.store.uses_written(until).await
    }

    async fn replicas(&self, now: Timestamp, forget_before: Timestamp) -> Result<Vec<Replica>, StoreError> {
        self.store.replicas(now, forget_before).await
    }

    async fn archive(&self, unused_since: Timestamp, limit: u32, now: Timestamp) -> Result<Vec<Record>, StoreError> {
        self.store.archive(unused_since, limit, now).await
    }

    async fn expire(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.store.expire(before, limit).await
    }

    async fn rekey(&self, moves: Vec<Rekey>, now: Timestamp) -> Result<u64, StoreError> {
        self.store.rekey(moves, now).await
    }

    async fn import(
        &self,
        keys: Vec<ExportedKey>,
        peppers: Vec<KnownPepper>,
        actor: &str,
        now: Timestamp,
    ) -> Result<Imported, StoreError> {
        self.store.import(keys, peppers, actor, now).await
    }
}

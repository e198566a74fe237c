//! The running store, and the thread that serves each operation.

use std::io;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::watch;

use super::{
    audit, change, claim, exported, facts, last_use, listing,
    lock::OwnerLock,
    pepper, revision, running,
    worker::{Role, Worker},
};
use crate::{
    domain::{
        KeyDigests, KeyId, Timestamp,
        event::Record,
        running::{Pause, Replica},
    },
    store::{
        Applied, AuditQuery, BatchId, Change, ChangeError, Changes, Claim, Claimed, Counts, CrowdedNetwork, Decisions,
        DenialCount, ExportedKey, Imported, KeyQuery, KeyRow, KnownPepper, Operators, PepperRow, Reading, Rekey,
        Revision, Rotated, Rotation, StoreError, StoredRecord, Target, Upkeep, Use,
        rules::{DENIALS_WINDOW, replica_name},
    },
};

/// IMMEDIATE: a transaction that begins with a read could fail to become a writer, and would lose what it read.
const WRITER: Role = Role { name: "store-writer", begin: "BEGIN IMMEDIATE", batch: 512, writes: true };
const LOOKUP: Role = Role { name: "store-lookup", begin: "BEGIN", batch: 512, writes: false };
/// One call per transaction: an old snapshot keeps the write-ahead log from being reused.
const SCAN: Role = Role { name: "store-scan", begin: "BEGIN", batch: 1, writes: false };

/// A running SQLite store. Dropping it finishes the queued calls, joins its threads and releases the file, and blocks
/// for as long as a commit may take.
#[derive(Debug)]
pub struct SqliteStore {
    // Dropped in this order: the writer closes the last connection, which empties the write-ahead log, and only then
    // may another process take the file.
    lookup: Worker,
    scan: Worker,
    writer: Worker,
    /// The name of this replica.
    replica: String,
    ended: watch::Receiver<Option<&'static str>>,
    _lock: OwnerLock,
}

impl SqliteStore {
    pub(super) fn spawn(writer: Connection, lookup: Connection, scan: Connection, lock: OwnerLock) -> io::Result<Self> {
        let (notice, ended) = watch::channel(None);
        Ok(Self {
            lookup: Worker::start(LOOKUP, lookup, notice.clone())?,
            scan: Worker::start(SCAN, scan, notice.clone())?,
            writer: Worker::start(WRITER, writer, notice)?,
            replica: replica_name(),
            ended,
            _lock: lock,
        })
    }

    /// Waits until one of the threads of the store has ended, and returns its name. While the store is in use, this is
    /// a fault that only a restart repairs: every later call to that thread is [`StoreError::Unavailable`].
    pub fn closed(&self) -> impl Future<Output = &'static str> + Send + use<> {
        let mut ended = self.ended.clone();
        async move {
            let name = ended.wait_for(Option::is_some).await.ok().and_then(|name| *name);
            name.unwrap_or("store")
        }
    }
}

#[async_trait]
impl Decisions for SqliteStore {
    async fn lookup(&self, key: &KeyDigests) -> Result<Reading, StoreError> {
        let key = *key;
        self.lookup.call(move |conn| facts::reading(conn, &key)).await
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        self.writer.call(move |conn| claim::claim(conn, &claim)).await
    }

    async fn try_claim(&self, claim: Claim) -> Result<(), StoreError> {
        self.writer.call(move |conn| claim::try_claim(conn, &claim)).await
    }

    async fn changes_after(&self, applied: Revision) -> Result<Changes, StoreError> {
        self.lookup.call(move |conn| revision::changes_after(conn, applied)).await
    }
}

#[async_trait]
impl Operators for SqliteStore {
    async fn apply(&self, change: Change, actor: &str, now: Timestamp) -> Result<Applied, ChangeError> {
        let actor = actor.to_owned();
        let applied: Applied = self.writer.call(move |conn| change::apply(conn, &change, &actor, now)).await?;
        // Outside of the transaction of the writer, because first uses wait for it. The change is made whether or not
        // this succeeds.
        let (id, since) = (applied.key_id, now.before(DENIALS_WINDOW));
        let refused = self.scan.call(move |conn| audit::refused(conn, id, since)).await.unwrap_or_default();
        Ok(Applied { refused, ..applied })
    }

    async fn rotate(&self, step: Rotation, actor: &str, now: Timestamp) -> Result<Rotated, ChangeError> {
        let actor = actor.to_owned();
        self.writer.call(move |conn| pepper::rotate(conn, &step, &actor, now)).await
    }

    async fn find(&self, target: Target) -> Result<KeyRow, ChangeError> {
        self.scan.call(move |conn| listing::find(conn, &target)).await
    }

    async fn list(&self, query: KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
        self.scan.call(move |conn| listing::list(conn, &query)).await
    }

    async fn would_deny_keys(&self, limit: u32) -> Result<Vec<KeyRow>, StoreError> {
        self.scan.call(move |conn| listing::would_deny_keys(conn, limit)).await
    }

    async fn export_page(&self, after: Option<KeyId>, limit: u32) -> Result<Vec<ExportedKey>, StoreError> {
        self.scan.call(move |conn| exported::page(conn, after, limit)).await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.scan.call(listing::counts).await
    }

    async fn crowded_networks(&self, limit: u32) -> Result<Vec<CrowdedNetwork>, StoreError> {
        self.scan.call(move |conn| listing::crowded_networks(conn, limit)).await
    }

    async fn denials_since(&self, since: Timestamp) -> Result<Vec<DenialCount>, StoreError> {
        self.scan.call(move |conn| listing::denials_since(conn, since)).await
    }

    async fn peppers(&self) -> Result<Vec<PepperRow>, StoreError> {
        self.scan.call(pepper::peppers).await
    }

    async fn audit(&self, query: AuditQuery) -> Result<Vec<StoredRecord>, StoreError> {
        self.scan.call(move |conn| audit::list(conn, &query)).await
    }
}

#[async_trait]
impl Upkeep for SqliteStore {
    async fn note_uses(&self, uses: Vec<Use>) -> Result<u64, StoreError> {
        self.writer.call(move |conn| last_use::note_uses(conn, &uses)).await
    }

    async fn deliver(&self, batch: BatchId, records: Vec<Record>) -> Result<u64, StoreError> {
        self.writer.call(move |conn| audit::deliver(conn, batch, &records)).await
    }

    async fn prune_audit(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.writer.call(move |conn| audit::prune(conn, before, limit)).await
    }

    async fn tick(&self, now: Timestamp) -> Result<Vec<Pause>, StoreError> {
        self.writer.call(move |conn| running::tick(conn, now)).await
    }

    async fn uses_written(&self, until: Timestamp) -> Result<(), StoreError> {
        let name = self.replica.clone();
        self.writer.call(move |conn| running::uses_written(conn, &name, until)).await
    }

    async fn replicas(&self, now: Timestamp, forget_before: Timestamp) -> Result<Vec<Replica>, StoreError> {
        let name = self.replica.clone();
        self.writer.call(move |conn| running::replicas(conn, &name, now, forget_before)).await
    }

    async fn archive(&self, unused_since: Timestamp, limit: u32, now: Timestamp) -> Result<Vec<Record>, StoreError> {
        self.writer.call(move |conn| last_use::archive(conn, unused_since, limit, now)).await
    }

    async fn expire(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.writer.call(move |conn| last_use::expire(conn, before, limit)).await
    }

    async fn rekey(&self, moves: Vec<Rekey>, now: Timestamp) -> Result<u64, StoreError> {
        self.writer.call(move |conn| pepper::rekey(conn, &moves, now)).await
    }

    async fn import(
        &self,
        keys: Vec<ExportedKey>,
        peppers: Vec<KnownPepper>,
        actor: &str,
        now: Timestamp,
    ) -> Result<Imported, StoreError> {
        let actor = actor.to_owned();
        self.writer.call(move |conn| exported::import(conn, &keys, &peppers, &actor, now)).await
    }
}

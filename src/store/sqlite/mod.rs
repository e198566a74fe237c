//! The store in one SQLite file: nothing to install.
//!
//! [`Database::open`] takes the file for this process and brings its schema up to date; [`Database::start`] checks the
//! pepper and starts three threads, each with its own connection. The *writer* commits many calls with one sync of the
//! disk; *lookup* answers what decisions wait for; *scan* answers operators, so that no listing delays a decision.

mod audit;
mod change;
mod chore;
mod claim;
mod counts;
mod error;
mod facts;
mod life;
mod listing;
mod lock;
mod migrate;
mod moving;
mod names;
mod open;
mod owner;
mod pepper;
mod rekey;
mod revision;
mod rows;
mod worker;

use std::io;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::watch;

use self::{
    lock::OwnerLock,
    worker::{Role, Worker},
};
use super::{
    Applied, AuditQuery, Change, ChangeError, Changes, Chore, Claim, Claimed, CountQuery, Counts, KeyQuery, KeyRow,
    Reading, Revision, Rotated, Rotation, Store, StoreError, Stored, Target, Tended, rules::REFUSED_SINCE,
};
use crate::domain::{KeyDigests, Timestamp};

pub use error::OpenError;
pub use open::{Database, RecordedPepper};

/// IMMEDIATE: a transaction that began as a reader could not become a writer without losing what it read.
const WRITER: Role = Role { name: "store-writer", begin: "BEGIN IMMEDIATE", batch: 512 };
const LOOKUP: Role = Role { name: "store-lookup", begin: "BEGIN", batch: 512 };
/// One at a time: an old snapshot keeps the write-ahead log from being reused.
const SCAN: Role = Role { name: "store-scan", begin: "BEGIN", batch: 1 };

/// A running SQLite store. Dropping it finishes what is queued, joins its threads and gives the file free; that blocks
/// for as long as a commit may take.
#[derive(Debug)]
pub struct SqliteStore {
    // In the order in which they end: the writer closes the last connection, which empties the write-ahead log, and
    // only then may another process own the file.
    lookup: Worker,
    scan: Worker,
    writer: Worker,
    ended: watch::Receiver<Option<&'static str>>,
    _lock: OwnerLock,
}

impl SqliteStore {
    fn spawn(writer: Connection, lookup: Connection, scan: Connection, lock: OwnerLock) -> io::Result<Self> {
        let (notice, ended) = watch::channel(None);
        Ok(Self {
            lookup: Worker::start(LOOKUP, lookup, notice.clone())?,
            scan: Worker::start(SCAN, scan, notice.clone())?,
            writer: Worker::start(WRITER, writer, notice)?,
            ended,
            _lock: lock,
        })
    }

    /// Waits until one of the store's threads has ended, and names it. While the store is in use that is a fault that
    /// only a restart repairs: every later call of that thread's kind is [`StoreError::Unavailable`].
    pub fn closed(&self) -> impl Future<Output = &'static str> + Send + use<> {
        let mut ended = self.ended.clone();
        async move {
            let name = ended.wait_for(Option::is_some).await.ok().and_then(|name| *name);
            name.unwrap_or("store")
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn lookup(&self, key: &KeyDigests) -> Result<Reading, StoreError> {
        let key = *key;
        self.lookup.call(move |conn| facts::reading(conn, &key)).await
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        self.writer.call(move |conn| claim::claim(conn, &claim)).await
    }

    async fn apply(&self, change: Change, actor: &str, now: Timestamp) -> Result<Applied, ChangeError> {
        let actor = actor.to_owned();
        let applied: Applied = self.writer.call(move |conn| change::apply(conn, &change, &actor, now)).await?;
        // Not in the writer's transaction, which first uses wait for. The change is made, whether or not this succeeds.
        let (id, since) = (applied.key_id, now.before(REFUSED_SINCE));
        let refused = self.scan.call(move |conn| audit::refused(conn, id, since)).await.unwrap_or_default();
        Ok(Applied { refused, ..applied })
    }

    async fn rotate(&self, step: Rotation, actor: &str, now: Timestamp) -> Result<Rotated, ChangeError> {
        let actor = actor.to_owned();
        self.writer.call(move |conn| pepper::rotate(conn, &step, &actor, now)).await
    }

    async fn changes_after(&self, applied: Revision) -> Result<Changes, StoreError> {
        self.lookup.call(move |conn| facts::changes_after(conn, applied)).await
    }

    async fn keys(&self, query: KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
        self.scan.call(move |conn| listing::keys(conn, &query)).await
    }

    async fn find(&self, target: Target) -> Result<KeyRow, ChangeError> {
        self.scan.call(move |conn| listing::find(conn, &target)).await
    }

    async fn audit(&self, query: AuditQuery) -> Result<Vec<Stored>, StoreError> {
        self.scan.call(move |conn| audit::list(conn, &query)).await
    }

    async fn tend(&self, chore: Chore) -> Result<Tended, StoreError> {
        self.writer.call(move |conn| chore::tend(conn, &chore)).await
    }

    async fn counts(&self, query: CountQuery) -> Result<Counts, StoreError> {
        self.scan.call(move |conn| counts::counts(conn, query)).await
    }
}

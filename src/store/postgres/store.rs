//! The running store, and the lane of each operation.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::timeout;

use super::{
    audit, change, claim,
    connect::{Options, TlsFault},
    exported, facts, last_use, listing, partitions, pepper, revision, running,
    session::{Lane, Session, Writes},
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

/// The statement timeouts. A statement of a decision is cancelled by the server if its caller is gone, but not before
/// its caller gives up.
const DECISION: Duration = Duration::from_secs(1);
const CHANGE: Duration = Duration::from_secs(10);
const SCAN: Duration = Duration::from_secs(60);
const REFUSED_TIMEOUT: Duration = Duration::from_secs(2);

/// A PostgreSQL store. Dropping it closes its connections.
#[derive(Debug)]
pub struct PostgresStore {
    pub(super) lanes: Lanes,
    /// Its hosts and its name.
    pub(super) database: String,
    /// The name of this replica.
    replica: String,
    /// Set by `prepare`: no operation runs before the schema and the pepper are checked.
    pub(super) prepared: AtomicBool,
}

#[derive(Debug)]
pub(super) struct Lanes {
    decisions: Lane,
    pub(super) polls: Lane,
    pub(super) changes: Lane,
    upkeep: Lane,
    scans: Lane,
}

impl PostgresStore {
    /// Creates a store for `options`; does not connect yet.
    pub fn new(options: &Options) -> Result<Self, TlsFault> {
        let (server, replica) = (Arc::default(), replica_name());
        let options = options.clone().named(&replica);
        let lane = |size, patience| options.pool(size, patience, &server).map(|pool| Lane::new(pool, patience));
        let lanes = Lanes {
            decisions: lane(options.connections, options.patience.max(DECISION))?,
            polls: lane(1, DECISION)?,
            changes: lane(2, CHANGE)?,
            upkeep: lane(2, CHANGE)?,
            scans: lane(2, SCAN)?,
        };
        Ok(Self { lanes, database: options.to_string(), replica, prepared: AtomicBool::new(false) })
    }

    async fn session(&self, lane: &Lane, writes: Writes) -> Result<Session, StoreError> {
        match self.prepared.load(Ordering::Acquire) {
            true if writes == Writes::Nothing => Session::take(lane).await,
            true => Session::take_to_write(lane, writes).await,
            false => Err(StoreError::Unavailable(format!("{} has not been reached yet", self.database))),
        }
    }
}

/// `run!(self.lane, operation, value, …)` runs the operation on a connection of the lane, and ends its transaction.
/// `run!(InTransaction self.lane, …)` runs one that writes so.
macro_rules! run {
    ($store:ident.$lane:ident, $operation:path $(, $value:expr)*) => {
        run!(Nothing $store.$lane, $operation $(, $value)*)
    };
    ($writes:ident $store:ident.$lane:ident, $operation:path $(, $value:expr)*) => {{
        let mut session = $store.session(&$store.lanes.$lane, Writes::$writes).await?;
        let done = $operation(&mut session $(, $value)*).await;
        session.end(done).await
    }};
}

#[async_trait]
impl Decisions for PostgresStore {
    async fn lookup(&self, key: &KeyDigests) -> Result<Reading, StoreError> {
        run!(self.decisions, facts::reading, key)
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        run!(InTransaction self.decisions, claim::claim, &claim)
    }

    async fn try_claim(&self, claim: Claim) -> Result<(), StoreError> {
        run!(InTransaction self.decisions, claim::try_claim, &claim)
    }

    async fn changes_after(&self, applied: Revision) -> Result<Changes, StoreError> {
        run!(self.polls, revision::changes_after, applied)
    }
}

#[async_trait]
impl Operators for PostgresStore {
    async fn apply(&self, change: Change, actor: &str, now: Timestamp) -> Result<Applied, ChangeError> {
        let applied = run!(InTransaction self.changes, change::apply, &change, actor, now)?;
        // The change is made whether or not this succeeds, and its answer must not wait for a long listing.
        let refused = async { run!(self.scans, audit::refused, applied.key_id, now.before(DENIALS_WINDOW)) };
        let refused = timeout(REFUSED_TIMEOUT, refused).await.unwrap_or(Ok(Vec::new())).unwrap_or_default();
        Ok(Applied { refused, ..applied })
    }

    async fn rotate(&self, step: Rotation, actor: &str, now: Timestamp) -> Result<Rotated, ChangeError> {
        run!(InTransaction self.changes, pepper::rotate, &step, actor, now)
    }

    async fn find(&self, target: Target) -> Result<KeyRow, ChangeError> {
        run!(self.scans, listing::find, &target)
    }

    async fn list(&self, query: KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
        run!(self.scans, listing::list, &query)
    }

    async fn would_deny_keys(&self, limit: u32) -> Result<Vec<KeyRow>, StoreError> {
        run!(self.scans, listing::would_deny_keys, limit)
    }

    async fn export_page(&self, after: Option<KeyId>, limit: u32) -> Result<Vec<ExportedKey>, StoreError> {
        run!(self.scans, exported::page, after, limit)
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        run!(self.scans, listing::counts)
    }

    async fn crowded_networks(&self, limit: u32) -> Result<Vec<CrowdedNetwork>, StoreError> {
        run!(self.scans, listing::crowded_networks, limit)
    }

    async fn denials_since(&self, since: Timestamp) -> Result<Vec<DenialCount>, StoreError> {
        run!(self.scans, listing::denials_since, since)
    }

    async fn peppers(&self) -> Result<Vec<PepperRow>, StoreError> {
        run!(self.scans, pepper::peppers)
    }

    async fn audit(&self, query: AuditQuery) -> Result<Vec<StoredRecord>, StoreError> {
        run!(self.scans, audit::list, &query)
    }
}

#[async_trait]
impl Upkeep for PostgresStore {
    async fn note_uses(&self, uses: Vec<Use>) -> Result<u64, StoreError> {
        run!(Anywhere self.upkeep, last_use::note_uses, uses)
    }

    async fn deliver(&self, batch: BatchId, records: Vec<Record>) -> Result<u64, StoreError> {
        run!(Anywhere self.upkeep, audit::deliver, batch, &records)
    }

    async fn prune_audit(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        run!(Anywhere self.upkeep, partitions::prune, before, limit)
    }

    async fn tick(&self, now: Timestamp) -> Result<Vec<Pause>, StoreError> {
        run!(Anywhere self.upkeep, running::tick, now)
    }

    async fn uses_written(&self, until: Timestamp) -> Result<(), StoreError> {
        run!(Anywhere self.upkeep, running::uses_written, &self.replica, until)
    }

    async fn replicas(&self, now: Timestamp, forget_before: Timestamp) -> Result<Vec<Replica>, StoreError> {
        run!(Anywhere self.upkeep, running::replicas, &self.replica, now, forget_before)
    }

    async fn archive(&self, unused_since: Timestamp, limit: u32, now: Timestamp) -> Result<Vec<Record>, StoreError> {
        run!(Anywhere self.upkeep, last_use::archive, unused_since, limit, now)
    }

    async fn expire(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        run!(Anywhere self.upkeep, last_use::expire, before, limit)
    }

    async fn rekey(&self, moves: Vec<Rekey>, now: Timestamp) -> Result<u64, StoreError> {
        run!(Anywhere self.upkeep, pepper::rekey, &moves, now)
    }

    async fn import(
        &self,
        keys: Vec<ExportedKey>,
        peppers: Vec<KnownPepper>,
        actor: &str,
        now: Timestamp,
    ) -> Result<Imported, StoreError> {
        run!(InTransaction self.upkeep, exported::import, &keys, &peppers, actor, now)
    }
}

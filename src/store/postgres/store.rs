//! The running store: which lane answers which question.

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
    audit, change, changes, claim,
    connect::{Options, TlsFault},
    counts, exported, facts, import, life, listing, partitions, pepper, rekey,
    session::{Lane, Session},
};
use crate::{
    domain::{KeyDigests, KeyId, Timestamp, event::Record},
    store::{
        Applied, AuditQuery, BatchId, Change, ChangeError, Changes, Claim, Claimed, Counts, Crowded, Decisions, Denied,
        ExportedKey, Imported, KeyQuery, KeyRow, KnownPepper, Operators, PepperRow, Reading, Rekey, Revision, Rotated,
        Rotation, StoreError, Stored, Target, Upkeep, Use, rules::REFUSED_SINCE,
    },
};

/// What a decision waits for ends by itself when its caller is gone, but not before the caller is.
const DECISION: Duration = Duration::from_secs(1);
const CHANGE: Duration = Duration::from_secs(10);
const SCAN: Duration = Duration::from_secs(60);
const REFUSED: Duration = Duration::from_secs(2);

/// A PostgreSQL store. Dropping it closes its connections.
#[derive(Debug)]
pub struct PostgresStore {
    pub(super) lanes: Lanes,
    pub(super) place: String,
    /// Nothing is asked of a database before its schema and its pepper are known to be ours.
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
    /// A store at `options`; nothing is connected yet.
    pub fn new(options: &Options) -> Result<Self, TlsFault> {
        let server = Arc::default();
        let lane = |size, patience| options.pool(size, patience, &server).map(|pool| Lane::new(pool, patience));
        let lanes = Lanes {
            decisions: lane(options.connections(), options.patience().max(DECISION))?,
            polls: lane(1, DECISION)?,
            changes: lane(2, CHANGE)?,
            upkeep: lane(2, CHANGE)?,
            scans: lane(2, SCAN)?,
        };
        Ok(Self { lanes, place: options.to_string(), prepared: AtomicBool::new(false) })
    }

    async fn session(&self, lane: &Lane) -> Result<Session, StoreError> {
        match self.prepared.load(Ordering::Acquire) {
            true => Session::take(lane).await,
            false => Err(StoreError::Unavailable(format!("{} was not reached yet", self.place))),
        }
    }

    async fn deciding(&self) -> Result<Session, StoreError> {
        self.session(&self.lanes.decisions).await
    }

    async fn polling(&self) -> Result<Session, StoreError> {
        self.session(&self.lanes.polls).await
    }

    async fn changing(&self) -> Result<Session, StoreError> {
        self.session(&self.lanes.changes).await
    }

    async fn upkeep(&self) -> Result<Session, StoreError> {
        self.session(&self.lanes.upkeep).await
    }

    async fn scanning(&self) -> Result<Session, StoreError> {
        self.session(&self.lanes.scans).await
    }
}

#[async_trait]
impl Decisions for PostgresStore {
    async fn lookup(&self, key: &KeyDigests) -> Result<Reading, StoreError> {
        facts::reading(&mut self.deciding().await?, key).await
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let mut session = self.deciding().await?;
        let claimed = claim::claim(&mut session, &claim).await;
        session.end(claimed).await
    }

    async fn changes_after(&self, applied: Revision) -> Result<Changes, StoreError> {
        changes::changes_after(&mut self.polling().await?, applied).await
    }
}

#[async_trait]
impl Operators for PostgresStore {
    async fn apply(&self, change: Change, actor: &str, now: Timestamp) -> Result<Applied, ChangeError> {
        let mut session = self.changing().await?;
        let applied = change::apply(&mut session, &change, actor, now).await;
        let applied = session.end(applied).await?;
        // The change is made, whether or not this succeeds, and its answer does not wait for somebody's long listing.
        let refused =
            async { audit::refused(&mut self.scanning().await?, applied.key_id, now.before(REFUSED_SINCE)).await };
        let refused = timeout(REFUSED, refused).await.unwrap_or(Ok(Vec::new())).unwrap_or_default();
        Ok(Applied { refused, ..applied })
    }

    async fn rotate(&self, step: Rotation, actor: &str, now: Timestamp) -> Result<Rotated, ChangeError> {
        let mut session = self.changing().await?;
        let rotated = pepper::rotate(&mut session, &step, actor, now).await;
        session.end(rotated).await
    }

    async fn find(&self, target: Target) -> Result<KeyRow, ChangeError> {
        let mut session = self.scanning().await?;
        let found = listing::find(&mut session, &target).await;
        session.end(found).await
    }

    async fn list(&self, query: KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
        let mut session = self.scanning().await?;
        let found = listing::list(&mut session, &query).await;
        session.end(found).await
    }

    async fn would_deny_keys(&self, limit: u32) -> Result<Vec<KeyRow>, StoreError> {
        let mut session = self.scanning().await?;
        let found = listing::would_deny_keys(&mut session, limit).await;
        session.end(found).await
    }

    async fn export_page(&self, after: Option<KeyId>, limit: u32) -> Result<Vec<ExportedKey>, StoreError> {
        let mut session = self.scanning().await?;
        let found = exported::page(&mut session, after, limit).await;
        session.end(found).await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        counts::counts(&mut self.scanning().await?).await
    }

    async fn crowded_networks(&self, limit: u32) -> Result<Vec<Crowded>, StoreError> {
        counts::crowded_networks(&mut self.scanning().await?, limit).await
    }

    async fn denials_since(&self, since: Timestamp) -> Result<Vec<Denied>, StoreError> {
        counts::denials_since(&mut self.scanning().await?, since).await
    }

    async fn peppers(&self) -> Result<Vec<PepperRow>, StoreError> {
        pepper::peppers(&mut self.scanning().await?).await
    }

    async fn audit(&self, query: AuditQuery) -> Result<Vec<Stored>, StoreError> {
        let mut session = self.scanning().await?;
        let found = audit::list(&mut session, &query).await;
        session.end(found).await
    }
}

#[async_trait]
impl Upkeep for PostgresStore {
    async fn note_uses(&self, uses: Vec<Use>) -> Result<u64, StoreError> {
        let mut session = self.upkeep().await?;
        let touched = life::note_uses(&mut session, uses).await;
        session.end(touched).await
    }

    async fn deliver(&self, batch: BatchId, records: Vec<Record>) -> Result<u64, StoreError> {
        let mut session = self.upkeep().await?;
        let appended = audit::deliver(&mut session, batch, &records).await;
        session.end(appended).await
    }

    async fn prune_audit(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let mut session = self.upkeep().await?;
        let deleted = partitions::prune(&mut session, before, limit).await;
        session.end(deleted).await
    }

    async fn archive(&self, unused_since: Timestamp, limit: u32, now: Timestamp) -> Result<Vec<Record>, StoreError> {
        let mut session = self.upkeep().await?;
        let records = life::archive(&mut session, unused_since, limit, now).await;
        session.end(records).await
    }

    async fn expire(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let mut session = self.upkeep().await?;
        let deleted = life::expire(&mut session, before, limit).await;
        session.end(deleted).await
    }

    async fn rekey(&self, moves: Vec<Rekey>, now: Timestamp) -> Result<u64, StoreError> {
        let mut session = self.upkeep().await?;
        let moved = rekey::rekey(&mut session, &moves, now).await;
        session.end(moved).await
    }

    async fn import(
        &self,
        keys: Vec<ExportedKey>,
        peppers: Vec<KnownPepper>,
        actor: &str,
        now: Timestamp,
    ) -> Result<Imported, StoreError> {
        let mut session = self.upkeep().await?;
        let imported = import::import(&mut session, &keys, &peppers, actor, now).await;
        session.end(imported).await
    }
}

//! The store in a PostgreSQL database: the authority of many replicas.
//!
//! [`PostgresStore::new`] connects to nothing; [`PostgresStore::prepare`] brings the schema up to date and checks the
//! pepper, and may be tried until the server is there. Five lanes, so that nobody waits behind what takes longer:
//! *decisions* for what requests wait for, *polls* for the change log, because a replica whose decisions all wait is not
//! cut off, and because a connection that is proven every second is the last to be dead unnoticed, *changes* for what
//! operators change, *chores* for what nobody waits for, *scans* for operators' questions.
//!
//! Every statement sees what is committed when it begins (READ COMMITTED), so what is read under a lock is the last word.
//! Locks are taken in one order: the pepper's, those of keys by their number, rows by their id, the revision.

mod audit;
mod change;
mod claim;
mod connect;
mod counts;
mod facts;
mod keys;
mod life;
mod listen;
mod listing;
mod moving;
mod open;
mod owner;
mod partitions;
mod pepper;
mod rekey;
mod revision;
mod rows;
mod server;
mod session;
mod whole;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::timeout;

use self::session::{Lane, Session};
use super::{
    Applied, AuditQuery, Change, ChangeError, Changes, Chore, Claim, Claimed, CountQuery, Counts, KeyQuery, KeyRow,
    Reading, Revision, Rotated, Rotation, Store, StoreError, Stored, Target, Tended, rules::REFUSED_SINCE,
};
use crate::domain::{KeyDigests, Timestamp};

pub use connect::{Options, TlsFault, UrlFault};
pub use listen::Notifications;
pub use open::OpenError;

/// What a decision waits for ends by itself when its caller is gone, but not before the caller is.
const DECISION: Duration = Duration::from_secs(1);
const CHANGE: Duration = Duration::from_secs(10);
const SCAN: Duration = Duration::from_secs(60);
const REFUSED: Duration = Duration::from_secs(2);

/// A PostgreSQL store. Dropping it closes its connections.
#[derive(Debug)]
pub struct PostgresStore {
    lanes: Lanes,
    place: String,
    /// Nothing is asked of a database before its schema and its pepper are known to be ours.
    prepared: AtomicBool,
}

#[derive(Debug)]
struct Lanes {
    decisions: Lane,
    polls: Lane,
    changes: Lane,
    chores: Lane,
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
            chores: lane(2, CHANGE)?,
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

    async fn tending(&self) -> Result<Session, StoreError> {
        self.session(&self.lanes.chores).await
    }

    async fn scanning(&self) -> Result<Session, StoreError> {
        self.session(&self.lanes.scans).await
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn lookup(&self, key: &KeyDigests) -> Result<Reading, StoreError> {
        facts::reading(&mut self.deciding().await?, key).await
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let mut session = self.deciding().await?;
        let claimed = claim::claim(&mut session, &claim).await;
        session.end(claimed).await
    }

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

    async fn changes_after(&self, applied: Revision) -> Result<Changes, StoreError> {
        facts::changes_after(&mut self.polling().await?, applied).await
    }

    async fn keys(&self, query: KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
        let mut session = self.scanning().await?;
        let found = listing::keys(&mut session, &query).await;
        session.end(found).await
    }

    async fn find(&self, target: Target) -> Result<KeyRow, ChangeError> {
        let mut session = self.scanning().await?;
        let found = listing::find(&mut session, &target).await;
        session.end(found).await
    }

    async fn audit(&self, query: AuditQuery) -> Result<Vec<Stored>, StoreError> {
        let mut session = self.scanning().await?;
        let found = audit::list(&mut session, &query).await;
        session.end(found).await
    }

    async fn tend(&self, chore: Chore) -> Result<Tended, StoreError> {
        let mut session = self.tending().await?;
        let rows = match chore {
            Chore::NoteUses(uses) => life::note_uses(&mut session, uses).await,
            Chore::Deliver { batch, records } => {
                let is_new = audit::deliver(&mut session, batch, &records).await;
                is_new.map(|is_new| if is_new { records.len() as u64 } else { 0 })
            }
            Chore::PruneAudit { before, limit } => partitions::prune(&mut session, before, limit).await,
            Chore::Archive { unused_since, limit, now } => {
                let records = life::archive(&mut session, unused_since, limit, now).await;
                let records = session.end(records).await?;
                return Ok(Tended { rows: records.len() as u64, records, ..Tended::default() });
            }
            Chore::Import { keys, peppers, actor, now } => {
                let imported = moving::import(&mut session, &keys, &peppers, &actor, now).await;
                return session.end(imported).await;
            }
            Chore::Expire { before, limit } => life::expire(&mut session, before, limit).await,
            Chore::Rekey { moves, now } => rekey::rekey(&mut session, &moves, now).await,
        };
        let rows = session.end(rows).await?;
        Ok(Tended { rows, ..Tended::default() })
    }

    async fn counts(&self, query: CountQuery) -> Result<Counts, StoreError> {
        counts::counts(&mut self.scanning().await?, query).await
    }
}

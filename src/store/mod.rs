//! Where bindings, bans and the audit live.
//!
//! [`Store`] is the contract that every backend keeps; `tests/store_contract/` runs one suite over all of them.
//! Operations are whole: there is no get-then-put, so no caller can lose a race that the backend has not decided.

mod change;
mod chore;
mod claim;
mod error;
mod listing;
mod moving;
pub mod observed;
pub mod postgres;
mod records;
pub mod rekey;
mod replica_state;
mod rotation;
mod rules;
pub(crate) mod snapshot;
pub mod sqlite;

pub use change::{Action, Applied, Change, RefusedNetwork, Target};
pub use chore::{Chore, Tended};
pub use claim::{Claim, Claimed, MAX_CANDIDATES, Purpose, Slots, Use};
pub use error::{ChangeError, PepperFault, Refusal, StoreError};
pub use listing::{Archived, CountQuery, Counts, Crowded, Denied, KeyQuery, KeyRow, Life, Order};
pub use moving::{ArchivedBinding, ExportedKey, KnownPepper, Moving};
pub use records::{AuditOrder, AuditQuery, BatchId, RecordId, SpoolId, Stored};
pub use replica_state::ReplicaState;
pub use rotation::{FORGOTTEN_AT_ONCE, PepperRow, PepperUsage, Rekey, Rotated, Rotation};

use std::fmt;

use async_trait::async_trait;

use crate::domain::{KeyDigest, KeyDigests, KeyFacts, PepperId, Timestamp};

/// Counts the changes that can make a cached fact wrong. Taken from a locked row inside the change's transaction, so
/// that revisions become visible in their order; a sequence would not promise that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub i64);

/// A store that outlives the process.
///
/// Every method may be cancelled at any await: the operation then happened or did not, and the next call sees which.
/// A write is durable (covered by an fdatasync or its equivalent) before its `Ok`.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What is known of `key`, with the revision of the statement that read it. Never creates anything. A key has one
    /// row, under one of its digests; all are looked up in one snapshot.
    async fn lookup(&self, key: &KeyDigests) -> Result<Reading, StoreError>;

    /// Makes `claim.network` the owner of the key, or one more owner within its learn window, or, for
    /// [`Purpose::Observe`], a candidate. A ban in force stands in the way, and so does a binding that is sealed. Among
    /// racing callers each slot has exactly one [`Claimed::Won`]; the others get [`Claimed::Held`] with what stood in
    /// their way, read after the winner's commit. The audit record is part of the same transaction. An open binding
    /// whose window is over or whose slots are taken is sealed on the way: what is sealed was sealed by a transaction,
    /// so that no two clocks can disagree on it.
    ///
    /// A claim takes no revision, because caches never say that a key is nobody's. Only one that forgets candidates does:
    /// caches tell those that the key is theirs.
    ///
    /// Nothing is written under a pepper that is not the active one: that is [`StoreError::Behind`]. Claims hold a lock
    /// on the active pepper to the end of their transaction, shared among them and exclusive for [`Store::rotate`]
    /// (SQLite has one writer, which is that lock; in PostgreSQL it is a transaction-level advisory lock), so no claim
    /// can commit a row under a pepper of yesterday after the activation of today's. The row of a key that is found
    /// under another of its digests is re-keyed on the way.
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError>;

    /// Carries out an operator's change in one transaction: the row, its audit record and `revision + 1`. A refusal
    /// changes nothing. The target is resolved inside the transaction, over bindings, bans and archived rows.
    async fn apply(&self, change: Change, actor: &str, now: Timestamp) -> Result<Applied, ChangeError>;

    /// Carries out a step of a rotation in one transaction with its audit records. Each takes revisions, and each key
    /// forgotten is logged as changed.
    async fn rotate(&self, step: Rotation, actor: &str, now: Timestamp) -> Result<Rotated, ChangeError>;

    /// The keys changed after `applied`, oldest first, with the store's clock and current revision; everything read
    /// in one snapshot. Where the log does not reach back to `applied`, or the store (restored from a backup) has not
    /// come to it, all that the log has; of more than 100,000 changes the newest.
    async fn changes_after(&self, applied: Revision) -> Result<Changes, StoreError>;

    /// Bindings and bans, newest first; a key with both is one row, as new as the newer. Whether a ban is in force is
    /// judged by the store's clock.
    async fn keys(&self, query: KeyQuery) -> Result<Vec<KeyRow>, StoreError>;

    /// The one key that `target` names, or a refusal.
    async fn find(&self, target: Target) -> Result<KeyRow, ChangeError>;

    /// Audit records.
    async fn audit(&self, query: AuditQuery) -> Result<Vec<Stored>, StoreError>;

    /// Does a chore, in one transaction.
    async fn tend(&self, chore: Chore) -> Result<Tended, StoreError>;

    /// How many bindings there are, and how many bans in force by the store's clock; and of `query` what it asks for. May
    /// scan: for operators' questions and one job a minute.
    async fn counts(&self, query: CountQuery) -> Result<Counts, StoreError>;
}

/// A fact and how old it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What the store knew.
    pub facts: KeyFacts,
    /// The revision of the statement that read it: the fact includes every change up to it.
    pub as_of: Revision,
    /// The digest of the key's row, under which its changes are logged; without a row the first that was asked for.
    pub digest: KeyDigest,
}

/// Names one life of a store. A store that was restored from a backup takes revisions anew that it has given before, so
/// a backend whose facts are shared through Redis must give it another life: what was read in the one is not comparable
/// with the changes of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StoreLife(pub u128);

impl fmt::Display for StoreLife {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The change log after some revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The store's clock.
    pub now: Timestamp,
    /// The store's current revision.
    pub revision: Revision,
    /// The changed keys, oldest first.
    pub changed: Vec<(Revision, KeyDigest)>,
    /// `changed` holds every change after this one: the revision asked for, or, where it cannot, a later one. Then what
    /// was cached may be wrong.
    pub complete_from: Revision,
    /// Whose revisions these are.
    pub life: StoreLife,
    /// The pepper that the store's digests are made with.
    pub active_pepper: PepperId,
    /// The others that keys are under: who does not list one of them takes its keys for new ones. Empty for a file, whose
    /// one process has checked it.
    pub other_peppers: Vec<PepperId>,
}

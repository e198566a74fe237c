//! Where bindings, bans and the audit live.
//!
//! [`Store`] is the contract that every backend keeps; `tests/store_contract/` runs one suite over all of them.
//! Operations are whole: there is no get-then-put, so no caller can lose a race that the backend has not decided.

pub mod cached;
pub mod observed;
mod snapshot;
pub mod sqlite;
pub mod view;

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::{
    Fingerprint, Hint, KeyDigest, KeyFacts, KeyId, KeyIdPrefix, Network, PepperId, State, Timestamp,
    event::{EventKind, Record},
};

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
    /// What is known of `key`, with the revision of the statement that read it. Never creates anything.
    async fn lookup(&self, key: &KeyDigest) -> Result<Reading, StoreError>;

    /// Makes `claim.network` the owner of the key, or one more owner within its learn window, or, for
    /// [`Purpose::Observe`], a candidate. A ban in force stands in the way, and so does a binding that is sealed. Among
    /// racing callers each slot has exactly one [`Claimed::Won`]; the others get [`Claimed::Held`] with what stood in
    /// their way, read after the winner's commit. The audit record is part of the same transaction. An open binding
    /// whose window is over or whose slots are taken is sealed on the way: what is sealed was sealed by a transaction,
    /// so that no two clocks can disagree on it.
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError>;

    /// Carries out an operator's change in one transaction: the row, its audit record and `revision + 1`. A refusal
    /// changes nothing. The target is resolved inside the transaction, over bindings, bans and archived rows.
    async fn apply(&self, change: Change, actor: &str, now: Timestamp) -> Result<Applied, ChangeError>;

    /// The keys changed after `applied`, oldest first, with the store's clock and current revision; everything read
    /// in one snapshot.
    async fn changes_after(&self, applied: Revision) -> Result<Changes, StoreError>;

    /// Bindings and bans, newest first; a key with both is one row, as new as the newer. Whether a ban is in force is
    /// judged by the store's clock.
    async fn keys(&self, query: KeyQuery) -> Result<Vec<KeyRow>, StoreError>;

    /// The one key that `target` names, or a refusal.
    async fn find(&self, target: Target) -> Result<KeyRow, ChangeError>;

    /// Appends audit records, all or none.
    async fn append_audit(&self, records: Vec<Record>) -> Result<(), StoreError>;

    /// Audit records, newest first.
    async fn audit(&self, query: AuditQuery) -> Result<Vec<Stored>, StoreError>;

    /// How many bindings there are, and how many bans in force by the store's clock. May scan: for the status command
    /// and one job a minute.
    async fn counts(&self) -> Result<Counts, StoreError>;
}

/// A fact and how old it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What the store knew.
    pub facts: KeyFacts,
    /// The revision of the statement that read it: the fact includes every change up to it.
    pub as_of: Revision,
}

/// A first use.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The key.
    pub key: Fingerprint,
    /// The network that asks for it.
    pub network: Network,
    /// What it asks for.
    pub purpose: Purpose,
    /// Now, on the store's clock.
    pub now: Timestamp,
    /// For the audit record.
    pub decision_id: String,
}

/// What a [`Claim`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To own the key.
    Own(Slots),
    /// To be written down as a candidate.
    Observe,
}

/// How many networks may own a key, and how long after the first one the others may join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// At least 1.
    pub networks: u16,
    /// Counted from the claim; zero closes it at once.
    pub window: Duration,
}

/// The answer to a [`Claim`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The claim was written.
    Won {
        /// The key as it is now.
        reading: Reading,
        /// The audit record, already stored: [`EventKind::FirstUse`] or [`EventKind::NetworkAdded`].
        record: Record,
    },
    /// The network was written down as a candidate.
    Noted(Reading),
    /// A binding, a ban or as many candidates as a key may have were there first; the reading holds them.
    Held(Reading),
}

/// The most candidates of one key: enough to see that it roams.
pub const MAX_CANDIDATES: usize = 32;

impl Claimed {
    /// The key as it is now.
    pub fn reading(&self) -> &Reading {
        let (Self::Won { reading, .. } | Self::Noted(reading) | Self::Held(reading)) = self;
        reading
    }
}

/// Which key an operator means.
#[derive(Clone, Debug)]
pub enum Target {
    /// By the beginning of its id.
    Id(KeyIdPrefix),
    /// By the key itself, which may never have been seen.
    Key(Fingerprint),
}

/// An operator's change. A value of this type cannot be invalid; it can only be refused by what the store holds.
#[derive(Clone, Debug)]
pub enum Change {
    /// Do something to a key.
    Key {
        /// Which.
        target: Target,
        /// What.
        action: Action,
    },
    /// Take back the change of an audit record, if what it made is still so.
    Undo(RecordId),
}

/// What an operator does to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Give the key exactly these networks; none reserves it. The key need not have been seen.
    Set(Vec<Network>),
    /// The same, only where the key has no binding yet: somebody may have been first.
    Claim(Vec<Network>),
    /// Make the one candidate the owner, or reserve a key with several.
    Promote,
    /// Write a note beside the binding, or remove it.
    Note(Option<String>),
    /// Empty the networks and leave the key reserved, so that a thief who hammers it does not get it.
    Reserve,
    /// Give the key to exactly this network.
    HandOver(Network),
    /// Forget the binding: the next first use wins, the thief's too.
    Open,
    /// Refuse the key everywhere. Replaces an earlier ban.
    Ban {
        /// How long, from the change's own time; `None` is for ever.
        lasting: Option<Duration>,
        /// Why, in the operator's words.
        reason: Option<String>,
    },
    /// Lift the ban.
    Unban,
}

/// An audit record's number in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub i64);

/// An audit record as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its number.
    pub id: RecordId,
    /// The record.
    pub record: Record,
}

/// A change that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The revision it became.
    pub revision: Revision,
    /// The key.
    pub key_id: KeyId,
    /// The number of the audit record.
    pub number: RecordId,
    /// The key as it was.
    pub before: KeyFacts,
    /// The key as it is now.
    pub after: KeyFacts,
    /// The networks refused this key (`ip_mismatch`, `not_claimed`) in the 24 h before the change, the busiest first, at most 20.
    pub refused: Vec<RefusedNetwork>,
    /// The audit record, already stored.
    pub record: Record,
}

/// A network that was refused a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedNetwork {
    /// The network.
    pub network: Network,
    /// How many times.
    pub count: u64,
    /// The last time.
    pub last_at: Timestamp,
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
    /// The log does not reach back to the revision asked for, or the store (restored from a backup) has not come to it:
    /// every cached fact may be wrong.
    pub pruned: bool,
    /// The pepper that the store's digests are made with.
    pub active_pepper: PepperId,
}

/// Which keys to list.
#[derive(Clone, Debug)]
pub struct KeyQuery {
    /// Only bindings in this state; bans without a binding are then left out.
    pub state: Option<State>,
    /// Only keys with a ban in force.
    pub banned_only: bool,
    /// Only keys that observe mode has seen and that have no binding.
    pub observed_only: bool,
    /// Only keys that this network owns exactly.
    pub network: Option<Network>,
    /// At most so many rows.
    pub limit: u32,
    /// Skip so many rows.
    pub offset: u32,
    /// In which order.
    pub order: Order,
}

/// The order of a [`KeyQuery`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The newest first; observed keys in the order in which they came.
    Newest,
    /// By id, only those after this one. Rows that leave the list while somebody reads it page by page shift no other
    /// row past him.
    ById(Option<KeyId>),
}

/// One key as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The key's printed name.
    pub key_id: KeyId,
    /// For the operator's eye.
    pub hint: Option<Hint>,
    /// Its binding, its ban, or both; neither for an archived key.
    pub facts: KeyFacts,
    /// What only operators want to know of its binding.
    pub life: Life,
    /// The networks refused this key in the last 24 h, as for [`Applied::refused`]. Only [`Store::find`] looks for them.
    pub refused: Vec<RefusedNetwork>,
}

/// What has become of a binding. Written some seconds late, so no decision reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// The last allowed request.
    pub used_at: Option<Timestamp>,
    /// The last refused one.
    pub refused_at: Option<Timestamp>,
    /// An operator's note.
    pub note: Option<String>,
}

/// Which audit records to list.
#[derive(Clone, Debug)]
pub struct AuditQuery {
    /// Only this kind.
    pub kind: Option<EventKind>,
    /// Only keys whose id begins so, or this one key, of which there need be no row.
    pub key: Option<Target>,
    /// Only records whose last time is not before this.
    pub since: Option<Timestamp>,
    /// Only the record with this number.
    pub record: Option<RecordId>,
    /// At most so many.
    pub limit: u32,
}

/// How full the store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Provisional bindings, expired ones included until something takes their place.
    pub provisional: u64,
    /// Learned bindings.
    pub learned: u64,
    /// Pinned bindings with networks.
    pub pinned: u64,
    /// Pinned bindings without networks.
    pub reserved: u64,
    /// Bans in force.
    pub banned: u64,
    /// Keys that observe mode has seen and that have no binding.
    pub observed: u64,
}

/// The store did not do it. Driver details are in the text for the log; callers decide by the variant alone.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It may work later: busy, disk full, connection lost, shutting down. For a decision the store is lost.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// It will not work later: a row that this version cannot read. For a decision the store is lost as well.
    #[error("the store holds what this version cannot read: {0}")]
    Corrupt(String),
}

/// Why a change was not made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeError {
    /// What the store holds forbids it; nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store did not answer; the change was made or not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What the store holds forbids a change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No binding, ban or archived row has this name.
    #[error("no such key")]
    NotFound,
    /// More than one key has this name; the first 20 of them.
    #[error("ambiguous: more than one key begins so")]
    Ambiguous(Vec<KeyId>),
    /// Unbind needs a binding.
    #[error("{0} has no binding")]
    NotBound(KeyId),
    /// Unban needs a ban.
    #[error("{0} is not banned")]
    NotBanned(KeyId),
    /// A claim needs a key without a binding.
    #[error("{0} already has a binding")]
    AlreadyBound(KeyId),
    /// Promote needs candidates and no binding.
    #[error("{0} has no candidates, or a binding already")]
    NothingToPromote(KeyId),
    /// The record is of something else than a change to this key.
    #[error("record {} changed nothing that could be undone", .0.0)]
    NotUndoable(RecordId),
    /// What the record's change made is no longer so.
    #[error("{0} has been changed since; undo the later changes first")]
    ChangedSince(KeyId),
}

//! Where bindings, bans and the audit live.
//!
//! [`Store`] is the contract that every backend keeps; `tests/store_contract/` runs one suite over all of them.
//! Operations are whole: there is no get-then-put, so no caller can lose a race that the backend has not decided.

pub mod cached;
pub mod observed;
pub mod rekey;
mod snapshot;
pub mod sqlite;
pub mod view;

use std::{fmt, time::Duration};

use async_trait::async_trait;

use crate::domain::{
    Fingerprint, Hint, KeyDigest, KeyDigests, KeyFacts, KeyId, KeyIdPrefix, Network, PepperId, Reason, State,
    Timestamp,
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
    /// Nothing is written under a pepper that is not the active one: that is [`StoreError::Behind`]. Claims hold a lock
    /// on the active pepper to the end of their transaction, shared among them and exclusive for [`Store::rotate`]
    /// (SQLite has one writer, which is that lock; in PostgreSQL it is a transaction-level advisory lock), so no claim
    /// can commit a row under a pepper of yesterday after the activation of today's. The row of a key that is found
    /// under another of its digests is re-keyed on the way.
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

    /// Appends audit records, all or none, and once: false says that they were there already. That is remembered in the
    /// same transaction, and by the highest number alone, so the batches of a spool must come in the order of their
    /// numbers; one that comes after a later one is taken for delivered.
    async fn append_audit(&self, batch: BatchId, records: Vec<Record>) -> Result<bool, StoreError>;

    /// Deletes the oldest of the audit records whose last time is before `before`, at most `limit` of them and never the
    /// one with the highest number, so that no number is given twice. How many it were. What it takes to undo a change
    /// goes with its record.
    async fn prune_audit(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Audit records.
    async fn audit(&self, query: AuditQuery) -> Result<Vec<Stored>, StoreError>;

    /// Writes down when keys were last used and refused; never moves a time backwards, never makes a row.
    async fn note_uses(&self, uses: Vec<Use>) -> Result<(), StoreError>;

    /// Archives at most `limit` learned bindings that were made before `unused_since` and neither used nor refused
    /// since, the longest unused first; each is judged again by the statement that archives it. Its ban stays, its audit
    /// record and its change are part of the same transaction. Fewer than `limit` records: there are no more.
    async fn archive(&self, unused_since: Timestamp, limit: u32, now: Timestamp) -> Result<Vec<Record>, StoreError>;

    /// Re-keys rows, in one transaction: binding, ban, candidates and archived rows of a key get the digest that it has
    /// under the active pepper, and keep their id and all else. Each takes a revision and is logged under the digest
    /// that it leaves, which is the one that caches know. What is no longer there, is there under the new digest already
    /// or would leave the active pepper is left alone. Answers how many keys were moved.
    async fn rekey(&self, moves: Vec<Rekey>, now: Timestamp) -> Result<u64, StoreError>;

    /// Every pepper that was ever active, by name, and what is left under it. Counts: for operators.
    async fn peppers(&self) -> Result<Vec<PepperRow>, StoreError>;

    /// Carries out a step of a rotation in one transaction with its audit records. Each takes revisions, and each key
    /// forgotten is logged as changed.
    async fn rotate(&self, step: Rotation, actor: &str, now: Timestamp) -> Result<Rotated, ChangeError>;

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

/// A key whose row is under another pepper than the active one.
#[derive(Clone, Debug)]
pub struct Rekey {
    /// Where its row is.
    pub from: KeyDigest,
    /// Where it belongs.
    pub to: Fingerprint,
}

/// A step of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// New rows are written with this pepper from now on.
    Activate {
        /// Its name.
        id: PepperId,
        /// [`crate::domain::Pepper::check_value`].
        check_value: [u8; 32],
    },
    /// Nobody needs this pepper any more. Refused while a binding, a ban or a candidate is under it, which `forget`
    /// deletes, at most [`FORGOTTEN_AT_ONCE`] keys in one step. Archived rows never stand in the way: they go with their
    /// pepper, because no key could be recognised by them.
    Retire {
        /// Its name.
        id: PepperId,
        /// Whether to delete what is left under it.
        forget: bool,
    },
}

/// The most keys that one step of [`Rotation::Retire`] deletes: claims wait for it.
pub const FORGOTTEN_AT_ONCE: u32 = 200;

/// A step of a rotation that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The last revision that it took.
    pub revision: Revision,
    /// The audit records, already stored.
    pub records: Vec<Record>,
    /// Whether there is nothing left to do; a step that forgot as many keys as it may has to be repeated.
    pub done: bool,
    /// What is left under the pepper.
    pub left: Left,
}

/// A pepper that the store knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PepperRow {
    /// Its name.
    pub id: PepperId,
    /// Whether new rows are written with it.
    pub active: bool,
    /// Since when nothing is under it.
    pub retired_at: Option<Timestamp>,
    /// What is under it.
    pub left: Left,
}

/// How much is still under a pepper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Bindings in any state.
    pub bindings: u64,
    /// Bans, in force or expired.
    pub bans: u64,
    /// Keys that observe mode has seen.
    pub observed: u64,
    /// Archived rows.
    pub archived: u64,
}

impl Left {
    /// Whether a key would be taken for a new one without the pepper.
    pub fn lives(&self) -> bool {
        self.bindings + self.bans + self.observed > 0
    }
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bindings, bans, observed, archived } = self;
        write!(f, "{bindings} bindings, {bans} bans, {observed} observed and {archived} archived keys")
    }
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

/// When a key was last used and last refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// The key, by the name that no new pepper changes.
    pub key: KeyId,
    /// The last allowed request.
    pub used_at: Option<Timestamp>,
    /// The last refused one.
    pub refused_at: Option<Timestamp>,
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
    /// When the key was archived last, and who owned it.
    pub archived: Option<Archived>,
}

/// A binding that was archived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// When.
    pub at: Timestamp,
    /// Its owners.
    pub networks: Vec<Network>,
}

/// Whoever delivers audit records; a new one for each run of a process. Random, so that a folder that was copied or
/// restored does not number batches that another one has already delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpoolId(pub u128);

impl fmt::Display for SpoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Names a batch of audit records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchId {
    /// Whose.
    pub spool: SpoolId,
    /// Its place among them, from 1.
    pub number: u64,
}

/// In which order audit records are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditOrder {
    /// By their last time, the newest first.
    Newest,
    /// By their number, the highest first.
    LastStored,
    /// By their number, which is the order in which they were stored, those after `after` and up to `upto`.
    Stored {
        /// Not this one.
        after: RecordId,
        /// But this one.
        upto: RecordId,
    },
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
    /// Only records whose last time is before this.
    pub until: Option<Timestamp>,
    /// Only the record with this number.
    pub record: Option<RecordId>,
    /// In which order.
    pub order: AuditOrder,
    /// At most so many.
    pub limit: u32,
}

impl AuditQuery {
    /// Everything, newest first.
    pub const ALL: Self = Self {
        kind: None,
        key: None,
        since: None,
        until: None,
        record: None,
        order: AuditOrder::Newest,
        limit: u32::MAX,
    };
}

/// What to count beside the bindings and the bans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountQuery {
    /// So many of the networks that learned the most keys; 0 for none.
    pub crowded: u32,
    /// The denials whose record's last time is not before this; `None` for none.
    pub denied_since: Option<Timestamp>,
}

/// How full the store is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// The networks that own the most learned keys, or used the most observed ones; the fullest first.
    pub crowded: Vec<Crowded>,
    /// The denials by reason, the most frequent first.
    pub denied: Vec<Denied>,
}

/// A network and what it learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowded {
    /// The network.
    pub network: Network,
    /// How many keys it learned or was observed with. Those that an operator gave it are not counted.
    pub keys: u64,
}

/// A reason and how often it denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The reason.
    pub reason: Reason,
    /// How many times.
    pub count: u64,
    /// The last time.
    pub last_at: Timestamp,
}

/// The store did not do it. Driver details are in the text for the log; callers decide by the variant alone.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It may work later: busy, disk full, connection lost, shutting down. For a decision the store is lost.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Nothing was written: the caller's digests are made with another pepper than this, which is active now. It works
    /// with this one.
    #[error("the active pepper is {0} now")]
    Behind(PepperId),
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
    /// The record's key has no row any more, and its digest is of another pepper: whether the key has come back under
    /// the active one, nobody can tell.
    #[error("{0} has no row left, and the pepper was rotated since pepper {1} wrote its record; name the key itself")]
    OtherPepper(KeyId, PepperId),
    /// Only what was active once can be retired.
    #[error("nothing was ever written with pepper {0}")]
    UnknownPepper(PepperId),
    /// Two secrets of one name.
    #[error("the store knows another secret by the name {0}; take a fresh one")]
    AnotherSecret(PepperId),
    /// Nothing to activate.
    #[error("pepper {0} is active already")]
    AlreadyActive(PepperId),
    /// New rows are written with it.
    #[error("pepper {0} is active; activate another one first")]
    ActivePepper(PepperId),
    /// Nothing to retire.
    #[error("pepper {0} is retired already")]
    AlreadyRetired(PepperId),
    /// Keys would be taken for new ones.
    #[error("{1} are still under pepper {0}; each moves when its key is next used")]
    StillInUse(PepperId, Left),
}

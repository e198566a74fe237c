//! Where bindings, bans and the audit live.
//!
//! [`Store`] is the contract that every backend keeps; `tests/store_contract/` runs one suite over all of them.
//! Operations are whole: there is no get-then-put, so no caller can lose a race that the backend has not decided.

pub mod cached;
pub mod observed;
pub mod sqlite;
pub mod view;

use std::time::Duration;

use async_trait::async_trait;

use crate::domain::{
    Ban, Binding, Fingerprint, KeyDigest, KeyFacts, KeyId, KeyIdPrefix, Network, PepperId, Reason, State, Timestamp,
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

    /// Makes `claim.network` the owner of the key, unless it has a binding or a ban in force. Among racing callers
    /// exactly one gets [`Claimed::Won`]; the others get [`Claimed::Held`] with what stood in their way, read after
    /// the winner's commit. The audit record of the first use is part of the same transaction.
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
    async fn audit(&self, query: AuditQuery) -> Result<Vec<Record>, StoreError>;

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
}

/// A first use.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The key.
    pub key: Fingerprint,
    /// The network that asks for it.
    pub network: Network,
    /// Now, on the store's clock.
    pub now: Timestamp,
    /// For the audit record.
    pub decision_id: String,
}

/// The answer to a [`Claim`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The claim was written.
    Won {
        /// The key as it is now.
        reading: Reading,
        /// The audit record, already stored.
        record: Record,
    },
    /// A binding or a ban was there first; the reading holds at least one of them.
    Held(Reading),
}

impl Claimed {
    /// The key as it is now.
    pub fn reading(&self) -> &Reading {
        let (Self::Won { reading, .. } | Self::Held(reading)) = self;
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
pub struct Change {
    /// The key to change.
    pub target: Target,
    /// What to do with it.
    pub action: Action,
}

/// What an operator does to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
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

/// A change that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The revision it became.
    pub revision: Revision,
    /// The key.
    pub key_id: KeyId,
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
    /// Only keys that this network owns exactly.
    pub network: Option<Network>,
    /// At most so many rows.
    pub limit: u32,
    /// Skip so many rows.
    pub offset: u32,
}

/// One key as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The key's printed name.
    pub key_id: KeyId,
    /// Its binding, its ban, or both; neither for an archived key.
    pub facts: KeyFacts,
}

impl KeyRow {
    /// The hint of whichever row has one.
    pub fn hint(&self) -> Option<&str> {
        let Self { facts: KeyFacts { binding, ban }, .. } = self;
        let of_binding = binding.as_ref().and_then(|Binding { hint, .. }| hint.as_ref());
        let of_ban = ban.as_ref().and_then(|Ban { hint, .. }| hint.as_ref());
        of_binding.or(of_ban).map(|hint| hint.as_str())
    }
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
    /// At most so many.
    pub limit: u32,
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
    /// Learned bindings.
    pub learned: u64,
    /// Pinned bindings with networks.
    pub pinned: u64,
    /// Pinned bindings without networks.
    pub reserved: u64,
    /// Bans in force.
    pub banned: u64,
    /// The networks that own the most learned keys, the fullest first.
    pub crowded: Vec<Crowded>,
    /// The denials by reason, the most frequent first.
    pub denied: Vec<Denied>,
}

/// A network and what it learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowded {
    /// The network.
    pub network: Network,
    /// How many learned keys it owns. Those that an operator gave it are not counted.
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
}

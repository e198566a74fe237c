//! Queries by operators: keys, audit records, and counts.

use super::{ArchivedBinding, ExportedKey, RecordId, RefusedNetwork, Target};
use crate::domain::{Hint, KeyFacts, KeyId, Network, Reason, State, Timestamp, event::EventKind};

/// Which keys to list, and in which order.
#[derive(Clone, Debug)]
pub struct KeyQuery {
    /// The filter.
    pub filter: KeyFilter,
    /// Only keys whose hint contains this text.
    pub hint: Option<String>,
    /// At most this many rows.
    pub limit: u32,
    /// Skips this many rows.
    pub offset: u32,
    /// In which order.
    pub order: Order,
}

/// The keys that a [`KeyQuery`] selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFilter {
    /// Keys that have a binding or a ban and match all of these.
    BoundOrBanned {
        /// Only bindings in this state; excludes bans without a binding.
        state: Option<StateFilter>,
        /// Only keys with exactly this network among their owners.
        network: Option<Network>,
        /// Only keys with a ban in force.
        banned_only: bool,
    },
    /// Keys that observe mode has seen and that have no binding.
    Observed,
}

/// The state of a binding, as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateFilter {
    /// As stored.
    In(State),
    /// Pinned without networks.
    Reserved,
}

impl KeyFilter {
    /// All bindings and bans.
    pub const ALL: Self = Self::BoundOrBanned { state: None, network: None, banned_only: false };
}

impl KeyQuery {
    /// All bindings and bans, newest first, at most 1000.
    pub const ALL: Self = Self { filter: KeyFilter::ALL, hint: None, limit: 1000, offset: 0, order: Order::Newest };
}

/// The order of a [`KeyQuery`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Newest first; observed keys in order of their first use.
    Newest,
    /// By id, only those after this one. Pages by id skip no row, even if rows are deleted between two pages.
    ById(Option<KeyId>),
}

/// One key as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The id of the key.
    pub key_id: KeyId,
    /// A hint for operators.
    pub hint: Option<Hint>,
    /// Its binding, its ban, or both; neither for an archived key.
    pub facts: KeyFacts,
    /// Details of its binding.
    pub details: BindingDetails,
    /// The networks that were denied this key in the last 24 h, as for [`refused`](super::Applied::refused). Filled
    /// only by [`find`](super::Operators::find), and by [`would_deny_keys`](super::Operators::would_deny_keys) for
    /// those that the mode allowed.
    pub refused: Vec<RefusedNetwork>,
}

impl From<ExportedKey> for KeyRow {
    /// Without the denied networks.
    fn from(known: ExportedKey) -> Self {
        let ExportedKey { id: key_id, key, facts, used_at, refused_at, note, mut archive, .. } = known;
        let details = BindingDetails { used_at, refused_at, note, archived: archive.pop() };
        Self { key_id, hint: key.hint, facts, details, refused: Vec::new() }
    }
}

/// Details of a key that no decision reads. The times of use are written with some seconds of delay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindingDetails {
    /// The last allowed request.
    pub used_at: Option<Timestamp>,
    /// The last denied request.
    pub refused_at: Option<Timestamp>,
    /// An operator's note.
    pub note: Option<String>,
    /// The last archived binding of the key.
    pub archived: Option<ArchivedBinding>,
}

/// The order of audit records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditOrder {
    /// By their last time, newest first.
    Newest,
    /// By number, highest first.
    LastStored,
    /// By number, which is the order in which they were stored, those after `after` up to `upto`.
    Stored {
        /// Exclusive.
        after: RecordId,
        /// Inclusive.
        upto: RecordId,
    },
}

/// Which audit records to list.
#[derive(Clone, Debug)]
pub struct AuditQuery {
    /// Only records of this kind.
    pub kind: Option<EventKind>,
    /// Only keys with this prefix, or this one key, which need not have a row.
    pub key: Option<Target>,
    /// Only records whose last time is not before this.
    pub since: Option<Timestamp>,
    /// Only records whose last time is before this.
    pub until: Option<Timestamp>,
    /// Only the record with this number.
    pub record: Option<RecordId>,
    /// Only records whose first decision has this id.
    pub decision: Option<String>,
    /// In which order.
    pub order: AuditOrder,
    /// At most this many records.
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
        decision: None,
        order: AuditOrder::Newest,
        limit: u32::MAX,
    };
}

/// Counts of keys in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Provisional bindings, including expired ones that are not deleted yet.
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

/// A network and the number of its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrowdedNetwork {
    /// The network.
    pub network: Network,
    /// How many keys it owns by use, or used in observe mode. Keys that an operator gave it are not counted.
    pub keys: u64,
}

/// A reason and the number of its denials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DenialCount {
    /// The reason.
    pub reason: Reason,
    /// How many times.
    pub count: u64,
    /// The last time.
    pub last_at: Timestamp,
}

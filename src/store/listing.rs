//! What operators ask for: keys, audit records, and how full the store is.

use super::{ArchivedBinding, ExportedKey, RecordId, RefusedNetwork, Target};
use crate::domain::{Hint, KeyFacts, KeyId, Network, Reason, State, Timestamp, event::EventKind};

/// Which keys to list, in which order.
#[derive(Clone, Debug)]
pub struct KeyQuery {
    /// Only these.
    pub filter: KeyFilter,
    /// Only keys whose hint has this text in it.
    pub hint: Option<String>,
    /// At most this many rows.
    pub limit: u32,
    /// Skips this many rows.
    pub offset: u32,
    /// In which order.
    pub order: Order,
}

/// Which keys a [`KeyQuery`] selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFilter {
    /// Keys that have a binding or a ban, and all of this.
    BoundOrBanned {
        /// Only bindings in this state; bans without a binding are then left out.
        state: Option<StateFilter>,
        /// Only keys that this network owns exactly.
        network: Option<Network>,
        /// Only keys with a ban in force.
        banned_only: bool,
    },
    /// Keys that observe mode has seen and that have no binding.
    Observed,
}

/// The state of a binding, as operators name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateFilter {
    /// As the store names it.
    In(State),
    /// Pinned, without networks.
    Reserved,
}

impl KeyFilter {
    /// All bindings and bans.
    pub const ALL: Self = Self::BoundOrBanned { state: None, network: None, banned_only: false };
}

impl KeyQuery {
    /// The first of all bindings and bans, the newest first.
    pub const ALL: Self = Self { filter: KeyFilter::ALL, hint: None, limit: 1000, offset: 0, order: Order::Newest };
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
    /// The networks refused this key in the last 24 h, as for [`refused`](super::Applied::refused). Only
    /// [`find`](super::Operators::find) looks for them, and [`would_deny_keys`](super::Operators::would_deny_keys) for
    /// those that were let through.
    pub refused: Vec<RefusedNetwork>,
}

impl From<ExportedKey> for KeyRow {
    /// Without the networks that were refused.
    fn from(known: ExportedKey) -> Self {
        let ExportedKey { id: key_id, key, facts, used_at, refused_at, note, mut archive, .. } = known;
        let life = Life { used_at, refused_at, note, archived: archive.pop() };
        Self { key_id, hint: key.hint, facts, life, refused: Vec::new() }
    }
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
    /// The key's last binding that was archived.
    pub archived: Option<ArchivedBinding>,
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
    /// Only records whose first decision has this id.
    pub decision: Option<String>,
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
        decision: None,
        order: AuditOrder::Newest,
        limit: u32::MAX,
    };
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

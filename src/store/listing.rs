//! What operators ask for: keys, the audit, counts.

use super::{ExportedKey, PepperRow, RefusedNetwork};
use crate::domain::{Hint, KeyFacts, KeyId, Network, Reason, State, Timestamp};

/// Which keys to list.
#[derive(Clone, Debug)]
pub struct KeyQuery {
    /// Only bindings in this state; bans without a binding are then left out.
    pub state: Option<State>,
    /// Only pinned bindings without networks.
    pub reserved_only: bool,
    /// Only keys whose hint has this text in it.
    pub hint: Option<String>,
    /// Only keys with a ban in force.
    pub banned_only: bool,
    /// Only keys that observe mode has seen and that have no binding.
    pub observed_only: bool,
    /// Only keys that have an owner and that only the mode let through in the last 24 h, the busiest first, with the
    /// networks that enforcing would refuse. Nothing else narrows or orders these.
    pub let_through_only: bool,
    /// Every key that anything is known of, seen or archived ones too, by id and with [`KeyRow::whole`]; all of a page in
    /// one snapshot. Nothing else narrows these.
    pub whole: bool,
    /// Only keys that this network owns exactly.
    pub network: Option<Network>,
    /// At most so many rows.
    pub limit: u32,
    /// Skip so many rows.
    pub offset: u32,
    /// In which order.
    pub order: Order,
}

impl KeyQuery {
    /// The first of all bindings and bans, the newest first.
    pub const ALL: Self = Self {
        state: None,
        reserved_only: false,
        hint: None,
        banned_only: false,
        observed_only: false,
        let_through_only: false,
        whole: false,
        network: None,
        limit: 1000,
        offset: 0,
        order: Order::Newest,
    };
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
    /// The networks refused this key in the last 24 h, as for [`refused`](super::Applied::refused). Only [`find`](super::Store::find) looks for them, and
    /// [`KeyQuery::let_through_only`] for those that were let through.
    pub refused: Vec<RefusedNetwork>,
    /// Only where [`KeyQuery::whole`] asks for it.
    pub whole: Option<Box<ExportedKey>>,
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

/// What to count beside the bindings and the bans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountQuery {
    /// So many of the networks that learned the most keys; 0 for none.
    pub crowded: u32,
    /// The denials whose record's last time is not before this; `None` for none.
    pub denied_since: Option<Timestamp>,
    /// Whether to count what is under each pepper.
    pub peppers: bool,
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
    /// Every pepper that was ever active, and what is left under it; the active one first, the others by name.
    pub peppers: Vec<PepperRow>,
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

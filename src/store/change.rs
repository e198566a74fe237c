//! What operators do to keys.

use std::time::Duration;

use super::{RecordId, Revision};
use crate::domain::{Fingerprint, KeyFacts, KeyId, KeyIdPrefix, Network, Timestamp, event::Record};

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
    /// The networks refused this key (`ip_mismatch`, `not_claimed`, `key_banned`) in the 24 h before the change, the busiest first, at most 20.
    pub refused: Vec<RefusedNetwork>,
    /// The audit record, already stored.
    pub record: Record,
}

/// A network that was refused a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedNetwork {
    /// The network.
    pub network: Network,
    /// How many times it was denied.
    pub count: u64,
    /// How many times only the mode let it through.
    pub would_deny: u64,
    /// The last time.
    pub last_at: Timestamp,
}

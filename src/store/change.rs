//! Changes by operators.

use std::time::Duration;

use super::{RecordId, Revision};
use crate::domain::{Fingerprint, KeyFacts, KeyId, KeyIdPrefix, Network, Timestamp, event::Record};

/// The key that an operator means.
#[derive(Clone, Debug)]
pub enum Target {
    /// By a prefix of its id.
    Id(KeyIdPrefix),
    /// By the key itself, which need not be known.
    Key(Fingerprint),
}

/// A change by an operator. A value of this type is always valid; only the state of the store can reject it.
#[derive(Clone, Debug)]
pub enum Change {
    /// Changes a key.
    Key {
        /// The key.
        target: Target,
        /// The action.
        action: Action,
    },
    /// Undoes the change of an audit record, if its result is still in place.
    Undo(RecordId),
}

/// An action on a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Gives the key exactly these networks; an empty list reserves it. The key need not be known.
    Set(Vec<Network>),
    /// As [`Set`](Self::Set), but only if the key has no binding yet: a client may have been first.
    Claim(Vec<Network>),
    /// Makes the only candidate the owner, or reserves a key with several candidates.
    Promote,
    /// Sets the note of the binding, or removes it.
    Note(Option<String>),
    /// Removes the networks and reserves the key, so that an attacker that keeps trying cannot claim it.
    Reserve,
    /// Gives the key to exactly this network.
    HandOver(Network),
    /// Deletes the binding: the next first use wins, also by an attacker.
    Open,
    /// Denies the key for every client. Replaces an earlier ban.
    Ban {
        /// The duration, from the time of the change; `None` is indefinite.
        lasting: Option<Duration>,
        /// The operator's reason.
        reason: Option<String>,
    },
    /// Lifts the ban.
    Unban,
}

/// The result of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The revision of the change.
    pub revision: Revision,
    /// The key.
    pub key_id: KeyId,
    /// The number of the audit record.
    pub number: RecordId,
    /// The key as it was.
    pub before: KeyFacts,
    /// The key as it is now.
    pub after: KeyFacts,
    /// The networks that were denied this key (`ip_mismatch`, `not_claimed`, `key_banned`) in the 24 h before the
    /// change, the most frequent first, at most 20.
    pub refused: Vec<RefusedNetwork>,
    /// The audit record, already stored.
    pub record: Record,
}

/// A network that was denied a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedNetwork {
    /// The network.
    pub network: Network,
    /// How many times it was denied.
    pub count: u64,
    /// How many times it was allowed only because of the mode.
    pub would_deny: u64,
    /// The last time.
    pub last_at: Timestamp,
}

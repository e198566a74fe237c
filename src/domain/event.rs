//! What the audit records.

use std::fmt;

use super::{KeyId, Network, Reason, Timestamp};

/// Ties a decision's answer, metadata, log line and audit record together. Random, but no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DecisionId(pub u128);

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The kind of an audit record: a closed list, like [`Reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// Requests were refused.
    Denied,
    /// A key got its first owner.
    FirstUse,
    /// An operator took a key from its networks.
    Unbind,
    /// An operator banned a key.
    Ban,
    /// An operator lifted a ban.
    Unban,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Denied, Self::FirstUse, Self::Unbind, Self::Ban, Self::Unban];

    /// The word stored and printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::FirstUse => "first_use",
            Self::Unbind => "unbind",
            Self::Ban => "ban",
            Self::Unban => "unban",
        }
    }

    /// The kind with this word, if there is one.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// One audit record. Holds no key, no query string and no header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What happened.
    pub kind: EventKind,
    /// Why, for [`EventKind::Denied`].
    pub reason: Option<Reason>,
    /// The key, where one was found.
    pub key_id: Option<KeyId>,
    /// The client's network (its `/32` or `/64`), where an address was found.
    pub network: Option<Network>,
    /// How many times between `first_at` and `last_at`.
    pub count: u64,
    /// The first time.
    pub first_at: Timestamp,
    /// The last time.
    pub last_at: Timestamp,
    /// Who changed something: `uid:0`; nobody for what requests cause.
    pub actor: Option<String>,
    /// The decision's correlation id (the first one's, when `count` > 1).
    pub decision_id: Option<String>,
    /// What an operator changed, in words for people: `networks 203.0.113.7/32 -> reserved`.
    pub detail: Option<String>,
}

//! What the audit records.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantArray, VariantNames};

use super::{Ban, Binding, Fingerprint, KeyId, Network, Reason, Timestamp, words::words};

words!(EventKind);

/// Ties a decision's answer, metadata, log line and audit record together. Random, but no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DecisionId(pub u128);

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A text is no decision's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a decision's id is 32 hex digits, as denials tell it")]
pub struct DecisionIdError;

impl FromStr for DecisionId {
    type Err = DecisionIdError;

    fn from_str(text: &str) -> Result<Self, DecisionIdError> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let bits = if digits { u128::from_str_radix(text, 16).ok() } else { None };
        bits.map(Self).ok_or(DecisionIdError)
    }
}

/// The kind of an audit record: a closed list, like [`Reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum EventKind {
    /// Requests were refused.
    Denied,
    /// Requests were let through that would be refused if the mode were `enforce`.
    WouldDeny,
    /// A key got its first owner.
    FirstUse,
    /// Another network joined a key within its learn window.
    NetworkAdded,
    /// A key was archived: it was not used for long, and its next first use wins.
    Archived,
    /// An operator gave a key its networks.
    Set,
    /// An operator gave a key its networks before its first use.
    Claim,
    /// An operator made the owners of what was observed.
    Promote,
    /// An operator wrote a note.
    Note,
    /// An operator took a key from its networks.
    Unbind,
    /// An operator banned a key.
    Ban,
    /// An operator lifted a ban.
    Unban,
    /// An operator took a change back.
    Undo,
    /// An operator made another pepper the one that new rows are written with.
    PepperActivated,
    /// An operator retired a pepper: no row is under it any more.
    PepperRetired,
    /// An operator retired a pepper with this key still under it: its binding and its ban are gone.
    Forgotten,
    /// An operator took in keys of another store.
    Imported,
    /// A run of the server did not end well: denials between the first time and the last may be missing.
    Gap,
}

/// One audit record. Holds no key, no query string and no header. Its format is that of what requests cause, which is what
/// waits on the disk: nobody's name, and nothing to undo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What happened.
    pub kind: EventKind,
    /// Why, for [`EventKind::Denied`] and [`EventKind::WouldDeny`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The key, where one was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<KeyId>,
    /// The client's network (its `/32` or `/64`), where an address was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// How many times between `first_at` and `last_at`.
    pub count: u64,
    /// The first time.
    pub first_at: Timestamp,
    /// The last time.
    pub last_at: Timestamp,
    /// Who changed something: `uid:0`; nobody for what requests cause.
    #[serde(skip)]
    pub actor: Option<String>,
    /// The decision's correlation id (the first one's, when `count` > 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<String>,
    /// What an operator changed, in words for people: `networks 203.0.113.7/32 -> reserved`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What a change touched; without it there is nothing to undo.
    #[serde(skip)]
    pub delta: Option<Box<Delta>>,
}

impl Record {
    /// Something that happened once, `at` this moment; all else is left to the caller.
    pub fn new(kind: EventKind, at: Timestamp) -> Self {
        Self {
            kind,
            reason: None,
            key_id: None,
            network: None,
            count: 1,
            first_at: at,
            last_at: at,
            actor: None,
            decision_id: None,
            detail: None,
            delta: None,
        }
    }
}

/// What a change did to a key, and everything that it takes to make the key's row again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The key.
    pub key: Fingerprint,
    /// What was touched.
    pub part: Part,
}

/// The part of a key that a change touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The owner.
    Binding(Transition<Binding>),
    /// The ban.
    Ban(Transition<Ban>),
    /// The operator's note.
    Note(Transition<String>),
}

/// Before and after; `None` is "there was none".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition<T> {
    /// As it was.
    pub before: Option<T>,
    /// As it became.
    pub after: Option<T>,
}

impl<T> Transition<T> {
    /// The same of another type.
    pub fn map<U>(self, f: impl Fn(T) -> U) -> Transition<U> {
        Transition { before: self.before.map(&f), after: self.after.map(&f) }
    }
}

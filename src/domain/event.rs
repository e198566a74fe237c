//! Audit records.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantArray, VariantNames};

use super::{Ban, Binding, Fingerprint, KeyId, Network, Reason, Timestamp, words::words};

words!(EventKind);

/// Correlates a decision's answer, dynamic metadata, log line and audit record. Random, but not secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DecisionId(pub u128);

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A text is not a decision id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a decision id; a denial reports its id, 32 hex digits, as decision_id or request_id")]
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
    /// Requests were denied.
    Denied,
    /// Requests were allowed that would be denied if the mode were `enforce`.
    WouldDeny,
    /// A key got its first owner.
    FirstUse,
    /// Another network joined a key within its learn window.
    NetworkAdded,
    /// A key was archived because it was not used for `binding.archive_after`: its next use is a first use.
    Archived,
    /// An operator set a key's networks.
    Set,
    /// An operator set a key's networks before its first use.
    Claim,
    /// An operator made an observed network the owner of its key.
    Promote,
    /// An operator wrote a note.
    Note,
    /// An operator removed a key's networks.
    Unbind,
    /// An operator banned a key.
    Ban,
    /// An operator lifted a ban.
    Unban,
    /// An operator undid a change.
    Undo,
    /// An operator activated another pepper: new rows are written with it.
    PepperActivated,
    /// An operator retired a pepper that no row uses any more.
    PepperRetired,
    /// An operator retired a pepper that this key still used: its binding and its ban were deleted.
    Forgotten,
    /// An operator imported keys of another store.
    Imported,
    /// The server did not shut down cleanly: denials between the first time and the last may be missing.
    Gap,
}

/// One audit record. Holds no key, query string or header.
///
/// The serialized form is that of records that requests cause, which spill to disk: it leaves out the actor and what an
/// undo needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What happened.
    pub kind: EventKind,
    /// The decision's reason, for [`EventKind::Denied`] and [`EventKind::WouldDeny`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The key, if the request had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<KeyId>,
    /// The client's network (its `/32` or `/64`), if its address is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// How many times between `first_at` and `last_at`.
    pub count: u64,
    /// The first time.
    pub first_at: Timestamp,
    /// The last time.
    pub last_at: Timestamp,
    /// Who made a change, such as `uid:0`; `None` for what requests cause.
    #[serde(skip)]
    pub actor: Option<String>,
    /// The id of the decision (of the first one, if `count` > 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision_id: Option<String>,
    /// What an operator changed, for people: `networks 203.0.113.7/32 -> reserved`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What a change modified; without it the change cannot be undone.
    #[serde(skip)]
    pub delta: Option<Box<Delta>>,
}

impl Record {
    /// A record of something that happened once, at `at`; the caller sets the other fields.
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

/// What a change did to a key, and everything that is needed to recreate the key's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// The key.
    pub key: Fingerprint,
    /// What was modified.
    pub part: Part,
}

/// The part of a key that a change modified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The binding.
    Binding(Transition<Binding>),
    /// The ban.
    Ban(Transition<Ban>),
    /// The operator's note.
    Note(Transition<String>),
}

/// A value before and after a change; `None` means absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition<T> {
    /// Before the change.
    pub before: Option<T>,
    /// After the change.
    pub after: Option<T>,
}

impl<T> Transition<T> {
    /// Maps both values.
    pub fn map<U>(self, f: impl Fn(T) -> U) -> Transition<U> {
        Transition { before: self.before.map(&f), after: self.after.map(&f) }
    }
}

//! Why a store did not do what it was asked.

use std::fmt;

use super::{PepperUsage, RecordId};
use crate::domain::{KeyId, PepperId};

/// The store did not do it. Driver details are in the text for the log; callers decide by the variant alone.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It may work later: busy, disk full, connection lost, shutting down. For a decision the store is lost.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// It hangs without an error. For a decision that is the end of its time, however much of that was left.
    #[error("the store does not answer in time")]
    Late,
    /// Nothing was written: the caller's digests are made with another pepper than this, which is active now. It works
    /// with this one.
    #[error("the active pepper is {0} now")]
    Behind(PepperId),
    /// It will not work later: a row that this version cannot read. For a decision the store is lost as well.
    #[error("the store holds what this version cannot read: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// The same, of the one row of many that cannot be read.
    pub(super) fn of(self, row: impl fmt::Display) -> Self {
        match self {
            Self::Corrupt(cause) => Self::Corrupt(format!("{row}: {cause}")),
            Self::Unavailable(_) | Self::Late | Self::Behind(_) => self,
        }
    }
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
    /// Nothing has this number.
    #[error("there is no record {}", .0.0)]
    NoRecord(RecordId),
    /// What the record's change made is no longer so. The first of the later changes to the same part that can be undone.
    #[error("{0} has been changed since{by}; undo the later changes first", by = by(.1))]
    ChangedSince(KeyId, Vec<RecordId>),
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
    StillInUse(PepperId, PepperUsage),
}

/// The peppers that are listed are not those that a store was filled with. Waiting does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PepperFault {
    /// The active pepper is not among those that are listed.
    #[error(
        "this store was made with pepper {recorded}, but what is listed is {given}: with it every known key would look \
         like a new one. List pepper {recorded} as well (to replace it, list both and run `sentinel pepper activate`), \
         or start with an empty store"
    )]
    Wrong {
        /// What the store recorded.
        recorded: PepperId,
        /// What is listed.
        given: String,
    },
    /// Keys are under a pepper that is not listed.
    #[error(
        "{usage} of this store are still under pepper {missing}, which is not listed: these keys would look like new \
         ones. List it again beside the active one; once `sentinel pepper retire {missing}` is done it can go"
    )]
    Missing {
        /// The pepper.
        missing: PepperId,
        /// What is under it.
        usage: PepperUsage,
    },
}

fn by(records: &[RecordId]) -> String {
    let numbers: Vec<_> = records.iter().map(|record| record.0.to_string()).collect();
    match records.len() {
        0 => String::new(),
        1 => format!(", by record {}", numbers.join("")),
        _ => format!(", by records {}", numbers.join(", ")),
    }
}

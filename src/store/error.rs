//! Errors of a store.

use std::fmt;

use super::{PepperUsage, RecordId, WriteObstacle};
use crate::domain::{KeyId, PepperId};

/// Why the store failed. The text has details of the driver for the log; callers match on the variant alone.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A retry may succeed: busy, disk full, connection lost, shutting down. For a decision, the store is lost.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Nothing was written, for certain: the store answered with an error before the commit, or was never asked. A retry
    /// may succeed. For a decision, the store is lost.
    #[error("nothing was written: {1}")]
    NotWritten(WriteObstacle, String),
    /// The store did not answer within the caller's timeout. A decision treats it as its own deadline.
    #[error("the store does not answer in time")]
    Late,
    /// Nothing was written: the caller's digests are under another pepper than the active one, which this names. Retry
    /// with it.
    #[error("the active pepper is now {0}")]
    Behind(PepperId),
    /// A retry will fail: this version cannot read a row. For a decision, the store is lost.
    #[error("the store holds data that this version cannot read: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// Adds the row to an error that is about one row of many.
    pub(super) fn of(self, row: impl fmt::Display) -> Self {
        match self {
            Self::Corrupt(cause) => Self::Corrupt(format!("{row}: {cause}")),
            Self::Unavailable(_) | Self::NotWritten(..) | Self::Late | Self::Behind(_) => self,
        }
    }
}

/// Adds to an error of an operation that it is known to have written nothing, and what kept it from it.
pub(super) fn not_written<E>(error: E, obstacle: Option<WriteObstacle>) -> E
where
    E: From<StoreError> + Into<ChangeError> + Clone,
{
    match (error.clone().into(), obstacle) {
        (ChangeError::Store(StoreError::Unavailable(why)), obstacle) => {
            StoreError::NotWritten(obstacle.unwrap_or(WriteObstacle::Passing), why).into()
        }
        (ChangeError::Store(StoreError::Corrupt(why)), Some(obstacle)) => StoreError::NotWritten(obstacle, why).into(),
        _ => error,
    }
}

/// Why a change was not made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeError {
    /// The state of the store forbids it; nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed. Whether the change was made is not known, except for [`StoreError::NotWritten`] and
    /// [`StoreError::Behind`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The state of the store forbids a change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No binding, ban, candidate or archived row has this id.
    #[error("no such key; `sentinel bindings list` shows the keys")]
    NotFound,
    /// More than one key has this prefix; the first 20 of them.
    #[error("ambiguous: more than one key has this prefix")]
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
    #[error("{0} has no candidates, or already has a binding")]
    NothingToPromote(KeyId),
    /// The record is not a change to a key.
    #[error("record {} changed nothing that could be undone", .0.0)]
    NotUndoable(RecordId),
    /// No record has this number.
    #[error("there is no record {}", .0.0)]
    NoRecord(RecordId),
    /// The result of the change is no longer in place. The first of the later changes to the same part that can be
    /// undone.
    #[error("{0} has been changed since{by}; undo the later changes first", by = by(.1))]
    ChangedSince(KeyId, Vec<RecordId>),
    /// The key of the record has no row, and its digest is under another pepper: whether the key has a row under the
    /// active pepper cannot be determined.
    #[error(
        "{0} has no row, and a pepper was activated since this record (written under pepper {1}); this record cannot be undone; change the key by the key itself (--key-file)"
    )]
    OtherPepper(KeyId, PepperId),
    /// Only a known pepper can be retired.
    #[error("the store does not know pepper {0}; `sentinel pepper list` shows the peppers")]
    UnknownPepper(PepperId),
    /// Two secrets have the same pepper id.
    #[error("the store knows another secret with the id {0}; generate a new pepper")]
    AnotherSecret(PepperId),
    /// The pepper is active already.
    #[error("pepper {0} is already active")]
    AlreadyActive(PepperId),
    /// New rows are written with the active pepper.
    #[error("pepper {0} is active; activate another one first")]
    ActivePepper(PepperId),
    /// The pepper is retired already.
    #[error("pepper {0} is already retired")]
    AlreadyRetired(PepperId),
    /// Its keys would be taken for new ones.
    #[error("pepper {0} is still in use: {1}; each key moves to the active pepper when it is next used")]
    StillInUse(PepperId, PepperUsage),
}

/// Where peppers are listed, for messages.
pub const PEPPER_SOURCES: &str = "pepper.secrets, pepper.secrets_file or DATA_DIR/pepper";

/// How the listed peppers do not match the store. Waiting does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PepperMismatch {
    /// The active pepper is not listed.
    #[error(
        "the active pepper of this store is {recorded}, but only {given} is listed: every known key would look new. \
         List pepper {recorded} too, or restore its file from a backup (to replace it, list both and run \
         `sentinel pepper activate`)"
    )]
    Wrong {
        /// The active pepper of the store.
        recorded: PepperId,
        /// The listed peppers.
        given: String,
    },
    /// Keys are under a pepper that is not listed.
    #[error(
        "pepper {missing} is still in use ({usage}), but not listed: these keys would look new. List it again next to \
         the active one; after `sentinel pepper retire {missing}` it can be removed"
    )]
    Missing {
        /// The pepper.
        missing: PepperId,
        /// What is still under it.
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

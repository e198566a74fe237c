//! Revisions, readings and changes.

use std::fmt;

use crate::domain::{KeyDigest, KeyFacts, PepperId, Timestamp};

/// Counts the changes that can invalidate a cached fact. Taken from a locked row inside the transaction of the change,
/// so that revisions become visible in order; a sequence would not guarantee that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub i64);

/// The facts of a key, and their age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The facts.
    pub facts: KeyFacts,
    /// The revision of the statement that read them: they include every change up to it.
    pub as_of: Revision,
    /// The digest of the row of the key, under which its changes are logged; without a row, the first digest that was
    /// looked up.
    pub digest: KeyDigest,
}

/// Identifies a history of revisions. A restore from a backup begins another history, because the store then assigns
/// the same revisions again: readings of one history cannot be compared with changes of another. If facts are shared
/// through Redis, the id must also be unique among all stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HistoryId(pub u128);

impl fmt::Display for HistoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The changes after a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The clock of the store.
    pub now: Timestamp,
    /// The current revision of the store.
    pub revision: Revision,
    /// The changed keys, oldest first.
    pub changed: Vec<(Revision, KeyDigest)>,
    /// `changed` holds every change after this revision: the one asked for, or a later one if the log does not reach
    /// back. Then cached facts may be wrong.
    pub complete_from: Revision,
    /// The history that these revisions belong to.
    pub history: HistoryId,
    /// The active pepper.
    pub active_pepper: PepperId,
    /// The other peppers that keys are under: a process that does not list one of them takes its keys for new ones.
    pub other_peppers: Vec<PepperId>,
}

//! What is known of a key, how old that is, and what has changed since.

use std::fmt;

use crate::domain::{KeyDigest, KeyFacts, PepperId, Timestamp};

/// Counts the changes that can make a cached fact wrong. Taken from a locked row inside the change's transaction, so
/// that revisions become visible in their order; a sequence would not promise that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub i64);

/// A fact and how old it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What the store knew.
    pub facts: KeyFacts,
    /// The revision of the statement that read it: the fact includes every change up to it.
    pub as_of: Revision,
    /// The digest of the key's row, under which its changes are logged; without a row the first that was asked for.
    pub digest: KeyDigest,
}

/// Names one life of a store. A store that was restored from a backup takes revisions anew that it has given before, so
/// a backend whose facts are shared through Redis must give it another life: what was read in the one is not comparable
/// with the changes of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StoreLife(pub u128);

impl fmt::Display for StoreLife {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The change log after some revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The store's clock.
    pub now: Timestamp,
    /// The store's current revision.
    pub revision: Revision,
    /// The changed keys, oldest first.
    pub changed: Vec<(Revision, KeyDigest)>,
    /// `changed` holds every change after this one: the revision asked for, or, where it cannot, a later one. Then what
    /// was cached may be wrong.
    pub complete_from: Revision,
    /// Whose revisions these are.
    pub life: StoreLife,
    /// The pepper that the store's digests are made with.
    pub active_pepper: PepperId,
    /// The others that keys are under: who does not list one of them takes its keys for new ones. Empty for a file, whose
    /// one process has checked it.
    pub other_peppers: Vec<PepperId>,
}

//! A key on its way from one store to another: everything that is kept of it.

use crate::domain::{Fingerprint, KeyFacts, KeyId, Network, PepperId, Timestamp, event::Record};

/// A key as one store gives it away and another takes it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedKey {
    /// The key's printed name, which it keeps.
    pub id: KeyId,
    /// The digest it is found by, the pepper that digest was made with, its realm and its hint.
    pub key: Fingerprint,
    /// Its binding, its ban, its candidates.
    pub facts: KeyFacts,
    /// The last allowed request of its binding.
    pub used_at: Option<Timestamp>,
    /// The last refused one.
    pub refused_at: Option<Timestamp>,
    /// When an operator brought the binding back.
    pub restored_at: Option<Timestamp>,
    /// An operator's note on the binding.
    pub note: Option<String>,
    /// Every archived binding of the key, in the order in which they were archived.
    pub archive: Vec<ArchivedBinding>,
}

/// A binding that was archived, with all that is kept of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedBinding {
    /// Its owners.
    pub networks: Vec<Network>,
    /// When the key was first used.
    pub created_at: Timestamp,
    /// When it was archived.
    pub archived_at: Timestamp,
}

/// A pepper whose secret was known to whoever tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPepper {
    /// Its name.
    pub id: PepperId,
    /// [`crate::domain::Pepper::check_value`].
    pub check_value: [u8; 32],
}

/// What became of keys that were imported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// How many were new, and are there now.
    pub taken: u64,
    /// The keys that were known already, and otherwise than they came. Times of use make no difference.
    pub kept: Vec<KeyId>,
    /// The audit record of those that were taken, already stored; none where there was none.
    pub record: Option<Record>,
}

//! Exported keys: everything that a store keeps of a key.

use crate::domain::{Fingerprint, KeyFacts, KeyId, Network, PepperId, Timestamp, event::Record};

/// A key as one store exports it and another imports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedKey {
    /// The id of the key, which it keeps.
    pub id: KeyId,
    /// Its digest, the pepper of that digest, its realm and its hint.
    pub key: Fingerprint,
    /// Its binding, ban and candidates.
    pub facts: KeyFacts,
    /// The last allowed request of its binding.
    pub used_at: Option<Timestamp>,
    /// The last denied request.
    pub refused_at: Option<Timestamp>,
    /// When an operator restored the binding.
    pub restored_at: Option<Timestamp>,
    /// The operator's note on the binding.
    pub note: Option<String>,
    /// All archived bindings of the key, oldest first.
    pub archive: Vec<ArchivedBinding>,
}

/// An archived binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedBinding {
    /// Its owners.
    pub networks: Vec<Network>,
    /// When the key was first used.
    pub created_at: Timestamp,
    /// When it was archived.
    pub archived_at: Timestamp,
}

/// A pepper whose secret the sender knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPepper {
    /// Its id.
    pub id: PepperId,
    /// [`crate::domain::Pepper::check_value`].
    pub check_value: [u8; 32],
}

/// The result of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// How many keys were new and were imported.
    pub taken: u64,
    /// The keys that were known already, with different content, and were left unchanged. Times of use are not
    /// compared.
    pub kept: Vec<KeyId>,
    /// The audit record of the import, already stored; `None` if no key was new.
    pub record: Option<Record>,
}

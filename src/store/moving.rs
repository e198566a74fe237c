//! A key on its way from one store to another: everything that is kept of it.

use super::{KeyRow, Life};
use crate::domain::{Fingerprint, KeyFacts, KeyId, Network, PepperId, Timestamp};

/// All that a store keeps of one key beside what operators see of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedKey {
    /// The digest it is found by, the pepper that digest was made with, its realm and its hint.
    pub key: Fingerprint,
    /// When an operator brought the binding back.
    pub restored_at: Option<Timestamp>,
    /// Every archived binding of the key, in the order in which they were archived.
    pub archive: Vec<ArchivedBinding>,
}

/// A binding that was archived, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedBinding {
    /// Its owners.
    pub networks: Vec<Network>,
    /// When the key was first used.
    pub created_at: Timestamp,
    /// When it was archived.
    pub archived_at: Timestamp,
}

/// A key as one store gives it away and another takes it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moving {
    /// The key's printed name, which it keeps.
    pub id: KeyId,
    /// How it is found, and what became of it before.
    pub whole: ExportedKey,
    /// Its binding, its ban, its candidates.
    pub facts: KeyFacts,
    /// Of its binding. `archived` is not read: the last of the archive is.
    pub life: Life,
}

/// A pepper that a process has the secret of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownPepper {
    /// Its name.
    pub id: PepperId,
    /// [`crate::domain::Pepper::check_value`].
    pub check_value: [u8; 32],
}

impl KeyRow {
    /// The key as it moves, where it was asked for [`whole`](super::KeyQuery::whole).
    pub fn moving(self) -> Option<Moving> {
        let Self { key_id: id, facts, life, whole, .. } = self;
        whole.map(|whole| Moving { id, whole: *whole, facts, life })
    }
}

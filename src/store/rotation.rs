//! Rotation of peppers.

use super::Revision;
use crate::domain::{Fingerprint, KeyDigest, PepperId, Timestamp, event::Record};

/// A key whose row is not under the active pepper.
#[derive(Clone, Debug)]
pub struct Rekey {
    /// The digest of its row.
    pub from: KeyDigest,
    /// The key under the active pepper.
    pub to: Fingerprint,
}

/// A step of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Makes this pepper the active one, under which new rows are written.
    Activate {
        /// Its id.
        id: PepperId,
        /// [`crate::domain::Pepper::check_value`].
        check_value: [u8; 32],
    },
    /// Retires this pepper. Refused while a binding, a ban or a candidate is under it, unless `forget` deletes them, at
    /// most [`FORGOTTEN_AT_ONCE`] keys in one step. Archived rows do not prevent it: they are deleted with their
    /// pepper, without which no key could be matched to them.
    Retire {
        /// Its id.
        id: PepperId,
        /// Whether to delete what is still under it.
        forget: bool,
    },
}

/// The most keys that one step of [`Rotation::Retire`] deletes: claims wait for it.
pub const FORGOTTEN_AT_ONCE: u32 = 200;

/// The result of a step of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The last revision that it took.
    pub revision: Revision,
    /// The audit records, already stored.
    pub records: Vec<Record>,
    /// Whether the rotation is complete; a step that reached its limit of forgotten keys must be repeated.
    pub done: bool,
    /// What is still under the pepper.
    pub usage: PepperUsage,
}

/// A pepper that the store knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PepperRow {
    /// Its id.
    pub id: PepperId,
    /// Whether it is the active one.
    pub active: bool,
    /// When it was retired.
    pub retired_at: Option<Timestamp>,
    /// What is under it.
    pub usage: PepperUsage,
}

/// How many rows are under a pepper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PepperUsage {
    /// Bindings in any state.
    pub bindings: u64,
    /// Bans, in force or expired.
    pub bans: u64,
    /// Keys that observe mode has seen.
    pub observed: u64,
    /// Archived rows.
    pub archived: u64,
}

impl PepperUsage {
    /// Whether a key would be taken for a new one without the pepper.
    pub fn is_needed(&self) -> bool {
        self.bindings + self.bans + self.observed > 0
    }
}

impl std::fmt::Display for PepperUsage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bindings, bans, observed, archived } = *self;
        write!(
            f,
            "{}, {}, {} and {}",
            counted(bindings, "binding"),
            counted(bans, "ban"),
            counted(observed, "observed key"),
            counted(archived, "archived key")
        )
    }
}

/// The number with its noun, such as `1 ban` or `2 bans`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

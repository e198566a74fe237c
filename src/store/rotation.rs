//! One pepper after another.

use super::Revision;
use crate::domain::{Fingerprint, KeyDigest, PepperId, Timestamp, event::Record};

/// A key whose row is under another pepper than the active one.
#[derive(Clone, Debug)]
pub struct Rekey {
    /// Where its row is.
    pub from: KeyDigest,
    /// Where it belongs.
    pub to: Fingerprint,
}

/// A step of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// New rows are written with this pepper from now on.
    Activate {
        /// Its name.
        id: PepperId,
        /// [`crate::domain::Pepper::check_value`].
        check_value: [u8; 32],
    },
    /// Nobody needs this pepper any more. Refused while a binding, a ban or a candidate is under it, which `forget`
    /// deletes, at most [`FORGOTTEN_AT_ONCE`] keys in one step. Archived rows never stand in the way: they go with their
    /// pepper, because no key could be recognised by them.
    Retire {
        /// Its name.
        id: PepperId,
        /// Whether to delete what is left under it.
        forget: bool,
    },
}

/// The most keys that one step of [`Rotation::Retire`] deletes: claims wait for it.
pub const FORGOTTEN_AT_ONCE: u32 = 200;

/// A step of a rotation that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The last revision that it took.
    pub revision: Revision,
    /// The audit records, already stored.
    pub records: Vec<Record>,
    /// Whether there is nothing left to do; a step that forgot as many keys as it may has to be repeated.
    pub done: bool,
    /// What is left under the pepper.
    pub usage: PepperUsage,
}

/// A pepper that the store knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PepperRow {
    /// Its name.
    pub id: PepperId,
    /// Whether new rows are written with it.
    pub active: bool,
    /// Since when nothing is under it.
    pub retired_at: Option<Timestamp>,
    /// What is under it.
    pub usage: PepperUsage,
}

/// How much is still under a pepper.
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
        let Self { bindings, bans, observed, archived } = self;
        write!(f, "{bindings} bindings, {bans} bans, {observed} observed and {archived} archived keys")
    }
}

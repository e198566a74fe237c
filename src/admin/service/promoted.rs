//! What a walk through the observed keys reports.

use super::AsOf;
use crate::{
    domain::{Hint, KeyId, Network, Timestamp},
    store::{KeyRow, RecordId},
};

/// One step of the walk: a start, then every key once it is done, then an end.
#[derive(Clone, Debug)]
pub enum PromoteEvent {
    /// The walk begins.
    Start {
        /// How many keys there are to promote.
        observed: u64,
    },
    /// A key that observe mode has seen.
    Key(PromotedKey),
    /// Of a dry run, after those: a key that has an owner, and that only the mode let other networks use.
    LetThrough(Box<AsOf<KeyRow>>),
    /// Everything is done.
    End {
        /// How many keys became what.
        sums: PromoteSums,
        /// There are more keys of [`Self::LetThrough`] than were reported.
        let_through_cut: bool,
        /// Whether this process already decides by the last change.
        in_effect: bool,
        /// The store's clock.
        now: Timestamp,
    },
}

/// What became of one key, or would.
#[derive(Clone, Debug)]
pub struct PromotedKey {
    /// The key.
    pub key_id: KeyId,
    /// For the operator's eye.
    pub hint: Option<Hint>,
    /// What became of it.
    pub outcome: Promoted,
    /// The networks that used it.
    pub networks: Vec<Network>,
    /// The audit record by which this can be undone; `None` if nothing was changed.
    pub record: Option<RecordId>,
}

/// What becomes of an observed key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promoted {
    /// The one network that used it owns it.
    Bound,
    /// Several used it: nobody can say whose it is.
    Reserved,
    /// It got a binding meanwhile, by use or by an operator, and keeps that.
    Skipped,
}

impl Promoted {
    /// One word for scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bound => "bound",
            Self::Reserved => "reserved",
            Self::Skipped => "skipped",
        }
    }
}

/// How many keys became what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PromoteSums {
    /// [`Promoted::Bound`].
    pub bound: u64,
    /// [`Promoted::Reserved`].
    pub reserved: u64,
    /// [`Promoted::Skipped`].
    pub skipped: u64,
}

//! What a walk through the observed keys reports.

use strum::Display;

use super::AsOf;
use crate::{
    domain::{Hint, KeyId, Network},
    store::{KeyRow, RecordId},
};

/// One step of the walk: a start, then every key once it is done, then an end.
pub(crate) enum PromoteEvent {
    /// So many keys are to be promoted.
    Start {
        observed: u64,
    },
    Key(PromotedKey),
    /// Of a dry run, after those: a key that has an owner, and that only the mode let other networks use.
    LetThrough(Box<AsOf<KeyRow>>),
    End(AsOf<PromoteSums>),
}

/// What became of one key, or would.
pub(crate) struct PromotedKey {
    pub(crate) key_id: KeyId,
    pub(crate) hint: Option<Hint>,
    pub(crate) outcome: Promoted,
    /// The networks that used it.
    pub(crate) networks: Vec<Network>,
    /// The audit record by which this can be undone; `None` if nothing was changed.
    pub(crate) record: Option<RecordId>,
}

/// What becomes of an observed key; one word each, for scripts.
#[derive(Clone, Copy, Display)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Promoted {
    /// The one network that used it owns it.
    Bound,
    /// Several used it: nobody can say whose it is.
    Reserved,
    /// It got a binding meanwhile, by use or by an operator, and keeps that.
    Skipped,
}

/// The sums of a walk.
#[derive(Clone, Copy, Default)]
pub(crate) struct PromoteSums {
    pub(crate) bound: u64,
    pub(crate) reserved: u64,
    pub(crate) skipped: u64,
    /// There are more keys of [`PromoteEvent::LetThrough`] than were reported.
    pub(crate) let_through_cut: bool,
    /// Whether this process already decides by the last change.
    pub(crate) in_effect: bool,
}

impl PromoteSums {
    pub(super) fn add(&mut self, outcome: Promoted) {
        match outcome {
            Promoted::Bound => self.bound += 1,
            Promoted::Reserved => self.reserved += 1,
            Promoted::Skipped => self.skipped += 1,
        }
    }
}

//! The events of a promotion.

use strum::Display;

use super::AsOf;
use crate::{
    domain::{Hint, KeyId, Network},
    store::{KeyRow, RecordId},
};

/// An event of a promotion: a start, then every key when it is promoted, then an end.
pub(crate) enum PromoteEvent {
    /// The number of keys to promote.
    Start {
        observed: u64,
    },
    Key(PromotedKey),
    /// In a dry run, after the keys to promote: a key that has an owner, and that other networks could use only because
    /// of the mode.
    LetThrough(Box<AsOf<KeyRow>>),
    End(AsOf<PromoteSums>),
}

/// The outcome of one key; in a dry run, the expected outcome.
pub(crate) struct PromotedKey {
    pub(crate) key_id: KeyId,
    pub(crate) hint: Option<Hint>,
    pub(crate) outcome: Promoted,
    /// The networks that used it.
    pub(crate) networks: Vec<Network>,
    /// The audit record, by which the change can be undone; `None` if nothing was changed.
    pub(crate) record: Option<RecordId>,
}

/// The outcome of an observed key, as one word for scripts.
#[derive(Clone, Copy, Display)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Promoted {
    /// The only network that used the key owns it now.
    Bound,
    /// Several networks used the key, so it is reserved: any of them could be the rightful owner.
    Reserved,
    /// The key got a binding meanwhile, by use or by an operator, and keeps it.
    Skipped,
}

/// The sums of a promotion.
#[derive(Clone, Copy, Default)]
pub(crate) struct PromoteSums {
    pub(crate) bound: u64,
    pub(crate) reserved: u64,
    pub(crate) skipped: u64,
    /// Whether there are more keys of [`PromoteEvent::LetThrough`] than were reported.
    pub(crate) let_through_cut: bool,
    /// Whether the last change is in effect in this process.
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

//! What requests ask of a store: a first use, and what keys were used for.

use std::time::Duration;

use super::Reading;
use crate::domain::{Fingerprint, KeyId, Network, Timestamp, event::Record};

/// A first use.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The key.
    pub key: Fingerprint,
    /// The network that asks for it.
    pub network: Network,
    /// What it asks for.
    pub purpose: Purpose,
    /// Now, on the store's clock.
    pub now: Timestamp,
    /// For the audit record.
    pub decision_id: String,
}

/// What a [`Claim`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To own the key.
    Own(Slots),
    /// To be written down as a candidate.
    Observe,
}

/// How many networks may own a key, and how long after the first one the others may join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// At least 1.
    pub networks: u16,
    /// Counted from the claim; zero closes it at once.
    pub window: Duration,
}

/// When a key was last used and last refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// The key, by the name that no new pepper changes.
    pub key: KeyId,
    /// The last allowed request.
    pub used_at: Option<Timestamp>,
    /// The last refused one.
    pub refused_at: Option<Timestamp>,
}

/// The answer to a [`Claim`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The claim was written.
    Won {
        /// The key as it is now.
        reading: Reading,
        /// The audit record, already stored: [`FirstUse`](crate::domain::event::EventKind::FirstUse) or
        /// [`NetworkAdded`](crate::domain::event::EventKind::NetworkAdded).
        record: Record,
    },
    /// The network was written down as a candidate.
    Noted(Reading),
    /// A binding, a ban or as many candidates as a key may have were there first; the reading holds them.
    Held(Reading),
}

/// The most candidates of one key: enough to see that it roams.
pub const MAX_CANDIDATES: usize = 32;

impl Claimed {
    /// The key as it is now.
    pub fn reading(&self) -> &Reading {
        let (Self::Won { reading, .. } | Self::Noted(reading) | Self::Held(reading)) = self;
        reading
    }
}

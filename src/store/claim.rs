//! First uses and times of use.

use std::time::Duration;

use super::Reading;
use crate::domain::{Fingerprint, KeyId, Network, Timestamp, event::Record};

/// A first use.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The key.
    pub key: Fingerprint,
    /// The network that claims it.
    pub network: Network,
    /// The purpose.
    pub purpose: Purpose,
    /// Now, on the clock of the store.
    pub now: Timestamp,
    /// For the audit record.
    pub decision_id: String,
}

/// The purpose of a [`Claim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To own the key.
    Own(Slots),
    /// To be recorded as a candidate.
    Observe,
}

/// How many networks may own a key, and how long after the first one others may join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// At least 1.
    pub networks: u16,
    /// The learn window, counted from the claim; with zero no network can join.
    pub window: Duration,
}

/// When a key was last used and last denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// The key, by its id, which does not depend on the pepper.
    pub key: KeyId,
    /// The last allowed request.
    pub used_at: Option<Timestamp>,
    /// The last denied request.
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
    /// The network was recorded as a candidate.
    Noted(Reading),
    /// Nothing was written because of a binding, a ban, or the maximum number of candidates; the reading holds them.
    Held(Reading),
}

/// The most candidates of one key: enough to see that it has no fixed network.
pub const MAX_CANDIDATES: usize = 32;

impl Claimed {
    /// The key as it is now.
    pub fn reading(&self) -> &Reading {
        let (Self::Won { reading, .. } | Self::Noted(reading) | Self::Held(reading)) = self;
        reading
    }
}

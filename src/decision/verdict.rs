//! What follows from what is known.

use std::time::Duration;

use crate::domain::{KeyId, Network, Reason};

/// What follows from the evidence.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// The decision.
    Decided(Verdict),
    /// Look further: first in the cache, then in the store.
    LookUp,
    /// The key has no owner yet, or is open to more networks, and this one may claim it.
    MayClaim(Network),
}

impl Step {
    /// The verdict. Where there is none yet, nothing more can be found out, and the request is denied.
    pub fn or_denial(self) -> Verdict {
        match self {
            Self::Decided(verdict) => verdict,
            Self::LookUp | Self::MayClaim(_) => deny(Reason::StoreUnavailable, None),
        }
    }
}

/// Allow or deny, and why; before the mode says whether it binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the request may pass.
    pub allowed: bool,
    /// Why.
    pub reason: Reason,
    /// The key, where the request has one.
    pub key_id: Option<KeyId>,
    /// When to try again, where that is known better than by the reason alone.
    pub retry_after: Option<Duration>,
}

/// An allow.
pub(super) fn allow(reason: Reason, key_id: Option<KeyId>) -> Verdict {
    Verdict { allowed: true, reason, key_id, retry_after: None }
}

/// A denial.
pub(super) fn deny(reason: Reason, key_id: Option<KeyId>) -> Verdict {
    Verdict { allowed: false, reason, key_id, retry_after: None }
}

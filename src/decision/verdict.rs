//! The result of a decision.

use std::time::Duration;

use crate::domain::{KeyId, Network, Reason};

/// A verdict, or what to find out next.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// The verdict.
    Decided(Verdict),
    /// Look the key up: first in the cache, then in the store.
    LookUp,
    /// The key has no owner, or further networks may join, and this network may claim it.
    MayClaim(Network),
}

impl Step {
    /// The verdict, or a denial where nothing more can be found out.
    pub fn or_denial(self) -> Verdict {
        match self {
            Self::Decided(verdict) => verdict,
            Self::LookUp | Self::MayClaim(_) => deny(Reason::StoreUnavailable, None),
        }
    }
}

/// Allow or deny, and why, before the mode is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the request is allowed.
    pub allowed: bool,
    /// Why.
    pub reason: Reason,
    /// The key, if the request has one.
    pub key_id: Option<KeyId>,
    /// When to try again, if that is known more exactly than from the reason.
    pub retry_after: Option<Duration>,
}

pub(super) fn allow(reason: Reason, key_id: Option<KeyId>) -> Verdict {
    Verdict { allowed: true, reason, key_id, retry_after: None }
}

pub(super) fn deny(reason: Reason, key_id: Option<KeyId>) -> Verdict {
    Verdict { allowed: false, reason, key_id, retry_after: None }
}

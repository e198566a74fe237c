//! What the engine answers, and the one place where a verdict becomes a decision.

use std::time::Duration;

use crate::{
    decision::Verdict,
    domain::{KeyFacts, KeyId, Mode, Network, Reason},
};

/// An answer.
#[derive(Debug)]
pub enum Decision {
    /// Let the request through.
    Allow(Permit),
    /// Refuse it.
    Deny(Denial),
}

/// Proof that the engine allowed a request. Its fields are private to this file, so nothing else can make one, and an
/// allowing answer cannot be written without one.
#[derive(Debug)]
pub struct Permit {
    reason: Reason,
    key_id: Option<KeyId>,
    would_deny: bool,
}

impl Permit {
    /// Why; for [`Permit::would_deny`], why not.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The key, if the request had one.
    pub fn key_id(&self) -> Option<KeyId> {
        self.key_id
    }

    /// Whether this request passes only because the mode is `observe`.
    pub fn would_deny(&self) -> bool {
        self.would_deny
    }
}

/// A refusal; anyone may make one.
#[derive(Debug)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// The key, where one was found.
    pub key_id: Option<KeyId>,
    /// When to try again, where the engine knows better than the reason's own answer.
    pub retry_after: Option<Duration>,
}

/// What [`super::Engine::decide`] would answer, for an operator. Not a proof: no answer is made from it.
#[derive(Debug)]
pub struct Explained {
    /// Whether the request would be let through.
    pub allowed: bool,
    /// Whether that is only because the mode is `observe`.
    pub would_deny: bool,
    /// Why.
    pub reason: Reason,
    /// The key, where the request has one.
    pub key_id: Option<KeyId>,
    /// What it was judged by; `None` if nothing was looked up, or the store did not answer.
    pub facts: Option<KeyFacts>,
    /// For [`Reason::FirstUse`] and [`Reason::NetworkAdded`]: the network that would own the key.
    pub would_own: Option<Network>,
}

/// Whether the mode lets a verdict bind.
pub(super) fn answer(verdict: Verdict, mode: Mode) -> Decision {
    let Verdict { allowed, reason, key_id, retry_after } = verdict;
    let would_deny = !allowed && mode == Mode::Observe && !reason.binds_in_observe();
    if allowed || would_deny {
        Decision::Allow(Permit { reason, key_id, would_deny })
    } else {
        Decision::Deny(Denial { reason, key_id, retry_after })
    }
}

pub(super) fn explained(
    verdict: Verdict,
    mode: Mode,
    facts: Option<KeyFacts>,
    would_own: Option<Network>,
) -> Explained {
    let (allowed, would_deny) = match answer(verdict, mode) {
        Decision::Allow(permit) => (true, permit.would_deny),
        Decision::Deny(_) => (false, false),
    };
    Explained { allowed, would_deny, reason: verdict.reason, key_id: verdict.key_id, facts, would_own }
}

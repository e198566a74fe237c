//! The engine's results, and the one place where a verdict becomes a decision.

use std::time::Duration;

use crate::{
    decision::Verdict,
    domain::{KeyFacts, KeyId, Mode, Network, Reason},
};

/// The decision on a request.
#[derive(Debug)]
pub enum Decision {
    /// Allow the request.
    Allow(Permit),
    /// Deny the request.
    Deny(Denial),
}

/// Proof that the engine allowed a request. The fields are private, so only this file can make one, and `ext_authz`
/// needs one to write an allow.
#[derive(Debug)]
pub struct Permit {
    reason: Reason,
    key_id: Option<KeyId>,
    would_deny: bool,
}

impl Permit {
    /// The reason of the allow, or of the denial if [`Permit::would_deny`].
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The key, if the request had one.
    pub fn key_id(&self) -> Option<KeyId> {
        self.key_id
    }

    /// Whether the request is allowed only because the mode is `observe`.
    pub fn would_deny(&self) -> bool {
        self.would_deny
    }
}

/// A denial. Unlike a [`Permit`], any code may make one.
#[derive(Debug)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// The key, if the request has one.
    pub key_id: Option<KeyId>,
    /// When to try again, if that is known more exactly than from the reason.
    pub retry_after: Option<Duration>,
}

/// What [`super::Engine::decide`] would return, for an operator. An allow cannot be made from it.
#[derive(Debug)]
pub struct Explained {
    /// Whether the request would be allowed.
    pub allowed: bool,
    /// Whether it would be allowed only because the mode is `observe`.
    pub would_deny: bool,
    /// Why.
    pub reason: Reason,
    /// The key, if the request has one.
    pub key_id: Option<KeyId>,
    /// The facts of the decision; `None` if the key was not looked up, or the store did not answer.
    pub facts: Option<KeyFacts>,
    /// For [`Reason::FirstUse`] and [`Reason::NetworkAdded`]: the network that would own the key.
    pub would_own: Option<Network>,
}

/// Applies the mode to a verdict.
pub(super) fn answer(verdict: Verdict, mode: Mode) -> Decision {
    let Verdict { allowed, reason, key_id, retry_after } = verdict;
    let would_deny = !allowed && mode == Mode::Observe && !reason.binds_in_observe();
    if allowed || would_deny {
        Decision::Allow(Permit { reason, key_id, would_deny })
    } else {
        Decision::Deny(Denial { reason, key_id, retry_after })
    }
}

/// A decision for tests of what is made of it.
#[cfg(test)]
pub(crate) fn decided(reason: Reason, allowed: bool, key_id: Option<KeyId>, mode: Mode) -> Decision {
    answer(Verdict { allowed, reason, key_id, retry_after: None }, mode)
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

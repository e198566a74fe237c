//! The rules: what is right for one request with one key, by what is known of the key. Pure.

use std::time::Duration;

use tokio::time::Instant;

use super::{Failsafe, FirstUse, Options};
use crate::{
    domain::{
        Binding, Candidate, ClientIp, KeyDigest, KeyFacts, KeyId, Mode, Network, Reason, Shape, Standing, Timestamp,
    },
    engine::limit::Exhausted,
    store::{Purpose, Slots},
};

/// What is right, before the mode says whether it binds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    pub(super) allowed: bool,
    pub(super) reason: Reason,
    pub(super) key_id: Option<KeyId>,
    pub(super) retry_after: Option<Duration>,
}

pub(super) fn allow(reason: Reason, key_id: Option<KeyId>) -> Verdict {
    Verdict { allowed: true, reason, key_id, retry_after: None }
}

pub(super) fn deny(reason: Reason, key_id: Option<KeyId>) -> Verdict {
    Verdict { allowed: false, reason, key_id, retry_after: None }
}

pub(super) enum Step {
    Decided(Verdict),
    /// The key is nobody's yet, or open to more networks, and this one may ask for it.
    MayClaim(Network),
}

/// One request with one key, at one time.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) options: &'a Options,
    pub(super) mode: Mode,
    pub(super) ip: ClientIp,
    pub(super) digest: KeyDigest,
    pub(super) now: Instant,
    /// `now` on the store's clock.
    pub(super) time: Timestamp,
}

impl Case<'_> {
    /// Judges a key by what is known of it; `None` if a claim could change the verdict. `fresh` says whether the store
    /// was heard lately.
    pub(super) fn known(&self, facts: &KeyFacts, fresh: bool) -> Option<Verdict> {
        if let Some(ban) = facts.ban.as_ref().filter(|ban| ban.in_force(self.time)) {
            return Some(deny(Reason::KeyBanned, Some(ban.id)));
        }
        let Some(binding) = facts.binding_at(self.time) else { return self.observed(facts) };
        let key_id = Some(binding.id);
        match binding.standing(self.ip) {
            Standing::Stranger => binding.is_sealed().then(|| deny(Reason::IpMismatch, key_id)),
            Standing::Reserved => Some(deny(Reason::NotClaimed, key_id)),
            Standing::Owner if fresh => Some(allow(Reason::Bound, key_id)),
            // Cut off for too long: the key may have been taken from this network meanwhile.
            Standing::Owner => Some(self.unsure(key_id)),
        }
    }

    /// The verdict on a key that nobody owns, by what observe mode has seen of it; `None` if this network is new.
    fn observed(&self, facts: &KeyFacts) -> Option<Verdict> {
        let candidates = &facts.candidates;
        let place = match self.mode {
            Mode::Observe => candidates.iter().position(|candidate| candidate.network.contains(self.ip))?,
            Mode::Enforce | Mode::Off => return None,
        };
        let key_id = Some(self.key_id(facts));
        let Shape { max_networks, learn_window, .. } = self.options.shape;
        let in_window = candidates[place].first_at < candidates[0].first_at.after(learn_window);
        Some(if self.options.first_use == FirstUse::Deny {
            deny(Reason::NotClaimed, key_id)
        } else if place == 0 || (place < usize::from(max_networks) && in_window) {
            allow(Reason::Bound, key_id)
        } else {
            deny(Reason::IpMismatch, key_id)
        })
    }

    /// The verdict on the request that made its network a candidate, the last of `facts`.
    pub(super) fn noted(&self, facts: &KeyFacts) -> Verdict {
        let key_id = Some(self.key_id(facts));
        match self.observed(facts) {
            Some(verdict) if verdict.allowed && facts.candidates.len() == 1 => allow(Reason::FirstUse, key_id),
            Some(verdict) if verdict.allowed => allow(Reason::NetworkAdded, key_id),
            Some(verdict) => verdict,
            None => deny(Reason::IpMismatch, key_id),
        }
    }

    /// What becomes of a key that is nobody's, or that more networks may join.
    pub(super) fn unowned(&self, facts: &KeyFacts) -> Step {
        let binding = facts.binding_at(self.time);
        if let (Mode::Observe, Some(binding)) = (self.mode, binding) {
            return Step::Decided(self.would_join(binding));
        }
        let refused = if self.may_not_own() {
            Reason::UnclaimableNetwork
        } else if self.options.first_use == FirstUse::Deny && self.mode == Mode::Enforce {
            Reason::NotClaimed
        } else {
            return Step::MayClaim(self.network());
        };
        // Whoever has networks is told of no other rule.
        let reason = if binding.is_some() { Reason::IpMismatch } else { refused };
        Step::Decided(deny(reason, Some(self.key_id(facts))))
    }

    /// What this address would own: what the shape says, unless that takes in who may never own. Then the address alone:
    /// whoever is behind a proxy beside it must not share its keys.
    fn network(&self) -> Network {
        let Self { options, ip, .. } = self;
        let shaped = options.shape.network(*ip);
        let mut never = options.unclaimable.iter().chain(&options.proxies);
        let shares = shaped.has_never_owners() || never.any(|network| network.overlaps(shaped));
        if shares { Network::exactly(*ip) } else { shaped }
    }

    /// Observing owns nothing, so nobody joins; only the verdict is the same.
    fn would_join(&self, binding: &Binding) -> Verdict {
        let room = binding.networks.len() < usize::from(self.options.shape.max_networks)
            && binding.open_until.is_some_and(|end| self.time < end);
        let may = room && !self.may_not_own() && self.options.first_use == FirstUse::Claim;
        let key_id = Some(binding.id);
        if may { allow(Reason::NetworkAdded, key_id) } else { deny(Reason::IpMismatch, key_id) }
    }

    /// What a claim of `network` would be answered if nobody else came.
    pub(super) fn would_claim(&self, facts: Option<&KeyFacts>, network: Network) -> Verdict {
        let mut facts = facts.cloned().unwrap_or_default();
        match facts.binding_at(self.time) {
            Some(binding) => self.would_join(binding),
            None if self.mode == Mode::Observe => {
                facts.candidates.push(Candidate { network, first_at: self.time });
                self.noted(&facts)
            }
            None => allow(Reason::FirstUse, Some(self.key_id(&facts))),
        }
    }

    /// The budget is used up. Only whoever has no networks is told of it.
    pub(super) fn limited(&self, facts: Option<&KeyFacts>, exhausted: Exhausted) -> Verdict {
        let key_id = Some(facts.map_or_else(|| self.digest.new_id(), |facts| self.key_id(facts)));
        match facts.and_then(|facts| facts.binding_at(self.time)) {
            Some(_) => deny(Reason::IpMismatch, key_id),
            None => Verdict { retry_after: Some(exhausted.retry_after), ..deny(Reason::ClaimLimited, key_id) },
        }
    }

    pub(super) fn purpose(&self) -> Purpose {
        let Shape { max_networks, learn_window, .. } = self.options.shape;
        match self.mode {
            Mode::Observe => Purpose::Observe,
            Mode::Enforce | Mode::Off => Purpose::Own(Slots { networks: max_networks, window: learn_window }),
        }
    }

    fn may_not_own(&self) -> bool {
        let Self { options, ip, .. } = self;
        let mut never = options.unclaimable.iter().chain(&options.proxies);
        ip.is_never_an_owner() || never.any(|network| network.contains(*ip))
    }

    /// The key's name in its row, or the one that a row would get.
    pub(super) fn key_id(&self, facts: &KeyFacts) -> KeyId {
        let binding = facts.binding.as_ref().map(|binding| binding.id);
        let ban = facts.ban.as_ref().map(|ban| ban.id);
        binding.or(ban).unwrap_or_else(|| self.digest.new_id())
    }

    /// What is decided where the store should have said whether `facts` still hold. `open` is for keys of which nothing is
    /// known: a stranger to a key with an owner is no unknown.
    pub(super) fn lost(&self, facts: Option<&KeyFacts>, verdict: Verdict) -> Verdict {
        match facts.and_then(|facts| facts.binding_at(self.time)) {
            Some(binding) if verdict.reason == Reason::FailsafeOpen => deny(Reason::StoreUnavailable, Some(binding.id)),
            _ => verdict,
        }
    }

    pub(super) fn unsure(&self, key_id: Option<KeyId>) -> Verdict {
        match self.options.failsafe {
            Failsafe::Closed => deny(Reason::StoreUnavailable, key_id),
            Failsafe::Open => allow(Reason::FailsafeOpen, key_id),
        }
    }
}

//! The rules for a request with a key.

use super::{
    input::{Claimed, Context, Evidence, Exhausted, Known, StoreLoss},
    verdict::{Step, Verdict, allow, deny},
};
use crate::{
    domain::{
        BindingView, Candidate, ClientIp, FactsView, Failsafe, FirstUse, KeyDigest, KeyId, Mode, Network, Reason,
        Shape, Standing, Timestamp,
    },
    policy,
};

/// A request with a key, at a time on the store's clock.
pub(super) struct Keyed<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) ip: ClientIp,
    pub(super) digest: KeyDigest,
    pub(super) time: Timestamp,
}

impl Keyed<'_> {
    pub(super) fn judge(&self, evidence: Evidence<'_>) -> Step {
        Step::Decided(match evidence {
            Evidence::None => return Step::LookUp,
            Evidence::Cached(known) => match self.without_claim(&known) {
                Some(verdict) => verdict,
                None => return Step::LookUp,
            },
            Evidence::Stored(known) => match self.without_claim(&known) {
                Some(verdict) => verdict,
                None => return self.before_claim(&known.facts),
            },
            Evidence::Limited(known, exhausted) => self.limited(&known.facts, exhausted),
            Evidence::Claimed(known, claimed) => self.claimed(known, claimed),
            Evidence::AssumedClaim(known, network) => self.assumed_claim(&known.facts, network),
            Evidence::Lost(loss, facts) => self.lost(loss, facts),
        })
    }

    /// The verdict by the facts alone; `None` if a claim could change it.
    fn without_claim(&self, Known { facts, policy }: &Known<'_>) -> Option<Verdict> {
        if let policy::Verdict::Deny(reason) = *policy {
            return Some(deny(reason, Some(self.key_id(facts))));
        }
        if let Some(ban) = facts.ban.filter(|ban| ban.in_force(self.time.before(self.context.unsettled))) {
            return Some(deny(Reason::KeyBanned, Some(ban.id)));
        }
        let Some(binding) = facts.binding_at(self.time) else { return self.observed(facts) };
        let key_id = Some(binding.id);
        match binding.standing(self.ip) {
            Standing::OtherNetwork => binding.is_sealed().then(|| deny(Reason::IpMismatch, key_id)),
            Standing::Reserved => Some(deny(Reason::NotClaimed, key_id)),
            Standing::Owner if self.context.is_fresh => Some(allow(Reason::Bound, key_id)),
            // Not polled for too long: an operator may have given the key to another network meanwhile.
            Standing::Owner => Some(self.unavailable(key_id)),
        }
    }

    /// In observe mode, the verdict on a key without an owner, by its candidates; `None` if this network is not one
    /// yet.
    fn observed(&self, facts: &FactsView<'_>) -> Option<Verdict> {
        if self.context.mode != Mode::Observe {
            return None;
        }
        let candidates = facts.candidates;
        let index = candidates.iter().position(|candidate| candidate.network.contains(self.ip))?;
        let key_id = Some(self.key_id(facts));
        let Shape { max_networks, learn_window, .. } = self.context.binding.shape;
        let in_window = candidates[index].first_at < candidates[0].first_at.after(learn_window);
        Some(if self.context.binding.first_use == FirstUse::Deny {
            deny(Reason::NotClaimed, key_id)
        } else if index == 0 || (index < usize::from(max_networks) && in_window) {
            allow(Reason::Bound, key_id)
        } else {
            deny(Reason::IpMismatch, key_id)
        })
    }

    /// Whether this network may claim a key that has no owner, or that further networks may join.
    fn before_claim(&self, facts: &FactsView<'_>) -> Step {
        let binding = facts.binding_at(self.time);
        if let (Mode::Observe, Some(binding)) = (self.context.mode, binding) {
            return Step::Decided(self.would_join(binding));
        }
        let rules = self.context.binding;
        let obstacle = if !rules.may_own(self.ip) {
            Reason::UnclaimableNetwork
        } else if rules.first_use == FirstUse::Deny && self.context.mode == Mode::Enforce {
            Reason::NotClaimed
        } else {
            return Step::MayClaim(rules.network(self.ip));
        };
        // A key with an owner is always denied as a mismatch.
        let reason = if binding.is_some() { Reason::IpMismatch } else { obstacle };
        Step::Decided(deny(reason, Some(self.key_id(facts))))
    }

    /// The verdict as if this network joined the binding. In observe mode networks never join.
    fn would_join(&self, binding: BindingView<'_>) -> Verdict {
        let rules = self.context.binding;
        let has_room = binding.networks.len() < usize::from(rules.shape.max_networks)
            && binding.open_until.is_some_and(|end| self.time < end);
        let may = has_room && rules.may_own(self.ip) && rules.first_use == FirstUse::Claim;
        let key_id = Some(binding.id);
        if may { allow(Reason::NetworkAdded, key_id) } else { deny(Reason::IpMismatch, key_id) }
    }

    fn claimed(&self, known: Known<'_>, claimed: Claimed) -> Verdict {
        let key_id = Some(self.key_id(&known.facts));
        match claimed {
            Claimed::First => allow(Reason::FirstUse, key_id),
            Claimed::Added => allow(Reason::NetworkAdded, key_id),
            Claimed::Noted => self.noted(&known.facts),
            // Without a verdict, the key already has the maximum number of networks or candidates.
            Claimed::Held => self.without_claim(&known).unwrap_or_else(|| deny(Reason::IpMismatch, key_id)),
        }
    }

    /// The verdict on the request that made its network the last candidate of `facts`.
    fn noted(&self, facts: &FactsView<'_>) -> Verdict {
        let key_id = Some(self.key_id(facts));
        match self.observed(facts) {
            Some(verdict) if verdict.allowed && facts.candidates.len() == 1 => allow(Reason::FirstUse, key_id),
            Some(verdict) if verdict.allowed => allow(Reason::NetworkAdded, key_id),
            Some(verdict) => verdict,
            None => deny(Reason::IpMismatch, key_id),
        }
    }

    /// The verdict if a claim of `network` succeeded.
    fn assumed_claim(&self, facts: &FactsView<'_>, network: Network) -> Verdict {
        match facts.binding_at(self.time) {
            Some(binding) => self.would_join(binding),
            None if self.context.mode == Mode::Observe => {
                let noted = Candidate { network, first_at: self.time };
                let candidates = [facts.candidates, &[noted]].concat();
                self.noted(&FactsView { candidates: &candidates, ..*facts })
            }
            None => allow(Reason::FirstUse, Some(self.key_id(facts))),
        }
    }

    /// The verdict while the claim budget is exhausted. A key with an owner is always denied as a mismatch.
    fn limited(&self, facts: &FactsView<'_>, exhausted: Exhausted) -> Verdict {
        let key_id = Some(self.key_id(facts));
        match facts.binding_at(self.time) {
            Some(_) => deny(Reason::IpMismatch, key_id),
            None => Verdict { retry_after: Some(exhausted.retry_after), ..deny(Reason::ClaimLimited, key_id) },
        }
    }

    /// The verdict while the store does not answer. `failsafe = open` never allows a key that is known to have an
    /// owner.
    fn lost(&self, loss: StoreLoss, facts: Option<FactsView<'_>>) -> Verdict {
        let new_id = Some(self.digest.new_id());
        let verdict = match loss {
            StoreLoss::WrongPepper => deny(Reason::StoreUnavailable, new_id),
            StoreLoss::Late => deny(Reason::DeadlineExceeded, new_id),
            StoreLoss::Unavailable => self.unavailable(new_id),
        };
        match facts.and_then(|facts| facts.binding_at(self.time)) {
            Some(binding) if verdict.allowed => deny(Reason::StoreUnavailable, Some(binding.id)),
            _ => verdict,
        }
    }

    fn unavailable(&self, key_id: Option<KeyId>) -> Verdict {
        match self.context.failsafe {
            Failsafe::Closed => deny(Reason::StoreUnavailable, key_id),
            Failsafe::Open => allow(Reason::FailsafeOpen, key_id),
        }
    }

    /// The id in the key's row, or the id of a new row.
    fn key_id(&self, facts: &FactsView<'_>) -> KeyId {
        let binding = facts.binding.map(|binding| binding.id);
        let ban = facts.ban.map(|ban| ban.id);
        binding.or(ban).unwrap_or_else(|| self.digest.new_id())
    }
}

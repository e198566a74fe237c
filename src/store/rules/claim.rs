//! The rules of claims: first uses, joins within a learn window, and candidates.

use super::{KeyIdentity, Write, describe_networks};
use crate::{
    domain::{
        Binding, Candidate, State,
        event::{EventKind, Record},
    },
    store::{ArchivedBinding, Claim, Claimed, MAX_CANDIDATES, Purpose, Reading, Slots},
};

/// The state that a claim finds. All of it must be read under a lock that keeps other claims and changes of the key out
/// until the writes are committed.
pub(in crate::store) struct ClaimState {
    /// The key, with the id that its rows have or would get.
    pub(in crate::store) key: KeyIdentity,
    /// The facts of the key.
    pub(in crate::store) known: Reading,
    /// Its last archived binding; needed only for a key without a binding.
    pub(in crate::store) archived: Option<ArchivedBinding>,
}

/// Returns the writes for `claim`, and the answer once they are committed. The record of a [`Claimed::Won`] must be
/// stored in the same transaction.
pub(in crate::store) fn judge(claim: &Claim, state: ClaimState) -> (Vec<Write>, Claimed) {
    if state.known.facts.ban.as_ref().is_some_and(|ban| ban.in_force(claim.now)) {
        return (Vec::new(), Claimed::Held(state.known));
    }
    match (claim.purpose, state.known.facts.binding_at(claim.now)) {
        (Purpose::Own(slots), Some(binding)) if !binding.is_sealed() => {
            let binding = binding.clone();
            join(claim, slots, state, binding)
        }
        (_, Some(_)) => (Vec::new(), Claimed::Held(state.known)),
        (Purpose::Own(slots), None) => first_use(claim, slots, state),
        (Purpose::Observe, None) => observe(claim, state.known),
    }
}

/// Whether the writes of a claim invalidate a cached fact, so that the claim takes a revision. Requests of a candidate
/// are allowed from a cache and must be denied once another network owns the key. No other fact that a claim changes is
/// decided without the store.
pub(in crate::store) fn takes_a_revision(writes: &[Write]) -> bool {
    writes.contains(&Write::ForgetCandidates)
}

fn first_use(
    claim: &Claim,
    slots: Slots,
    ClaimState { key, mut known, archived }: ClaimState,
) -> (Vec<Write>, Claimed) {
    let mut writes = Vec::new();
    if known.facts.binding.is_some() {
        // The expired provisional binding belonged to another client, so its times of use must not carry over.
        writes.push(Write::Unbind);
    }
    let binding = Binding {
        id: key.id,
        hint: claim.key.hint.clone(),
        state: State::Learned,
        networks: vec![claim.network],
        created_at: claim.now,
        open_until: (slots.networks > 1 && !slots.window.is_zero()).then(|| claim.now.after(slots.window)),
        expires_at: None,
    };
    writes.push(Write::Bind(binding.clone()));
    let detail = match &known.facts.candidates[..] {
        [] => archived
            .map(|it| format!("was archived on {}, owned by {}", it.archived_at, describe_networks(&it.networks))),
        // Reports the candidates to an operator that switched to `enforce` without `promote`.
        seen => {
            writes.push(Write::ForgetCandidates);
            Some(format!(
                "was observed from {}",
                describe_networks(&seen.iter().map(|it| it.network).collect::<Vec<_>>())
            ))
        }
    };
    known.facts.binding = Some(binding);
    known.facts.candidates = Vec::new();
    let record = Record { detail, ..record(claim, &key, EventKind::FirstUse) };
    (writes, Claimed::Won { reading: known, record })
}

fn join(
    claim: &Claim,
    slots: Slots,
    ClaimState { key, mut known, .. }: ClaimState,
    mut binding: Binding,
) -> (Vec<Write>, Claimed) {
    let mut writes = Vec::new();
    let taken = binding.networks.len();
    let room = taken < usize::from(slots.networks) && binding.open_until.is_some_and(|end| claim.now < end);
    let joins = room && !binding.networks.contains(&claim.network);
    if joins {
        writes.push(Write::Join(claim.network));
        binding.networks.push(claim.network);
        // In the order in which they are read back.
        binding.networks.sort_by_key(ToString::to_string);
    }
    if !room || binding.networks.len() >= usize::from(slots.networks) {
        writes.push(Write::Seal);
        binding.open_until = None;
    }
    known.facts.binding = Some(binding);
    let claimed = match joins {
        true => Claimed::Won { reading: known, record: record(claim, &key, EventKind::NetworkAdded) },
        false => Claimed::Held(known),
    };
    (writes, claimed)
}

fn observe(claim: &Claim, mut known: Reading) -> (Vec<Write>, Claimed) {
    let candidates = &mut known.facts.candidates;
    if candidates.len() >= MAX_CANDIDATES || candidates.iter().any(|candidate| candidate.network == claim.network) {
        return (Vec::new(), Claimed::Held(known));
    }
    let candidate = Candidate { network: claim.network, first_at: claim.now };
    candidates.push(candidate);
    (vec![Write::Observed(candidate)], Claimed::Noted(known))
}

fn record(claim: &Claim, key: &KeyIdentity, kind: EventKind) -> Record {
    Record {
        key_id: Some(key.id),
        network: Some(claim.network),
        decision_id: Some(claim.decision_id.clone()),
        ..Record::new(kind, claim.now)
    }
}

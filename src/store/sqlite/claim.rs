//! First use, and those who join it.
//!
//! Runs inside a write transaction, of which SQLite allows one at a time: nobody can claim between the look and the
//! insert.

use rusqlite::{Connection, params};

use super::{
    audit, facts, life,
    names::{self, Named},
    owner, pepper, rekey,
    rows::in_words,
};
use crate::{
    domain::{
        Binding, Candidate, KeyFacts, State,
        event::{EventKind, Record},
    },
    store::{Archived, Claim, Claimed, MAX_CANDIDATES, Purpose, Reading, Slots, StoreError},
};

pub(super) fn claim(conn: &Connection, claim: &Claim) -> Result<Claimed, StoreError> {
    pepper::must_be_active(conn, &claim.key.pepper)?;
    rekey::adopt(conn, &claim.key, claim.now)?;
    let known = facts::reading(conn, &claim.key.digests())?;
    if known.facts.ban.as_ref().is_some_and(|ban| ban.in_force(claim.now)) {
        return Ok(Claimed::Held(known));
    }
    match (claim.purpose, known.facts.binding_at(claim.now)) {
        (Purpose::Own(slots), Some(binding)) if !binding.is_sealed() => {
            let binding = binding.clone();
            join(conn, claim, slots, known, binding)
        }
        (_, Some(_)) => Ok(Claimed::Held(known)),
        (Purpose::Own(slots), None) => first_use(conn, claim, slots, known),
        (Purpose::Observe, None) => note(conn, claim, known),
    }
}

fn first_use(conn: &Connection, claim: &Claim, slots: Slots, known: Reading) -> Result<Claimed, StoreError> {
    let key = Named { id: names::id_of(conn, &claim.key)?, fingerprint: claim.key.clone() };
    if known.facts.binding.is_some() {
        // An expired provisional binding: what it was used for is another client's story.
        owner::remove(conn, key.id)?;
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
    owner::put(conn, &key, &binding)?;
    if !known.facts.candidates.is_empty() {
        owner::forget_candidates(conn, key.id)?;
    }
    let detail = match &known.facts.candidates[..] {
        [] => earlier_owner(conn, &key)?,
        // Whoever turns from observing to enforcing without `promote` finds out here.
        seen => Some(format!("was observed from {}", in_words(&seen.iter().map(|it| it.network).collect::<Vec<_>>()))),
    };
    let record = Record { detail, ..record(claim, &key, EventKind::FirstUse) };
    audit::append(conn, &record)?;
    let facts = KeyFacts { binding: Some(binding), ban: known.facts.ban, candidates: Vec::new() };
    Ok(Claimed::Won { reading: Reading { facts, ..known }, record })
}

fn join(
    conn: &Connection,
    claim: &Claim,
    slots: Slots,
    mut known: Reading,
    mut binding: Binding,
) -> Result<Claimed, StoreError> {
    let taken = binding.networks.len();
    let room = taken < usize::from(slots.networks) && binding.open_until.is_some_and(|end| claim.now < end);
    let joins = room && !binding.networks.contains(&claim.network);
    if joins {
        owner::add(conn, binding.id, claim.network)?;
        binding.networks.push(claim.network);
        // As they will be read.
        binding.networks.sort_by_key(ToString::to_string);
    }
    if !room || binding.networks.len() >= usize::from(slots.networks) {
        owner::seal(conn, binding.id)?;
        binding.open_until = None;
    }
    let key = Named { id: binding.id, fingerprint: claim.key.clone() };
    known.facts.binding = Some(binding);
    if !joins {
        return Ok(Claimed::Held(known));
    }
    let record = record(claim, &key, EventKind::NetworkAdded);
    audit::append(conn, &record)?;
    Ok(Claimed::Won { reading: known, record })
}

fn note(conn: &Connection, claim: &Claim, mut known: Reading) -> Result<Claimed, StoreError> {
    let candidates = &mut known.facts.candidates;
    if candidates.len() >= MAX_CANDIDATES || candidates.iter().any(|candidate| candidate.network == claim.network) {
        return Ok(Claimed::Held(known));
    }
    conn.prepare_cached(
        "INSERT INTO candidates (key_id, digest, pepper, realm, hint, network, first_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        names::id_of(conn, &claim.key)?.to_string(),
        claim.key.digest.as_bytes(),
        claim.key.pepper.as_str(),
        claim.key.realm,
        claim.key.hint.as_ref().map(|hint| hint.as_str()),
        claim.network.to_string(),
        claim.now.as_millis(),
    ])?;
    candidates.push(Candidate { network: claim.network, first_at: claim.now });
    Ok(Claimed::Noted(known))
}

/// Whose the key was before it was archived, in words.
fn earlier_owner(conn: &Connection, key: &Named) -> Result<Option<String>, StoreError> {
    let words = |Archived { at, networks }| format!("was archived on {at}, owned by {}", in_words(&networks));
    Ok(life::archived(conn, key.id)?.map(words))
}

fn record(claim: &Claim, key: &Named, kind: EventKind) -> Record {
    Record {
        key_id: Some(key.id),
        network: Some(claim.network),
        decision_id: Some(claim.decision_id.clone()),
        ..Record::new(kind, claim.now)
    }
}

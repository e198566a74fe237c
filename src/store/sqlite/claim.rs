//! First use.

use rusqlite::{Connection, params};

use super::{audit, facts, names};
use crate::{
    domain::{
        Binding, KeyFacts, State,
        event::{EventKind, Record},
    },
    store::{Claim, Claimed, Reading, StoreError},
};

/// Runs inside a write transaction, of which SQLite allows one at a time: nobody can claim between the look and the
/// insert.
pub(super) fn claim(conn: &Connection, claim: &Claim) -> Result<Claimed, StoreError> {
    let known = facts::reading(conn, &claim.key.digest)?;
    let banned = known.facts.ban.as_ref().is_some_and(|ban| ban.in_force(claim.now));
    if banned || known.facts.binding.is_some() {
        return Ok(Claimed::Held(known));
    }
    let binding = Binding {
        id: names::id_of(conn, &claim.key)?,
        hint: claim.key.hint.clone(),
        state: State::Learned,
        networks: vec![claim.network],
        created_at: claim.now,
    };
    insert(conn, claim, &binding)?;
    let record = record(claim, &binding);
    audit::append(conn, &record)?;
    let facts = KeyFacts { binding: Some(binding), ban: known.facts.ban };
    Ok(Claimed::Won { reading: Reading { facts, as_of: known.as_of }, record })
}

fn insert(conn: &Connection, claim: &Claim, binding: &Binding) -> Result<(), StoreError> {
    let id = binding.id.to_string();
    conn.prepare_cached(
        "INSERT INTO bindings (key_id, digest, pepper, realm, hint, state, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        id,
        claim.key.digest.as_bytes(),
        claim.key.pepper.as_str(),
        claim.key.realm,
        binding.hint.as_ref().map(|hint| hint.as_str()),
        binding.state.as_str(),
        binding.created_at.as_millis(),
    ])?;
    conn.prepare_cached("INSERT INTO binding_networks (key_id, network) VALUES (?1, ?2)")?
        .execute((id, claim.network.to_string()))?;
    Ok(())
}

fn record(claim: &Claim, binding: &Binding) -> Record {
    Record {
        kind: EventKind::FirstUse,
        reason: None,
        key_id: Some(binding.id),
        network: Some(claim.network),
        count: 1,
        first_at: claim.now,
        last_at: claim.now,
        actor: None,
        decision_id: Some(claim.decision_id.clone()),
        detail: None,
    }
}

//! First use, and those who join it.
//!
//! Runs inside a write transaction, of which SQLite allows one at a time: nobody can claim between the look and the
//! insert.

use rusqlite::Connection;

use super::{audit, facts, life, names, owner, pepper, revision::advance};
use crate::store::{
    Claim, Claimed, StoreError,
    rules::{
        KeyIdentity,
        claim::{ClaimState, judge, takes_a_revision},
    },
};

pub(super) fn claim(conn: &Connection, claim: &Claim) -> Result<Claimed, StoreError> {
    pepper::adopt(conn, &claim.key, claim.now)?;
    let known = facts::reading(conn, &claim.key.digests())?;
    let key = KeyIdentity { id: names::id_of(conn, &claim.key)?, fingerprint: claim.key.clone() };
    let archived = match known.facts.binding {
        Some(_) => None,
        None => life::last_archived(conn, key.id)?,
    };
    let (writes, mut claimed) = judge(claim, ClaimState { key: key.clone(), known, archived });
    owner::write(conn, &key, &writes)?;
    if let Claimed::Won { record, reading } = &mut claimed {
        audit::append(conn, record)?;
        if takes_a_revision(&writes) {
            reading.as_of = advance(conn, &reading.digest, claim.now)?;
        }
    }
    Ok(claimed)
}

//! Claims.
//!
//! Runs inside a write transaction, of which SQLite allows one at a time: no other claim can come between the read and
//! the write.

use rusqlite::Connection;

use super::{audit, facts, keys, last_use, pepper, revision::advance, rows::execute, writes};
use crate::store::{
    Claim, Claimed, StoreError,
    rules::{
        KeyIdentity,
        claim::{ClaimState, judge, takes_a_revision},
    },
};

/// What one claim may write at most, with its audit record and its share of every index, rounded up.
const CLAIM_BYTES: u32 = 64 * 1024;

/// Pages that are written and undone within a transaction never reach the disk, so a row that stays is written too.
pub(super) fn try_claim(conn: &Connection, tried: &Claim) -> Result<(), StoreError> {
    execute(conn, "SAVEPOINT tried", [])?;
    let claimed = claim(conn, tried);
    if !conn.is_autocommit() {
        execute(conn, "ROLLBACK TO tried", [])?;
        execute(conn, "RELEASE tried", [])?;
    }
    claimed?;
    execute(conn, "INSERT OR REPLACE INTO write_test VALUES (1, randomblob(?1))", [CLAIM_BYTES]).map(drop)
}

pub(super) fn claim(conn: &Connection, claim: &Claim) -> Result<Claimed, StoreError> {
    pepper::adopt(conn, &claim.key, claim.now)?;
    let known = facts::reading(conn, &claim.key.digests())?;
    let key = KeyIdentity { id: keys::id_of(conn, &claim.key)?, fingerprint: claim.key.clone() };
    let archived = match known.facts.binding {
        Some(_) => None,
        None => last_use::last_archived(conn, key.id)?,
    };
    let (writes, mut claimed) = judge(claim, ClaimState { key: key.clone(), known, archived });
    writes::apply(conn, &key, &writes)?;
    if let Claimed::Won { record, reading } = &mut claimed {
        audit::append(conn, record)?;
        if takes_a_revision(&writes) {
            reading.as_of = advance(conn, &reading.digest, claim.now)?;
        }
    }
    Ok(claimed)
}

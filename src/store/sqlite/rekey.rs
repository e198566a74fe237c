//! From a row under one pepper to the same row under another.

use rusqlite::Connection;

use super::{names, pepper, revision::advance, rows::execute};
use crate::{
    domain::{Fingerprint, KeyDigest, Timestamp},
    store::{Rekey, StoreError},
};

pub(super) fn rekey(conn: &Connection, moves: &[Rekey], now: Timestamp) -> Result<u64, StoreError> {
    let active = pepper::active(conn)?;
    let mut moved = 0;
    for Rekey { from, to } in moves.iter().filter(|it| it.to.pepper == active) {
        moved += u64::from(move_row(conn, from, to, now)?);
    }
    Ok(moved)
}

/// Brings the row of `key`, if it is under another of its digests, to the first one. To be called with a `key` of the
/// active pepper, before anything is written for it: so all rows of a key are under one digest at any time.
pub(super) fn adopt(conn: &Connection, key: &Fingerprint, now: Timestamp) -> Result<(), StoreError> {
    for from in &key.others {
        move_row(conn, from, key, now)?;
    }
    Ok(())
}

fn move_row(conn: &Connection, from: &KeyDigest, to: &Fingerprint, now: Timestamp) -> Result<bool, StoreError> {
    let Some(named) = names::by_digest(conn, from)? else { return Ok(false) };
    if *from == to.digest || names::by_digest(conn, &to.digest)?.is_some() {
        return Ok(false);
    }
    for table in ["bindings", "bans", "candidates", "archive"] {
        let sql = format!("UPDATE {table} SET digest = ?2, pepper = ?3 WHERE key_id = ?1");
        execute(conn, &sql, (named.id.to_string(), to.digest.as_bytes(), to.pepper.as_str()))?;
    }
    // Caches know the key by the digest that it leaves; by the new one none knows it.
    advance(conn, from, now)?;
    Ok(true)
}

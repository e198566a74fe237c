//! The facts of a key, and the state of the store.

use rusqlite::{Connection, ToSql};

use super::rows::{NOW, all, first};
use crate::{
    domain::{Candidate, KeyDigest, KeyDigests, KeyFacts, KeyId, PepperId, Timestamp},
    store::{
        Reading, Revision, StoreError,
        columns::{self, Columns, no_active_pepper, no_revision, unreadable},
    },
};

pub(super) fn reading(conn: &Connection, key: &KeyDigests) -> Result<Reading, StoreError> {
    let (as_of, _) = revision(conn)?;
    for digest in key.iter() {
        let facts = facts_of_digest(conn, &digest)?;
        if !facts.is_empty() {
            return Ok(Reading { facts, as_of, digest });
        }
    }
    Ok(Reading { facts: KeyFacts::default(), as_of, digest: key.first() })
}

pub(super) fn facts_of_digest(conn: &Connection, key: &KeyDigest) -> Result<KeyFacts, StoreError> {
    facts(conn, "digest", key.as_bytes())
}

pub(super) fn facts_of_id(conn: &Connection, id: KeyId) -> Result<KeyFacts, StoreError> {
    facts(conn, "key_id", &id.to_string())
}

fn facts(conn: &Connection, column: &str, key: &dyn ToSql) -> Result<KeyFacts, StoreError> {
    let from = |columns: &str, table: &str| format!("SELECT {columns} FROM {table} WHERE {column} = ?1");
    let binding = from("key_id, hint, state, created_at, open_until, expires_at", "bindings");
    let ban = from("key_id, hint, until, reason, actor, created_at", "bans");
    let candidates = from("network, first_at", "candidates") + " ORDER BY id";
    let networks = "SELECT network FROM binding_networks WHERE key_id = ?1 ORDER BY network";
    Ok(KeyFacts {
        binding: first(conn, &binding, [key], |row| {
            let id = [row.text(0, "bindings.key_id")?];
            columns::binding(row, 0, all(conn, networks, id, |row| row.parsed(0, "binding_networks.network"))?)
        })?,
        ban: first(conn, &ban, [key], |row| columns::ban(row, 0))?,
        candidates: all(conn, &candidates, [key], |row| {
            let network = row.parsed(0, "candidates.network")?;
            Ok(Candidate { network, first_at: row.moment(1, "candidates.first_at")? })
        })?,
    })
}

/// Returns the current revision, and the revision that the change log reaches back to.
pub(super) fn revision(conn: &Connection) -> Result<(Revision, Revision), StoreError> {
    let sql = "SELECT value, floor FROM revision";
    let found = first(conn, sql, [], |row| {
        Ok((Revision(row.integer(0, "revision.value")?), Revision(row.integer(1, "revision.floor")?)))
    })?;
    found.ok_or_else(no_revision)
}

/// Returns the clock of the store.
pub(super) fn now(conn: &Connection) -> Result<Timestamp, StoreError> {
    let now = first(conn, &format!("SELECT {NOW}"), [], |row| row.moment(0, "now"))?;
    now.ok_or_else(|| unreadable("now", "no answer"))
}

/// Returns the active pepper.
pub(super) fn active_pepper(conn: &Connection) -> Result<PepperId, StoreError> {
    let found = first(conn, "SELECT id FROM peppers WHERE active = 1", [], |row| row.pepper_id(0, "peppers.id"))?;
    found.ok_or_else(no_active_pepper)
}

/// Returns the peppers other than the active one that keys are under. A start checks them, but a restored backup may bring
/// another one. Between rotations this reads the table of peppers only.
pub(super) fn other_peppers(conn: &Connection) -> Result<Vec<PepperId>, StoreError> {
    let sql = "SELECT id FROM peppers WHERE active = 0 AND retired_at IS NULL AND (
             EXISTS (SELECT 1 FROM bindings WHERE pepper = peppers.id) OR EXISTS (SELECT 1 FROM bans WHERE pepper = peppers.id)
             OR EXISTS (SELECT 1 FROM candidates WHERE pepper = peppers.id)
             OR EXISTS (SELECT 1 FROM archive WHERE pepper = peppers.id))";
    all(conn, sql, [], |row| row.pepper_id(0, "peppers.id"))
}

//! What is known of one key.

use rusqlite::{Connection, ToSql};

use super::rows::{NOW, all, first};
use crate::{
    domain::{Candidate, KeyDigest, KeyDigests, KeyFacts, KeyId, Timestamp},
    store::{
        Reading, Revision, StoreError,
        columns::{self, Columns},
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
    facts(
        conn,
        [
            "SELECT key_id, hint, state, created_at, open_until, expires_at FROM bindings WHERE digest = ?1",
            "SELECT key_id, hint, until, reason, actor, created_at FROM bans WHERE digest = ?1",
            "SELECT network, first_at FROM candidates WHERE digest = ?1 ORDER BY id",
        ],
        key.as_bytes(),
    )
}

pub(super) fn facts_of_id(conn: &Connection, id: KeyId) -> Result<KeyFacts, StoreError> {
    facts(
        conn,
        [
            "SELECT key_id, hint, state, created_at, open_until, expires_at FROM bindings WHERE key_id = ?1",
            "SELECT key_id, hint, until, reason, actor, created_at FROM bans WHERE key_id = ?1",
            "SELECT network, first_at FROM candidates WHERE key_id = ?1 ORDER BY id",
        ],
        &id.to_string(),
    )
}

fn facts(conn: &Connection, [binding, ban, candidates]: [&str; 3], key: &dyn ToSql) -> Result<KeyFacts, StoreError> {
    let networks = "SELECT network FROM binding_networks WHERE key_id = ?1 ORDER BY network";
    Ok(KeyFacts {
        binding: first(conn, binding, [key], |row| {
            let id = [row.text(0, "bindings.key_id")?];
            columns::binding(row, 0, all(conn, networks, id, |row| row.parsed(0, "binding_networks.network"))?)
        })?,
        ban: first(conn, ban, [key], |row| columns::ban(row, 0))?,
        candidates: all(conn, candidates, [key], |row| {
            let network = row.parsed(0, "candidates.network")?;
            Ok(Candidate { network, first_at: row.moment(1, "candidates.first_at")? })
        })?,
    })
}

/// The current revision, and the one that the change log reaches back to.
pub(super) fn revision(conn: &Connection) -> Result<(Revision, Revision), StoreError> {
    let sql = "SELECT value, floor FROM revision";
    let found = first(conn, sql, [], |row| {
        Ok((Revision(row.integer(0, "revision.value")?), Revision(row.integer(1, "revision.floor")?)))
    })?;
    found.ok_or_else(|| StoreError::Corrupt("revision: its row is missing".to_owned()))
}

/// The store's clock.
pub(super) fn now(conn: &Connection) -> Result<Timestamp, StoreError> {
    let now = first(conn, &format!("SELECT {NOW}"), [], |row| row.moment(0, "now"))?;
    now.ok_or_else(|| StoreError::Corrupt("now: no answer".to_owned()))
}

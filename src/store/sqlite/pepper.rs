//! Which pepper is active, what is under the others, and the steps from one to the next.

use rusqlite::Connection;

use super::{
    audit, facts, names, revision,
    rows::{all, execute, first},
};
use crate::{
    domain::{KeyId, PepperId, Timestamp, event::Record},
    store::{
        ChangeError, FORGOTTEN_AT_ONCE, PepperRow, PepperUsage, RecordId, Rotated, Rotation, StoreError,
        columns::{self, Columns, no_active_pepper},
        rules::rotation::{self, StoredPepper},
    },
};

/// The pepper that new rows are written with.
pub(super) fn active(conn: &Connection) -> Result<PepperId, StoreError> {
    let found = first(conn, "SELECT id FROM peppers WHERE active = 1", [], |row| row.pepper_id(0, "peppers.id"))?;
    found.ok_or_else(no_active_pepper)
}

/// Refuses what is made with another pepper than the active one. SQLite has one writer at a time, so what holds here
/// holds until the commit.
pub(super) fn must_be_active(conn: &Connection, pepper: &PepperId) -> Result<(), StoreError> {
    let active = active(conn)?;
    if active == *pepper { Ok(()) } else { Err(StoreError::Behind(active)) }
}

pub(super) fn peppers(conn: &Connection) -> Result<Vec<PepperRow>, StoreError> {
    all(conn, "SELECT id, active, retired_at FROM peppers ORDER BY active DESC, id", [], |row| {
        let id = row.pepper_id(0, "peppers.id")?;
        let (active, retired_at) = (row.flag(1, "peppers.active")?, row.moment_or_null(2, "peppers.retired_at")?);
        Ok(PepperRow { active, retired_at, usage: usage(conn, &id)?, id })
    })
}

fn usage(conn: &Connection, id: &PepperId) -> Result<PepperUsage, StoreError> {
    let sql = "SELECT (SELECT count(*) FROM bindings WHERE pepper = ?1), (SELECT count(*) FROM bans WHERE pepper = ?1),
        (SELECT count(DISTINCT key_id) FROM candidates WHERE pepper = ?1),
        (SELECT count(*) FROM archive WHERE pepper = ?1)";
    Ok(first(conn, sql, [id.as_str()], |row| columns::usage(row))?.unwrap_or_default())
}

pub(super) fn rotate(conn: &Connection, step: &Rotation, actor: &str, now: Timestamp) -> Result<Rotated, ChangeError> {
    match step {
        Rotation::Activate { id, check_value } => activate(conn, id, check_value, actor, now),
        Rotation::Retire { id, forget } => retire(conn, id, *forget, actor, now),
    }
}

fn activate(
    conn: &Connection,
    id: &PepperId,
    check_value: &[u8; 32],
    actor: &str,
    now: Timestamp,
) -> Result<Rotated, ChangeError> {
    let before = active(conn)?;
    rotation::may_activate(id, check_value, stored(conn, id)?.as_ref(), &before)?;
    execute(conn, "UPDATE peppers SET active = 0 WHERE active = 1", [])?;
    let record = rotation::activated(&before, id, actor, now);
    let number = audit::append(conn, &record)?;
    let sql = "INSERT INTO peppers (id, check_value, active, activated_by) VALUES (?1, ?2, 1, ?3)
         ON CONFLICT (id) DO UPDATE SET active = 1, activated_by = excluded.activated_by, retired_at = NULL";
    execute(conn, sql, (id.as_str(), check_value, number.0))?;
    Ok(Rotated { revision: revision::next(conn)?, records: vec![record], done: true, usage: usage(conn, id)? })
}

fn retire(conn: &Connection, id: &PepperId, forget: bool, actor: &str, now: Timestamp) -> Result<Rotated, ChangeError> {
    let before = usage(conn, id)?;
    rotation::may_retire(id, stored(conn, id)?.as_ref(), before, forget)?;
    let mut records = Vec::new();
    for key in some_under(conn, id)? {
        records.push(self::forget(conn, id, key, actor, now)?);
    }
    let usage = usage(conn, id)?;
    if usage.is_needed() {
        return Ok(Rotated { revision: facts::revision(conn)?.0, records, done: false, usage });
    }
    execute(conn, "DELETE FROM archive WHERE pepper = ?1", [id.as_str()])?;
    execute(conn, "UPDATE peppers SET retired_at = ?2 WHERE id = ?1", (id.as_str(), now.as_millis()))?;
    let retired = rotation::retired(id, usage, actor, now);
    audit::append(conn, &retired)?;
    records.push(retired);
    Ok(Rotated { revision: revision::next(conn)?, records, done: true, usage: self::usage(conn, id)? })
}

pub(super) fn stored(conn: &Connection, id: &PepperId) -> Result<Option<StoredPepper>, StoreError> {
    let sql = "SELECT check_value, active, retired_at IS NOT NULL FROM peppers WHERE id = ?1";
    first(conn, sql, [id.as_str()], |row| columns::known_pepper(row))
}

/// Whether a pepper was activated after `record` was written.
pub(super) fn rotated_since(conn: &Connection, RecordId(id): RecordId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM peppers WHERE activated_by > ?1";
    Ok(first(conn, sql, [id], |_| Ok(()))?.is_some())
}

fn some_under(conn: &Connection, id: &PepperId) -> Result<Vec<KeyId>, StoreError> {
    let sql = "SELECT key_id FROM bindings WHERE pepper = ?1 UNION SELECT key_id FROM bans WHERE pepper = ?1
        UNION SELECT key_id FROM candidates WHERE pepper = ?1 LIMIT ?2";
    all(conn, sql, (id.as_str(), FORGOTTEN_AT_ONCE), |row| columns::key_id(row))
}

fn forget(conn: &Connection, pepper: &PepperId, key: KeyId, actor: &str, now: Timestamp) -> Result<Record, StoreError> {
    let facts = facts::facts_of_id(conn, key)?;
    let digest = names::by_id(conn, key)?.map(|named| named.fingerprint.digest);
    for table in ["bindings", "bans", "candidates", "archive"] {
        execute(conn, &format!("DELETE FROM {table} WHERE key_id = ?1"), [key.to_string()])?;
    }
    if let Some(digest) = digest {
        revision::advance(conn, &digest, now)?;
    }
    let record = rotation::forgotten(pepper, key, &facts, actor, now);
    audit::append(conn, &record)?;
    Ok(record)
}

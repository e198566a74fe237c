//! Which pepper is active, what is under the others, and the steps from one to the next.

use rusqlite::{Connection, OptionalExtension};

use super::{
    audit, facts, names,
    revision::advance,
    rows::{column, count, moment_or_null, parsed},
};
use crate::{
    domain::{KeyId, PepperId, Timestamp, event::Record},
    store::{
        ChangeError, FORGOTTEN_AT_ONCE, PepperRow, PepperUsage, RecordId, Revision, Rotated, Rotation, StoreError,
        rules::rotation::{self, Known},
    },
};

/// The pepper that new rows are written with.
pub(super) fn active(conn: &Connection) -> Result<PepperId, StoreError> {
    let mut statement = conn.prepare_cached("SELECT id FROM peppers WHERE active = 1")?;
    let found: Option<String> = statement.query_row([], |row| row.get(0)).optional()?;
    found.map(PepperId::from_stored).ok_or_else(|| StoreError::Corrupt("peppers: none is active".to_owned()))
}

/// Refuses what is made with another pepper than the active one. SQLite has one writer at a time, so what holds here
/// holds until the commit.
pub(super) fn must_be_active(conn: &Connection, pepper: &PepperId) -> Result<(), StoreError> {
    let active = active(conn)?;
    if active == *pepper { Ok(()) } else { Err(StoreError::Behind(active)) }
}

pub(super) fn peppers(conn: &Connection) -> Result<Vec<PepperRow>, StoreError> {
    conn.prepare_cached("SELECT id, active, retired_at FROM peppers ORDER BY active DESC, id")?
        .query_and_then([], |row| {
            let id = PepperId::from_stored(column(row, 0, "peppers.id")?);
            let left = left(conn, &id)?;
            let retired_at = moment_or_null(row, 2, "peppers.retired_at")?;
            Ok(PepperRow { active: column(row, 1, "peppers.active")?, retired_at, left, id })
        })?
        .collect()
}

fn left(conn: &Connection, id: &PepperId) -> Result<PepperUsage, StoreError> {
    let sql = "SELECT (SELECT count(*) FROM bindings WHERE pepper = ?1), (SELECT count(*) FROM bans WHERE pepper = ?1),
        (SELECT count(DISTINCT key_id) FROM candidates WHERE pepper = ?1),
        (SELECT count(*) FROM archive WHERE pepper = ?1)";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([id.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(PepperUsage::default()) };
    Ok(PepperUsage {
        bindings: count(row, 0, "bindings.pepper")?,
        bans: count(row, 1, "bans.pepper")?,
        observed: count(row, 2, "candidates.pepper")?,
        archived: count(row, 3, "archive.pepper")?,
    })
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
    rotation::may_activate(id, check_value, known(conn, id)?.as_ref(), &before)?;
    conn.prepare_cached("UPDATE peppers SET active = 0 WHERE active = 1")?.execute([])?;
    let record = rotation::activated(&before, id, actor, now);
    let number = audit::append(conn, &record)?;
    conn.prepare_cached(
        "INSERT INTO peppers (id, check_value, active, activated_by) VALUES (?1, ?2, 1, ?3)
         ON CONFLICT (id) DO UPDATE SET active = 1, activated_by = excluded.activated_by, retired_at = NULL",
    )?
    .execute((id.as_str(), check_value, number.0))?;
    Ok(Rotated { revision: next(conn)?, records: vec![record], done: true, left: left(conn, id)? })
}

fn retire(conn: &Connection, id: &PepperId, forget: bool, actor: &str, now: Timestamp) -> Result<Rotated, ChangeError> {
    let before = left(conn, id)?;
    rotation::may_retire(id, known(conn, id)?.as_ref(), before, forget)?;
    let mut records = Vec::new();
    for key in some_under(conn, id)? {
        records.push(self::forget(conn, id, key, actor, now)?);
    }
    let left = left(conn, id)?;
    if left.lives() {
        return Ok(Rotated { revision: facts::revision(conn)?.0, records, done: false, left });
    }
    conn.prepare_cached("DELETE FROM archive WHERE pepper = ?1")?.execute([id.as_str()])?;
    conn.prepare_cached("UPDATE peppers SET retired_at = ?2 WHERE id = ?1")?.execute((id.as_str(), now.as_millis()))?;
    let retired = rotation::retired(id, left, actor, now);
    audit::append(conn, &retired)?;
    records.push(retired);
    Ok(Rotated { revision: next(conn)?, records, done: true, left: self::left(conn, id)? })
}

pub(super) fn known(conn: &Connection, id: &PepperId) -> Result<Option<Known>, StoreError> {
    let found = conn
        .prepare_cached("SELECT check_value, active, retired_at IS NOT NULL FROM peppers WHERE id = ?1")?
        .query_row([id.as_str()], |row| {
            Ok(Known { check_value: row.get(0)?, active: row.get(1)?, retired: row.get(2)? })
        });
    Ok(found.optional()?)
}

/// Whether a pepper was activated after `record` was written.
pub(super) fn rotated_since(conn: &Connection, RecordId(id): RecordId) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM peppers WHERE activated_by > ?1)";
    Ok(conn.prepare_cached(sql)?.query_row([id], |row| row.get(0))?)
}

fn some_under(conn: &Connection, id: &PepperId) -> Result<Vec<KeyId>, StoreError> {
    let sql = "SELECT key_id FROM bindings WHERE pepper = ?1 UNION SELECT key_id FROM bans WHERE pepper = ?1
        UNION SELECT key_id FROM candidates WHERE pepper = ?1 LIMIT ?2";
    conn.prepare_cached(sql)?
        .query_and_then((id.as_str(), FORGOTTEN_AT_ONCE), |row| parsed(row, 0, "known_keys.key_id"))?
        .collect()
}

fn forget(conn: &Connection, pepper: &PepperId, key: KeyId, actor: &str, now: Timestamp) -> Result<Record, StoreError> {
    let facts = facts::facts_of_id(conn, key)?;
    let digest = names::by_id(conn, key)?.map(|named| named.fingerprint.digest);
    for table in ["bindings", "bans", "candidates", "archive"] {
        conn.prepare_cached(&format!("DELETE FROM {table} WHERE key_id = ?1"))?.execute([key.to_string()])?;
    }
    if let Some(digest) = digest {
        advance(conn, &digest, now)?;
    }
    let record = rotation::forgotten(pepper, key, &facts, actor, now);
    audit::append(conn, &record)?;
    Ok(record)
}

/// A revision without a changed key: no cached fact is wrong, but every replica has to look.
fn next(conn: &Connection) -> Result<Revision, StoreError> {
    let sql = "UPDATE revision SET value = value + 1 RETURNING value";
    Ok(Revision(conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?))
}

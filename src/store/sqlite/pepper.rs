//! Peppers: what is under each, rotation, and re-keying.

use rusqlite::Connection;

use super::{
    audit, facts, keys, revision,
    rows::{all, execute, first},
};
use crate::{
    domain::{Fingerprint, KeyDigest, KeyId, PepperId, Timestamp, event::Record},
    store::{
        ChangeError, FORGOTTEN_AT_ONCE, PepperRow, PepperUsage, RecordId, Rekey, Rotated, Rotation, StoreError,
        columns::{self, Columns},
        rules::rotation::{self, StoredPepper},
    },
};

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
    let before = facts::active_pepper(conn)?;
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
    for key in keys_under(conn, id)? {
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

fn keys_under(conn: &Connection, id: &PepperId) -> Result<Vec<KeyId>, StoreError> {
    let sql = "SELECT key_id FROM bindings WHERE pepper = ?1 UNION SELECT key_id FROM bans WHERE pepper = ?1
        UNION SELECT key_id FROM candidates WHERE pepper = ?1 LIMIT ?2";
    all(conn, sql, (id.as_str(), FORGOTTEN_AT_ONCE), |row| columns::key_id(row))
}

fn forget(conn: &Connection, pepper: &PepperId, key: KeyId, actor: &str, now: Timestamp) -> Result<Record, StoreError> {
    let facts = facts::facts_of_id(conn, key)?;
    let digest = keys::by_id(conn, key)?.map(|named| named.fingerprint.digest);
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

pub(super) fn rekey(conn: &Connection, moves: &[Rekey], now: Timestamp) -> Result<u64, StoreError> {
    let active = facts::active_pepper(conn)?;
    let mut moved = 0;
    for Rekey { from, to } in moves.iter().filter(|it| it.to.pepper == active) {
        moved += u64::from(move_row(conn, from, to, now)?);
    }
    Ok(moved)
}

/// Fails with `Behind` if `key` is not under the active pepper; SQLite has one writer at a time, so this holds until
/// the commit. Re-keys the row of `key` if it is under another of its digests. Must be called before anything is read
/// or written for the key: so all rows of a key are under one digest at any time.
pub(super) fn adopt(conn: &Connection, key: &Fingerprint, now: Timestamp) -> Result<(), StoreError> {
    let active = facts::active_pepper(conn)?;
    if active != key.pepper {
        return Err(StoreError::Behind(active));
    }
    key.others.iter().try_for_each(|from| move_row(conn, from, key, now).map(drop))
}

fn move_row(conn: &Connection, from: &KeyDigest, to: &Fingerprint, now: Timestamp) -> Result<bool, StoreError> {
    let Some(named) = keys::by_digest(conn, from)? else { return Ok(false) };
    if *from == to.digest || keys::by_digest(conn, &to.digest)?.is_some() {
        return Ok(false);
    }
    for table in ["bindings", "bans", "candidates", "archive"] {
        let sql = format!("UPDATE {table} SET digest = ?2, pepper = ?3 WHERE key_id = ?1");
        execute(conn, &sql, (named.id.to_string(), to.digest.as_bytes(), to.pepper.as_str()))?;
    }
    // Caches know the key by its old digest.
    revision::advance(conn, from, now)?;
    Ok(true)
}

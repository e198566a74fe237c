//! Times of last use, the archive of unused bindings, and the deletion of expired rows.

use rusqlite::{Connection, Row, params};

use super::{
    audit, facts, keys, revision,
    rows::{all, execute, first},
    writes,
};
use crate::{
    domain::{KeyId, Timestamp, event::Record},
    store::{
        ArchivedBinding, StoreError, Use,
        columns::{self, Columns, unreadable},
        rules,
    },
};

pub(super) fn note_uses(conn: &Connection, uses: &[Use]) -> Result<u64, StoreError> {
    // `max()` of a column and NULL would be NULL.
    let sql = "UPDATE bindings SET used_at = nullif(max(coalesce(used_at, 0), coalesce(?2, 0)), 0),
             refused_at = nullif(max(coalesce(refused_at, 0), coalesce(?3, 0)), 0)
         WHERE key_id = ?1";
    let mut touched = 0;
    for Use { key, used_at, refused_at } in uses {
        let [used_at, refused_at] = [used_at, refused_at].map(|at| at.map(Timestamp::as_millis));
        touched += execute(conn, sql, params![key.to_string(), used_at, refused_at])?;
    }
    Ok(touched)
}

pub(super) fn archive(
    conn: &Connection,
    unused_since: Timestamp,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<Record>, StoreError> {
    // The expression of the index `bindings_unused`.
    let sql = "SELECT key_id FROM bindings
        WHERE state = 'learned'
            AND max(created_at, coalesce(used_at, 0), coalesce(refused_at, 0), coalesce(restored_at, 0)) < ?1
        ORDER BY max(created_at, coalesce(used_at, 0), coalesce(refused_at, 0), coalesce(restored_at, 0)) LIMIT ?2";
    let ids = all(conn, sql, (unused_since.as_millis(), limit), |row| columns::key_id(row))?;
    // SQLite has one write transaction at a time, so the selected rows cannot have changed.
    ids.into_iter().filter_map(|id| archive_one(conn, id, now).transpose()).collect()
}

fn archive_one(conn: &Connection, id: KeyId, now: Timestamp) -> Result<Option<Record>, StoreError> {
    let (Some(key), Some(binding)) = (keys::by_id(conn, id)?, facts::facts_of_id(conn, id)?.binding) else {
        return Ok(None);
    };
    let archived =
        ArchivedBinding { networks: binding.networks.clone(), created_at: binding.created_at, archived_at: now };
    writes::archived(conn, &key, &archived)?;
    writes::remove(conn, id)?;
    revision::advance(conn, &key.fingerprint.digest, now)?;
    let record = rules::change::archived(&key, binding, now);
    audit::append(conn, &record)?;
    Ok(Some(record))
}

/// Returns the archived bindings of a key, oldest first.
pub(super) fn archive_of(conn: &Connection, id: KeyId) -> Result<Vec<ArchivedBinding>, StoreError> {
    let sql = "SELECT networks, created_at, archived_at FROM archive WHERE key_id = ?1 ORDER BY id";
    all(conn, sql, [id.to_string()], archived)
}

/// Reads only the last archived binding, which is all that a first use reports.
pub(super) fn last_archived(conn: &Connection, id: KeyId) -> Result<Option<ArchivedBinding>, StoreError> {
    let sql = "SELECT networks, created_at, archived_at FROM archive WHERE key_id = ?1 ORDER BY id DESC LIMIT 1";
    first(conn, sql, [id.to_string()], archived)
}

fn archived(row: &Row<'_>) -> Result<ArchivedBinding, StoreError> {
    let networks = row.text(0, "archive.networks")?.split_whitespace().map(str::parse).collect::<Result<_, _>>();
    columns::archived(row, 1, networks.map_err(|fault| unreadable("archive.networks", fault))?)
}

pub(super) fn expire(conn: &Connection, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let mut deleted = 0;
    for sql in [
        "DELETE FROM bans WHERE key_id IN (SELECT key_id FROM bans WHERE until < ?1 ORDER BY until LIMIT ?2)",
        "DELETE FROM bindings WHERE key_id IN
             (SELECT key_id FROM bindings WHERE expires_at < ?1 ORDER BY expires_at LIMIT ?2)",
    ] {
        deleted += execute(conn, sql, (before.as_millis(), limit))?;
    }
    Ok(deleted)
}

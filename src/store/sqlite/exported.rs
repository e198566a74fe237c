//! Keys with all that the store knows of them.

use rusqlite::Connection;

use super::{
    facts, life, names,
    rows::{column, moment_or_null, parsed},
};
use crate::{
    domain::KeyId,
    store::{ExportedKey, StoreError},
};

/// Each table alone is read no further than the page goes: together they would be sorted as a whole for every page.
const IDS: &str = "
    SELECT key_id FROM (SELECT key_id FROM bindings WHERE key_id > ?1 ORDER BY key_id LIMIT ?2)
    UNION SELECT key_id FROM (SELECT key_id FROM bans WHERE key_id > ?1 ORDER BY key_id LIMIT ?2)
    UNION SELECT key_id FROM (SELECT DISTINCT key_id FROM candidates WHERE key_id > ?1 ORDER BY key_id LIMIT ?2)
    UNION SELECT key_id FROM (SELECT DISTINCT key_id FROM archive WHERE key_id > ?1 ORDER BY key_id LIMIT ?2)
    ORDER BY key_id LIMIT ?2";

/// Everything that is known of the first keys after `after`.
pub(super) fn page(conn: &Connection, after: Option<KeyId>, limit: u32) -> Result<Vec<ExportedKey>, StoreError> {
    // Every id comes after nothing.
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let mut statement = conn.prepare_cached(IDS)?;
    let ids = statement.query_and_then((after, limit), |row| parsed(row, 0, "known_keys.key_id"))?;
    ids.filter_map(|id| id.and_then(|id| key(conn, id)).transpose()).collect()
}

/// Everything that is known of a key.
pub(super) fn key(conn: &Connection, id: KeyId) -> Result<Option<ExportedKey>, StoreError> {
    read(conn, id).map_err(|fault| fault.of(id))
}

fn read(conn: &Connection, id: KeyId) -> Result<Option<ExportedKey>, StoreError> {
    let Some(named) = names::by_id(conn, id)? else { return Ok(None) };
    let sql = "SELECT used_at, refused_at, restored_at, note FROM bindings WHERE key_id = ?1";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([id.to_string()])?;
    let (used_at, refused_at, restored_at, note) = match rows.next()? {
        Some(row) => (
            moment_or_null(row, 0, "bindings.used_at")?,
            moment_or_null(row, 1, "bindings.refused_at")?,
            moment_or_null(row, 2, "bindings.restored_at")?,
            column(row, 3, "bindings.note")?,
        ),
        None => (None, None, None, None),
    };
    let (facts, archive) = (facts::facts_of_id(conn, id)?, life::archive_of(conn, id)?);
    Ok(Some(ExportedKey { id, key: named.fingerprint, facts, used_at, refused_at, restored_at, note, archive }))
}

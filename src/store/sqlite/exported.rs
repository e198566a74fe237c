//! Keys with all that the store knows of them.

use rusqlite::Connection;

use super::{
    facts, life, names,
    rows::{all, first},
};
use crate::{
    domain::KeyId,
    store::{
        ExportedKey, StoreError,
        columns::{self, Columns},
        selection,
    },
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
    let ids = all(conn, IDS, (selection::after(after), limit), |row| columns::key_id(row))?;
    ids.into_iter().filter_map(|id| key(conn, id).transpose()).collect()
}

/// Everything that is known of a key.
pub(super) fn key(conn: &Connection, id: KeyId) -> Result<Option<ExportedKey>, StoreError> {
    read(conn, id).map_err(|fault| fault.of(id))
}

fn read(conn: &Connection, id: KeyId) -> Result<Option<ExportedKey>, StoreError> {
    let Some(named) = names::by_id(conn, id)? else { return Ok(None) };
    let mut exported = ExportedKey {
        id,
        key: named.fingerprint,
        facts: facts::facts_of_id(conn, id)?,
        used_at: None,
        refused_at: None,
        restored_at: None,
        note: None,
        archive: life::archive_of(conn, id)?,
    };
    let sql = "SELECT used_at, refused_at, restored_at, note FROM bindings WHERE key_id = ?1";
    first(conn, sql, [id.to_string()], |row| {
        exported.used_at = row.moment_or_null(0, "bindings.used_at")?;
        exported.refused_at = row.moment_or_null(1, "bindings.refused_at")?;
        exported.restored_at = row.moment_or_null(2, "bindings.restored_at")?;
        exported.note = row.owned_or_null(3, "bindings.note")?;
        Ok(())
    })?;
    Ok(Some(exported))
}

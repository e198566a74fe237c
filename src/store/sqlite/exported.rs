//! Export and import of keys.

use rusqlite::Connection;

use super::{
    audit, facts, keys, last_use, pepper, revision,
    rows::{all, execute, first},
    writes,
};
use crate::{
    domain::{KeyId, PepperId, Timestamp},
    store::{
        ExportedKey, Imported, KnownPepper, StoreError,
        columns::{self, Columns},
        rules::import::{self, Known, PepperUpdate},
        selection,
    },
};

/// Each table is read only up to the end of the page. A plain UNION of the tables would be sorted as a whole for every
/// page.
const IDS: &str = "
    SELECT key_id FROM (SELECT key_id FROM bindings WHERE key_id > ?1 ORDER BY key_id LIMIT ?2)
    UNION SELECT key_id FROM (SELECT key_id FROM bans WHERE key_id > ?1 ORDER BY key_id LIMIT ?2)
    UNION SELECT key_id FROM (SELECT DISTINCT key_id FROM candidates WHERE key_id > ?1 ORDER BY key_id LIMIT ?2)
    UNION SELECT key_id FROM (SELECT DISTINCT key_id FROM archive WHERE key_id > ?1 ORDER BY key_id LIMIT ?2)
    ORDER BY key_id LIMIT ?2";

/// Exports the first keys after `after`.
pub(super) fn page(conn: &Connection, after: Option<KeyId>, limit: u32) -> Result<Vec<ExportedKey>, StoreError> {
    let ids = all(conn, IDS, (selection::after(after), limit), |row| columns::key_id(row))?;
    ids.into_iter().filter_map(|id| key(conn, id).transpose()).collect()
}

/// Exports a key.
pub(super) fn key(conn: &Connection, id: KeyId) -> Result<Option<ExportedKey>, StoreError> {
    read(conn, id).map_err(|fault| fault.of(id))
}

fn read(conn: &Connection, id: KeyId) -> Result<Option<ExportedKey>, StoreError> {
    let Some(named) = keys::by_id(conn, id)? else { return Ok(None) };
    let mut exported = ExportedKey {
        id,
        key: named.fingerprint,
        facts: facts::facts_of_id(conn, id)?,
        used_at: None,
        refused_at: None,
        restored_at: None,
        note: None,
        archive: last_use::archive_of(conn, id)?,
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

pub(super) fn import(
    conn: &Connection,
    keys: &[ExportedKey],
    peppers: &[KnownPepper],
    actor: &str,
    now: Timestamp,
) -> Result<Imported, StoreError> {
    let known = known(conn, keys)?;
    let (taken, kept) = known.sort(keys);
    for id in import::peppers(&taken) {
        pepper_update(conn, id, peppers)?;
    }
    for key in &taken {
        writes::apply(conn, &import::identity(key), &import::writes(key))?;
        revision::advance(conn, &key.key.digest, now)?;
    }
    last_use::note_uses(conn, &import::uses(&taken))?;
    let record = import::imported(&taken, kept.len(), actor, now);
    record.iter().try_for_each(|record| audit::append(conn, record).map(drop))?;
    Ok(Imported { taken: taken.len() as u64, kept, record })
}

/// Reads the known keys under the ids and the digests of `keys`.
fn known(conn: &Connection, keys: &[ExportedKey]) -> Result<Known, StoreError> {
    let mut known = Known::default();
    for key in keys {
        for named in [keys::by_id(conn, key.id)?, keys::by_digest(conn, &key.key.digest)?].into_iter().flatten() {
            known.ids.insert(named.fingerprint.digest, named.id);
            if let Some(key) = self::key(conn, named.id)? {
                known.keys.insert(named.id, key);
            }
        }
    }
    Ok(known)
}

fn pepper_update(conn: &Connection, id: &PepperId, peppers: &[KnownPepper]) -> Result<(), StoreError> {
    match import::pepper_update(id, pepper::stored(conn, id)?.as_ref(), peppers)? {
        PepperUpdate::None => Ok(0),
        PepperUpdate::Insert(check_value) => {
            let sql = "INSERT INTO peppers (id, check_value, active) VALUES (?1, ?2, 0)";
            execute(conn, sql, (id.as_str(), check_value))
        }
        PepperUpdate::Unretire => execute(conn, "UPDATE peppers SET retired_at = NULL WHERE id = ?1", [id.as_str()]),
    }
    .map(drop)
}

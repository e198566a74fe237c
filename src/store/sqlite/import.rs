//! Keys of another store.

use rusqlite::Connection;

use super::{audit, exported, life, names, owner, pepper, revision, rows::execute};
use crate::{
    domain::{PepperId, Timestamp},
    store::{
        ExportedKey, Imported, KnownPepper, StoreError,
        rules::import::{self, Known, Learn},
    },
};

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
        learn(conn, id, peppers)?;
    }
    for key in &taken {
        owner::write(conn, &import::named(key), &import::writes(key))?;
        revision::advance(conn, &key.key.digest, now)?;
    }
    life::note_uses(conn, &import::uses(&taken))?;
    let record = import::imported(&taken, kept.len(), actor, now);
    record.iter().try_for_each(|record| audit::append(conn, record).map(drop))?;
    Ok(Imported { taken: taken.len() as u64, kept, record })
}

/// All that is known under the ids and the digests of the keys.
fn known(conn: &Connection, keys: &[ExportedKey]) -> Result<Known, StoreError> {
    let mut known = Known::default();
    for key in keys {
        for named in [names::by_id(conn, key.id)?, names::by_digest(conn, &key.key.digest)?].into_iter().flatten() {
            known.ids.insert(named.fingerprint.digest, named.id);
            if let Some(key) = exported::key(conn, named.id)? {
                known.keys.insert(named.id, key);
            }
        }
    }
    Ok(known)
}

fn learn(conn: &Connection, id: &PepperId, peppers: &[KnownPepper]) -> Result<(), StoreError> {
    match import::learn(id, pepper::stored(conn, id)?.as_ref(), peppers)? {
        Learn::Nothing => Ok(0),
        Learn::Recorded(check_value) => {
            let sql = "INSERT INTO peppers (id, check_value, active) VALUES (?1, ?2, 0)";
            execute(conn, sql, (id.as_str(), check_value))
        }
        Learn::NotRetired => execute(conn, "UPDATE peppers SET retired_at = NULL WHERE id = ?1", [id.as_str()]),
    }
    .map(drop)
}

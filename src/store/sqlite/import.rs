//! Keys of another store.

use std::collections::HashSet;

use rusqlite::Connection;

use super::{audit, exported, life, names, owner, pepper, revision};
use crate::{
    domain::Timestamp,
    store::{
        ExportedKey, Imported, KnownPepper, StoreError,
        rules::import::{self, Learn, Verdict},
    },
};

pub(super) fn import(
    conn: &Connection,
    keys: &[ExportedKey],
    peppers: &[KnownPepper],
    actor: &str,
    now: Timestamp,
) -> Result<Imported, StoreError> {
    let (mut taken, mut kept, mut learned) = (Vec::new(), Vec::new(), HashSet::new());
    for key in keys {
        let known = known(conn, key)?;
        match import::judge(key, &known.iter().collect::<Vec<_>>()) {
            Verdict::Same => {}
            Verdict::Kept => kept.push(key.id),
            Verdict::New => {
                if learned.insert(&key.key.pepper) {
                    learn(conn, key, peppers)?;
                }
                owner::write(conn, &import::named(key), &import::writes(key))?;
                revision::advance(conn, &key.key.digest, now)?;
                taken.push(key);
            }
        }
    }
    life::note_uses(conn, &import::uses(&taken))?;
    let record = import::imported(&taken, kept.len(), actor, now);
    record.iter().try_for_each(|record| audit::append(conn, record).map(drop))?;
    Ok(Imported { taken: taken.len() as u64, kept, record })
}

/// All that is known under the key's id or its digest.
fn known(conn: &Connection, key: &ExportedKey) -> Result<Vec<ExportedKey>, StoreError> {
    let found = [names::by_id(conn, key.id)?, names::by_digest(conn, &key.key.digest)?];
    let mut ids: Vec<_> = found.into_iter().flatten().map(|named| named.id).collect();
    ids.dedup();
    ids.into_iter().filter_map(|id| exported::key(conn, id).transpose()).collect()
}

fn learn(conn: &Connection, key: &ExportedKey, peppers: &[KnownPepper]) -> Result<(), StoreError> {
    let id = &key.key.pepper;
    match import::learn(id, pepper::known(conn, id)?.as_ref(), peppers)? {
        Learn::Nothing => {}
        Learn::Recorded(check_value) => {
            conn.prepare_cached("INSERT INTO peppers (id, check_value, active) VALUES (?1, ?2, 0)")?
                .execute((id.as_str(), check_value))?;
        }
        Learn::NotRetired => {
            conn.prepare_cached("UPDATE peppers SET retired_at = NULL WHERE id = ?1")?.execute([id.as_str()])?;
        }
    }
    Ok(())
}

//! Keys on their way out of this store, and in.

use std::collections::HashSet;

use rusqlite::Connection;

use super::{
    audit, life, listing, names, owner, pepper, revision,
    rows::{moment_or_null, parsed},
};
use crate::{
    domain::{KeyId, Timestamp},
    store::{
        ExportedKey, KeyQuery, KeyRow, KnownPepper, Moving, Order, StoreError, Tended,
        rules::import::{self, Learn, Verdict},
    },
};

/// Each table alone is read no further than the page goes: together they would be sorted whole for every page.
const IDS: &str = "
    SELECT key_id FROM (SELECT key_id FROM bindings WHERE key_id > ?1 ORDER BY key_id LIMIT ?2)
    UNION SELECT key_id FROM (SELECT key_id FROM bans WHERE key_id > ?1 ORDER BY key_id LIMIT ?2)
    UNION SELECT key_id FROM (SELECT DISTINCT key_id FROM candidates WHERE key_id > ?1 ORDER BY key_id LIMIT ?2)
    UNION SELECT key_id FROM (SELECT DISTINCT key_id FROM archive WHERE key_id > ?1 ORDER BY key_id LIMIT ?2)
    ORDER BY key_id LIMIT ?2";

pub(super) fn page(conn: &Connection, query: &KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
    let after = match query.order {
        Order::Newest | Order::ById(None) => String::new(),
        Order::ById(Some(id)) => id.to_string(),
    };
    let mut statement = conn.prepare_cached(IDS)?;
    let ids = statement.query_and_then((after, query.limit), |row| parsed(row, 0, "known_keys.key_id"))?;
    let whole = |id: Result<KeyId, StoreError>| {
        let id = id?;
        Ok(KeyRow { whole: whole(conn, id)?.map(Box::new), ..listing::row(conn, id)? })
    };
    ids.map(whole).collect()
}

fn whole(conn: &Connection, id: KeyId) -> Result<Option<ExportedKey>, StoreError> {
    read(conn, id).map_err(|fault| fault.of(id))
}

fn read(conn: &Connection, id: KeyId) -> Result<Option<ExportedKey>, StoreError> {
    let Some(named) = names::by_id(conn, id)? else { return Ok(None) };
    let mut statement = conn.prepare_cached("SELECT restored_at FROM bindings WHERE key_id = ?1")?;
    let restored_at = match statement.query([id.to_string()])?.next()? {
        Some(row) => moment_or_null(row, 0, "bindings.restored_at")?,
        None => None,
    };
    Ok(Some(ExportedKey { key: named.fingerprint, restored_at, archive: life::archive_of(conn, id)? }))
}

pub(super) fn import(
    conn: &Connection,
    keys: &[Moving],
    peppers: &[KnownPepper],
    actor: &str,
    now: Timestamp,
) -> Result<Tended, StoreError> {
    let (mut taken, mut kept, mut learned) = (Vec::new(), Vec::new(), HashSet::new());
    for key in keys {
        let known = known(conn, key)?;
        match import::judge(key, &known.iter().collect::<Vec<_>>()) {
            Verdict::Same => {}
            Verdict::Kept => kept.push(key.id),
            Verdict::New => {
                if learned.insert(&key.whole.key.pepper) {
                    learn(conn, key, peppers)?;
                }
                owner::write(conn, &import::named(key), &import::writes(key))?;
                revision::advance(conn, &key.whole.key.digest, now)?;
                taken.push(key);
            }
        }
    }
    life::note_uses(conn, &import::uses(&taken))?;
    let record = import::imported(&taken, kept.len(), actor, now);
    record.iter().try_for_each(|record| audit::append(conn, record).map(drop))?;
    Ok(Tended { rows: taken.len() as u64, records: record.into_iter().collect(), kept })
}

/// All that is known under the key's id or its digest.
fn known(conn: &Connection, key: &Moving) -> Result<Vec<Moving>, StoreError> {
    let found = [names::by_id(conn, key.id)?, names::by_digest(conn, &key.whole.key.digest)?];
    let mut ids: Vec<_> = found.into_iter().flatten().map(|named| named.id).collect();
    ids.dedup();
    let whole = |id| Ok(KeyRow { whole: whole(conn, id)?.map(Box::new), ..listing::row(conn, id)? }.moving());
    ids.into_iter().filter_map(|id| whole(id).transpose()).collect()
}

fn learn(conn: &Connection, key: &Moving, peppers: &[KnownPepper]) -> Result<(), StoreError> {
    let id = &key.whole.key.pepper;
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

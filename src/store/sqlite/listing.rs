//! What operators ask for. May be slow: it runs on a thread that no decision waits for.

use rusqlite::{Connection, ToSql};

use super::{
    facts::{self, NOW},
    names::resolve,
    rows::parsed,
};
use crate::{
    domain::KeyId,
    store::{ChangeError, KeyQuery, KeyRow, StoreError, Target},
};

pub(super) fn find(conn: &Connection, target: &Target) -> Result<KeyRow, ChangeError> {
    let named = resolve(conn, target)?;
    Ok(KeyRow { key_id: named.id, facts: facts::facts_of_id(conn, named.id)? })
}

pub(super) fn keys(conn: &Connection, query: &KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
    let (sql, values) = newest(query);
    conn.prepare_cached(&sql)?
        .query_and_then(rusqlite::params_from_iter(values), |row| {
            let key_id: KeyId = parsed(row, 0, "known_keys.key_id")?;
            Ok(KeyRow { key_id, facts: facts::facts_of_id(conn, key_id)? })
        })?
        .collect()
}

/// A key with a binding and a ban is as new as the newer of the two and is listed there only. So each half is in the
/// order of its own index and SQLite merges them, which stops at the limit and sorts nothing.
fn newest(query: &KeyQuery) -> (String, Vec<Box<dyn ToSql>>) {
    let mut filter = String::new();
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(query.limit), Box::new(query.offset)];
    if let Some(state) = query.state {
        filter.push_str(
            " AND EXISTS (SELECT 1 FROM bindings AS held WHERE held.key_id = listed.key_id AND held.state = ?3)",
        );
        values.push(Box::new(state.as_str()));
    }
    if query.banned_only {
        filter.push_str(&format!(
            " AND EXISTS (SELECT 1 FROM bans AS force WHERE force.key_id = listed.key_id
                 AND (force.until IS NULL OR force.until > {NOW}))"
        ));
    }
    if let Some(network) = query.network {
        values.push(Box::new(network.to_string()));
        filter.push_str(&format!(
            " AND listed.key_id IN (SELECT key_id FROM binding_networks WHERE network = ?{})",
            values.len()
        ));
    }
    let sql = format!(
        "SELECT key_id, created_at FROM bindings AS listed WHERE NOT EXISTS
             (SELECT 1 FROM bans AS other WHERE other.key_id = listed.key_id AND other.created_at > listed.created_at)
             {filter}
         UNION ALL
         SELECT key_id, created_at FROM bans AS listed WHERE NOT EXISTS
             (SELECT 1 FROM bindings AS other
              WHERE other.key_id = listed.key_id AND other.created_at >= listed.created_at)
             {filter}
         ORDER BY created_at DESC, key_id DESC LIMIT ?1 OFFSET ?2"
    );
    (sql, values)
}

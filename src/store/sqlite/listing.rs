//! What operators ask for. May be slow: it runs on a thread that no decision waits for.

use rusqlite::{Connection, ToSql};

use super::{
    audit, exported,
    facts::{self, NOW},
    names::resolve,
    rows::parsed,
};
use crate::{
    domain::{KeyId, Network},
    store::{
        ChangeError, KeyFilter, KeyQuery, KeyRow, Order, Refusal, StateFilter, StoreError, Target,
        rules::{REFUSED_SINCE, would_deny},
    },
};

pub(super) fn find(conn: &Connection, target: &Target) -> Result<KeyRow, ChangeError> {
    let named = resolve(conn, target)?;
    let since = facts::now(conn)?.before(REFUSED_SINCE);
    let known = exported::key(conn, named.id)?.ok_or(Refusal::NotFound)?;
    Ok(KeyRow { refused: audit::refused(conn, named.id, since)?, ..known.into() })
}

pub(super) fn list(conn: &Connection, query: &KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
    let (sql, values) = match &query.filter {
        KeyFilter::BoundOrBanned { state, network, banned_only } => {
            bound_or_banned(query, *state, *network, *banned_only)
        }
        KeyFilter::Observed => observed(query),
    };
    let mut statement = conn.prepare_cached(&sql)?;
    let ids = statement
        .query_and_then(rusqlite::params_from_iter(values), |row| parsed(row, 0, "known_keys.key_id"))?
        .collect::<Result<Vec<_>, StoreError>>()?;
    let known = ids.into_iter().filter_map(|id| exported::key(conn, id).transpose());
    known.map(|known| known.map(KeyRow::from)).collect()
}

pub(super) fn would_deny_keys(conn: &Connection, limit: u32) -> Result<Vec<KeyRow>, StoreError> {
    let now = facts::now(conn)?;
    let since = now.before(REFUSED_SINCE);
    let mut rows = Vec::new();
    for id in audit::would_deny_keys(conn, since)? {
        if rows.len() == limit as usize {
            break;
        }
        let Some(known) = exported::key(conn, id)? else { continue };
        rows.extend(would_deny(known, audit::refusals(conn, id, since, -1)?, now));
    }
    Ok(rows)
}

/// What observe mode has seen, and nobody owns yet.
fn observed(query: &KeyQuery) -> (String, Vec<Box<dyn ToSql>>) {
    let (after, order) = match query.order {
        Order::Newest => (None, "first"),
        Order::ById(after) => (after, "key_id"),
    };
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(query.limit), Box::new(query.offset), Box::new(text(after))];
    let hinted = match &query.hint {
        Some(hint) => {
            values.push(Box::new(hint.clone()));
            "AND instr(hint, ?4) > 0"
        }
        None => "",
    };
    let sql = format!(
        "SELECT key_id, min(id) AS first FROM candidates AS seen
         WHERE key_id > ?3 {hinted} AND NOT EXISTS (SELECT 1 FROM bindings WHERE bindings.key_id = seen.key_id)
         GROUP BY key_id ORDER BY {order} LIMIT ?1 OFFSET ?2"
    );
    (sql, values)
}

/// Every id comes after nothing.
fn text(after: Option<KeyId>) -> String {
    after.map(|id| id.to_string()).unwrap_or_default()
}

/// A key with a binding and a ban is as new as the newer of the two and is listed there only. So each half is in the
/// order of its own index and SQLite merges them, which stops at the limit and sorts nothing.
fn bound_or_banned(
    query: &KeyQuery,
    state: Option<StateFilter>,
    network: Option<Network>,
    banned_only: bool,
) -> (String, Vec<Box<dyn ToSql>>) {
    let mut filter = String::new();
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(query.limit), Box::new(query.offset)];
    match state {
        Some(StateFilter::In(state)) => {
            filter.push_str(
                " AND EXISTS (SELECT 1 FROM bindings AS held WHERE held.key_id = listed.key_id AND held.state = ?3)",
            );
            values.push(Box::new(state.as_str()));
        }
        Some(StateFilter::Reserved) => filter.push_str(
            " AND EXISTS (SELECT 1 FROM bindings AS held WHERE held.key_id = listed.key_id AND held.state = 'pinned')
              AND NOT EXISTS (SELECT 1 FROM binding_networks AS owner WHERE owner.key_id = listed.key_id)",
        ),
        None => {}
    }
    if let Some(hint) = &query.hint {
        values.push(Box::new(hint.clone()));
        filter.push_str(&format!(" AND instr(listed.hint, ?{}) > 0", values.len()));
    }
    if banned_only {
        filter.push_str(&format!(
            " AND EXISTS (SELECT 1 FROM bans AS force WHERE force.key_id = listed.key_id
                 AND (force.until IS NULL OR force.until > {NOW}))"
        ));
    }
    if let Some(network) = network {
        values.push(Box::new(network.to_string()));
        filter.push_str(&format!(
            " AND listed.key_id IN (SELECT key_id FROM binding_networks WHERE network = ?{})",
            values.len()
        ));
    }
    let order = match query.order {
        Order::Newest => "created_at DESC, key_id DESC",
        Order::ById(after) => {
            values.push(Box::new(text(after)));
            filter.push_str(&format!(" AND listed.key_id > ?{}", values.len()));
            "key_id"
        }
    };
    let sql = format!(
        "SELECT key_id, created_at FROM bindings AS listed WHERE NOT EXISTS
             (SELECT 1 FROM bans AS other WHERE other.key_id = listed.key_id AND other.created_at > listed.created_at)
             {filter}
         UNION ALL
         SELECT key_id, created_at FROM bans AS listed WHERE NOT EXISTS
             (SELECT 1 FROM bindings AS other
              WHERE other.key_id = listed.key_id AND other.created_at >= listed.created_at)
             {filter}
         ORDER BY {order} LIMIT ?1 OFFSET ?2"
    );
    (sql, values)
}

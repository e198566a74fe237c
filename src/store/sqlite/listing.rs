//! What operators ask for. May be slow: it runs on a thread that no decision waits for.

use rusqlite::Connection;

use super::{
    audit, exported, facts,
    names::resolve,
    rows::{Asked, all},
};
use crate::store::{
    ChangeError, KeyFilter, KeyQuery, KeyRow, Order, Refusal, StoreError, Target, columns,
    rules::{REFUSED_SINCE, would_deny},
    selection::{self, Values},
};

pub(super) fn find(conn: &Connection, target: &Target) -> Result<KeyRow, ChangeError> {
    let named = resolve(conn, target)?;
    let since = facts::now(conn)?.before(REFUSED_SINCE);
    let known = exported::key(conn, named.id)?.ok_or(Refusal::NotFound)?;
    Ok(KeyRow { refused: audit::refused(conn, named.id, since)?, ..known.into() })
}

pub(super) fn list(conn: &Connection, query: &KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
    let mut asked = Asked::default();
    let sql = match query.filter {
        KeyFilter::BoundOrBanned { state, network, banned_only } => {
            let filter = selection::bound_or_banned(query, state, network, banned_only, &mut asked);
            bound_or_banned(query, &filter, &mut asked)
        }
        KeyFilter::Observed => selection::observed(query, &mut asked),
    };
    let ids = all(conn, &sql, asked.values(), |row| columns::key_id(row))?;
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

/// A key with a binding and a ban is as new as the newer of the two and is listed there only. So each half is in the
/// order of its own index and SQLite merges them, which stops at the limit and sorts nothing.
fn bound_or_banned(query: &KeyQuery, filter: &str, asked: &mut Asked) -> String {
    let order = match query.order {
        Order::Newest => "created_at DESC, key_id DESC",
        Order::ById(_) => "key_id",
    };
    let (limit, offset) = (asked.integer(query.limit.into()), asked.integer(query.offset.into()));
    format!(
        "SELECT key_id, created_at FROM bindings AS listed WHERE NOT EXISTS
             (SELECT 1 FROM bans AS other WHERE other.key_id = listed.key_id AND other.created_at > listed.created_at)
             {filter}
         UNION ALL
         SELECT key_id, created_at FROM bans AS listed WHERE NOT EXISTS
             (SELECT 1 FROM bindings AS other
              WHERE other.key_id = listed.key_id AND other.created_at >= listed.created_at)
             {filter}
         ORDER BY {order} LIMIT {limit} OFFSET {offset}"
    )
}

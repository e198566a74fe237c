//! What operators ask for. May be slow: it runs on a thread that no decision waits for.

use rusqlite::{Connection, ToSql};

use super::{
    audit,
    facts::{self, NOW},
    life,
    names::{self, resolve},
    rows::{column, moment_or_null, parsed},
};
use crate::{
    domain::KeyId,
    store::{ChangeError, KeyQuery, KeyRow, Life, Order, StoreError, Target, rules::REFUSED_SINCE},
};

pub(super) fn find(conn: &Connection, target: &Target) -> Result<KeyRow, ChangeError> {
    let named = resolve(conn, target)?;
    let since = facts::now(conn)?.before(REFUSED_SINCE);
    Ok(KeyRow { refused: audit::refused(conn, named.id, since)?, ..row(conn, named.id)? })
}

pub(super) fn row(conn: &Connection, key_id: KeyId) -> Result<KeyRow, StoreError> {
    read(conn, key_id).map_err(|fault| fault.of(key_id))
}

fn read(conn: &Connection, key_id: KeyId) -> Result<KeyRow, StoreError> {
    let sql = "SELECT used_at, refused_at, note FROM bindings WHERE key_id = ?1";
    let mut statement = conn.prepare_cached(sql)?;
    let archived = life::archived(conn, key_id)?;
    let life = match statement.query([key_id.to_string()])?.next()? {
        Some(row) => Life {
            used_at: moment_or_null(row, 0, "bindings.used_at")?,
            refused_at: moment_or_null(row, 1, "bindings.refused_at")?,
            note: column(row, 2, "bindings.note")?,
            archived,
        },
        None => Life { archived, ..Life::default() },
    };
    let hint = names::by_id(conn, key_id)?.and_then(|named| named.fingerprint.hint);
    Ok(KeyRow { key_id, hint, facts: facts::facts_of_id(conn, key_id)?, life, refused: Vec::new(), whole: None })
}

pub(super) fn keys(conn: &Connection, query: &KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
    if query.let_through_only {
        return let_through(conn, query);
    }
    let (sql, values) = newest(query);
    conn.prepare_cached(&sql)?
        .query_and_then(rusqlite::params_from_iter(values), |row| {
            self::row(conn, parsed(row, 0, "known_keys.key_id")?)
        })?
        .collect()
}

/// What was refused under a ban binds in every mode, and what its owners cover by now will not be refused.
fn let_through(conn: &Connection, query: &KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
    let now = facts::now(conn)?;
    let since = now.before(REFUSED_SINCE);
    let judged = audit::let_through(conn, since)?.into_iter().map(|id| {
        let row = row(conn, id)?;
        let banned = row.facts.ban.as_ref().is_some_and(|ban| ban.in_force(now));
        let refused = match row.facts.binding_at(now) {
            Some(binding) if !banned => audit::strangers(conn, id, since, &binding.networks)?,
            _ => Vec::new(),
        };
        Ok(KeyRow { refused, ..row })
    });
    let wanted = judged.filter(|row| !matches!(row, Ok(row) if row.refused.is_empty()));
    wanted.skip(query.offset as usize).take(query.limit as usize).collect()
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
fn newest(query: &KeyQuery) -> (String, Vec<Box<dyn ToSql>>) {
    if query.observed_only {
        return observed(query);
    }
    let mut filter = String::new();
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(query.limit), Box::new(query.offset)];
    if let Some(state) = query.state {
        filter.push_str(
            " AND EXISTS (SELECT 1 FROM bindings AS held WHERE held.key_id = listed.key_id AND held.state = ?3)",
        );
        values.push(Box::new(state.as_str()));
    }
    if query.reserved_only {
        filter.push_str(
            " AND EXISTS (SELECT 1 FROM bindings AS held WHERE held.key_id = listed.key_id AND held.state = 'pinned')
              AND NOT EXISTS (SELECT 1 FROM binding_networks AS owner WHERE owner.key_id = listed.key_id)",
        );
    }
    if let Some(hint) = &query.hint {
        values.push(Box::new(hint.clone()));
        filter.push_str(&format!(" AND instr(listed.hint, ?{}) > 0", values.len()));
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

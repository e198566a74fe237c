//! Queries by operators. They may be slow: they run on a thread that no decision waits for.

use rusqlite::Connection;

use super::{
    audit, exported, facts,
    keys::resolve,
    rows::{Parameters, all, first},
};
use crate::{
    domain::Timestamp,
    store::{
        ChangeError, Counts, CrowdedNetwork, DenialCount, KeyQuery, KeyRow, Refusal, StoreError, Target, columns,
        rules::{DENIALS_WINDOW, would_deny},
        selection,
    },
};

pub(super) fn find(conn: &Connection, target: &Target) -> Result<KeyRow, ChangeError> {
    let named = resolve(conn, target)?;
    let since = facts::now(conn)?.before(DENIALS_WINDOW);
    let known = exported::key(conn, named.id)?.ok_or(Refusal::NotFound)?;
    Ok(KeyRow { refused: audit::refused(conn, named.id, since)?, ..known.into() })
}

pub(super) fn list(conn: &Connection, query: &KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
    let mut asked = Parameters::default();
    let sql = selection::keys(query, &mut asked);
    let ids = all(conn, &sql, asked.values(), |row| columns::key_id(row))?;
    let known = ids.into_iter().filter_map(|id| exported::key(conn, id).transpose());
    known.map(|known| known.map(KeyRow::from)).collect()
}

pub(super) fn would_deny_keys(conn: &Connection, limit: u32) -> Result<Vec<KeyRow>, StoreError> {
    let now = facts::now(conn)?;
    let since = now.before(DENIALS_WINDOW);
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

pub(super) fn counts(conn: &Connection) -> Result<Counts, StoreError> {
    Ok(first(conn, &selection::counts::<Parameters>(), [], |row| columns::counts(row))?.unwrap_or_default())
}

/// Networks that an operator set do not show which addresses clients have, so pinned bindings are excluded.
pub(super) fn crowded_networks(conn: &Connection, limit: u32) -> Result<Vec<CrowdedNetwork>, StoreError> {
    let sql = "SELECT network, count(*) AS keys FROM (
             SELECT network FROM binding_networks JOIN bindings USING (key_id) WHERE state <> 'pinned'
             UNION ALL SELECT network FROM candidates)
         GROUP BY network ORDER BY keys DESC, network LIMIT ?1";
    all(conn, sql, [limit], |row| columns::crowded(row))
}

pub(super) fn denials_since(conn: &Connection, since: Timestamp) -> Result<Vec<DenialCount>, StoreError> {
    // `total()` does not fail where `sum()` would overflow.
    let sql = "SELECT reason, CAST(total(count) AS INTEGER) AS times, max(last_at) FROM audit
         WHERE last_at >= ?1 AND kind IN ('denied', 'would_deny') AND reason IS NOT NULL
         GROUP BY reason ORDER BY times DESC, reason";
    all(conn, sql, [since.as_millis()], |row| columns::denied(row))
}

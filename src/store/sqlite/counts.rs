//! How full the store is. May be slow: it runs on a thread that no decision waits for.

use rusqlite::Connection;

use super::rows::{NOW, all, first};
use crate::{
    domain::Timestamp,
    store::{Counts, Crowded, Denied, StoreError, columns},
};

pub(super) fn counts(conn: &Connection) -> Result<Counts, StoreError> {
    let sql = format!(
        "SELECT count(*) FILTER (WHERE state = 'learned'),
             count(*) FILTER (WHERE state = 'pinned' AND owned),
             count(*) FILTER (WHERE state = 'pinned' AND NOT owned),
             (SELECT count(*) FROM bans WHERE until IS NULL OR until > {NOW}),
             count(*) FILTER (WHERE state = 'provisional'),
             (SELECT count(DISTINCT key_id) FROM candidates AS seen
              WHERE NOT EXISTS (SELECT 1 FROM bindings WHERE bindings.key_id = seen.key_id))
         FROM (SELECT state, state = 'pinned' AND EXISTS
             (SELECT 1 FROM binding_networks AS owner WHERE owner.key_id = bindings.key_id) AS owned FROM bindings)"
    );
    Ok(first(conn, &sql, [], |row| columns::counts(row))?.unwrap_or_default())
}

/// What an operator gave to a network says nothing of who clients seem to be.
pub(super) fn crowded_networks(conn: &Connection, limit: u32) -> Result<Vec<Crowded>, StoreError> {
    let sql = "SELECT network, count(*) AS keys FROM (
             SELECT network FROM binding_networks JOIN bindings USING (key_id) WHERE state <> 'pinned'
             UNION ALL SELECT network FROM candidates)
         GROUP BY network ORDER BY keys DESC, network LIMIT ?1";
    all(conn, sql, [limit], |row| columns::crowded(row))
}

pub(super) fn denials_since(conn: &Connection, since: Timestamp) -> Result<Vec<Denied>, StoreError> {
    // total() does not fail where sum() would overflow.
    let sql = "SELECT reason, CAST(total(count) AS INTEGER) AS times, max(last_at) FROM audit
         WHERE last_at >= ?1 AND kind IN ('denied', 'would_deny') AND reason IS NOT NULL
         GROUP BY reason ORDER BY times DESC, reason";
    all(conn, sql, [since.as_millis()], |row| columns::denied(row))
}

//! How full the store is. May be slow: it runs on a thread that no decision waits for.

use rusqlite::Connection;

use super::{
    facts::NOW,
    rows::{count, moment, parsed, word},
};
use crate::{
    domain::{Network, Reason, Timestamp},
    store::{Counts, Crowded, Denied, StoreError},
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
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else { return Ok(Counts::default()) };
    Ok(Counts {
        learned: count(row, 0, "bindings.state")?,
        pinned: count(row, 1, "bindings.state")?,
        reserved: count(row, 2, "bindings.state")?,
        banned: count(row, 3, "bans.until")?,
        provisional: count(row, 4, "bindings.state")?,
        observed: count(row, 5, "candidates.key_id")?,
    })
}

/// What an operator gave to a network says nothing of who clients seem to be.
pub(super) fn crowded_networks(conn: &Connection, limit: u32) -> Result<Vec<Crowded>, StoreError> {
    conn.prepare_cached(
        "SELECT network, count(*) AS keys FROM (
             SELECT network FROM binding_networks JOIN bindings USING (key_id) WHERE state <> 'pinned'
             UNION ALL SELECT network FROM candidates)
         GROUP BY network ORDER BY keys DESC, network LIMIT ?1",
    )?
    .query_and_then([limit], |row| {
        let network = parsed::<Network>(row, 0, "binding_networks.network")?;
        Ok(Crowded { network, keys: count(row, 1, "binding_networks.network")? })
    })?
    .collect()
}

pub(super) fn denials_since(conn: &Connection, since: Timestamp) -> Result<Vec<Denied>, StoreError> {
    // total() does not fail where sum() would overflow.
    conn.prepare_cached(
        "SELECT reason, CAST(total(count) AS INTEGER) AS times, max(last_at) FROM audit
         WHERE last_at >= ?1 AND kind IN ('denied', 'would_deny') AND reason IS NOT NULL
         GROUP BY reason ORDER BY times DESC, reason",
    )?
    .query_and_then([since.as_millis()], |row| {
        Ok(Denied {
            reason: word(row, 0, "audit.reason", Reason::from_word)?,
            count: count(row, 1, "audit.count")?,
            last_at: moment(row, 2, "audit.last_at")?,
        })
    })?
    .collect()
}

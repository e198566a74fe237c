//! How full the store is. May be slow: it runs on connections that no decision waits for.

use super::{
    rows::{step, time},
    session::Session,
};
use crate::{
    domain::Timestamp,
    store::{Counts, Crowded, Denied, StoreError, columns},
};

pub(super) async fn counts(session: &mut Session) -> Result<Counts, StoreError> {
    let sql = "
        SELECT count(*) FILTER (WHERE state = 'learned'),
            count(*) FILTER (WHERE state = 'pinned' AND owned),
            count(*) FILTER (WHERE state = 'pinned' AND NOT owned),
            (SELECT count(*) FROM bans WHERE until IS NULL OR until > clock_timestamp()),
            count(*) FILTER (WHERE state = 'provisional'),
            (SELECT count(DISTINCT key_id) FROM candidates AS seen
             WHERE NOT EXISTS (SELECT 1 FROM bindings WHERE bindings.key_id = seen.key_id))
        FROM (SELECT state, state = 'pinned' AND EXISTS
                  (SELECT 1 FROM binding_networks AS owner WHERE owner.key_id = bindings.key_id) AS owned
              FROM bindings) AS counted";
    Ok(session.row(step!(sql)).await?.as_ref().map(columns::counts).transpose()?.unwrap_or_default())
}

/// What an operator gave to a network says nothing of who clients seem to be.
pub(super) async fn crowded_networks(session: &mut Session, limit: u32) -> Result<Vec<Crowded>, StoreError> {
    let sql = "
        SELECT network::text, count(*) AS keys FROM (
            SELECT network FROM binding_networks JOIN bindings USING (key_id) WHERE state <> 'pinned'
            UNION ALL SELECT network FROM candidates) AS learned
        GROUP BY network ORDER BY keys DESC, network::text COLLATE \"C\" LIMIT $1";
    session.rows(step!(sql, i64::from(limit))).await?.iter().map(columns::crowded).collect()
}

pub(super) async fn denials_since(session: &mut Session, since: Timestamp) -> Result<Vec<Denied>, StoreError> {
    // A sum of bigint is numeric, and as large as it has to be.
    let sql = "
        SELECT reason, least(sum(count), 9223372036854775807)::bigint AS times, max(last_at) FROM audit
        WHERE last_at >= $1 AND kind IN ('denied', 'would_deny') AND reason IS NOT NULL
        GROUP BY reason ORDER BY times DESC, reason COLLATE \"C\"";
    session.rows(step!(sql, time(since))).await?.iter().map(columns::denied).collect()
}

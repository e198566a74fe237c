//! Queries by operators. They may be slow: they run on connections that no decision waits for.

use std::sync::LazyLock;

use super::{
    audit, exported, facts,
    keys::{by_key, only_id},
    rows::{Parameters, ids, step, time},
    session::Session,
};
use crate::{
    domain::Timestamp,
    store::{
        ChangeError, Counts, CrowdedNetwork, DenialCount, KeyQuery, KeyRow, Refusal, StoreError, Target, columns,
        rules::{DENIALS_WINDOW, would_deny},
        selection,
    },
};

pub(super) async fn find(session: &mut Session, target: &Target) -> Result<KeyRow, ChangeError> {
    session.begin_snapshot().await?;
    let id = match target {
        Target::Id(prefix) => only_id(session, prefix).await?,
        Target::Key(key) => by_key(session, key).await?.ok_or(Refusal::NotFound)?.id,
    };
    let since = facts::now(session).await?.before(DENIALS_WINDOW);
    let refused = audit::refused(session, id, since).await?;
    let known = exported::keys(session, &[id]).await?.pop().ok_or(Refusal::NotFound)?;
    Ok(KeyRow { refused, ..known.into() })
}

pub(super) async fn list(session: &mut Session, query: &KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
    session.begin_snapshot().await?;
    let mut asked = Parameters::default();
    let sql = selection::keys(query, &mut asked);
    let found = session.query(&sql, &asked.values()).await?;
    let known = exported::keys(session, &ids(&found)?).await?;
    Ok(known.into_iter().map(KeyRow::from).collect())
}

/// How many keys are checked at once.
const BATCH: usize = 256;

pub(super) async fn would_deny_keys(session: &mut Session, limit: u32) -> Result<Vec<KeyRow>, StoreError> {
    session.begin_snapshot().await?;
    let now = facts::now(session).await?;
    let since = now.before(DENIALS_WINDOW);
    let mut wanted = Vec::new();
    for ids in audit::would_deny_keys(session, since).await?.chunks(BATCH) {
        let mut refused = audit::refusals(session, ids, since, None).await?;
        for known in exported::keys(session, ids).await? {
            if wanted.len() == limit as usize {
                return Ok(wanted);
            }
            let refused = refused.remove(&known.id).unwrap_or_default();
            wanted.extend(would_deny(known, refused, now));
        }
    }
    Ok(wanted)
}

pub(super) async fn counts(session: &mut Session) -> Result<Counts, StoreError> {
    static SQL: LazyLock<String> = LazyLock::new(selection::counts::<Parameters>);
    let row = session.row(step!(SQL.as_str())).await?;
    Ok(row.as_ref().map(columns::counts).transpose()?.unwrap_or_default())
}

/// Networks that an operator set do not show which addresses clients have, so pinned bindings are excluded.
pub(super) async fn crowded_networks(session: &mut Session, limit: u32) -> Result<Vec<CrowdedNetwork>, StoreError> {
    let sql = "
        SELECT network::text, count(*) AS keys FROM (
            SELECT network FROM binding_networks JOIN bindings USING (key_id) WHERE state <> 'pinned'
            UNION ALL SELECT network FROM candidates) AS learned
        GROUP BY network ORDER BY keys DESC, network::text COLLATE \"C\" LIMIT $1";
    session.rows(step!(sql, i64::from(limit))).await?.iter().map(columns::crowded).collect()
}

pub(super) async fn denials_since(session: &mut Session, since: Timestamp) -> Result<Vec<DenialCount>, StoreError> {
    // A sum of bigint is numeric and cannot overflow.
    let sql = "
        SELECT reason, least(sum(count), 9223372036854775807)::bigint AS times, max(last_at) FROM audit
        WHERE last_at >= $1 AND kind IN ('denied', 'would_deny') AND reason IS NOT NULL
        GROUP BY reason ORDER BY times DESC, reason COLLATE \"C\"";
    session.rows(step!(sql, time(since))).await?.iter().map(columns::denied).collect()
}

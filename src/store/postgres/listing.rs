//! What operators ask for. May be slow: it runs on connections that no decision waits for.

use super::{
    audit, exported, facts,
    keys::{by_key, only_id},
    rows::{Asked, ids},
    session::Session,
};
use crate::store::{
    ChangeError, KeyFilter, KeyQuery, KeyRow, Order, Refusal, StoreError, Target,
    rules::{REFUSED_SINCE, would_deny},
    selection::{self, Values},
};

pub(super) async fn find(session: &mut Session, target: &Target) -> Result<KeyRow, ChangeError> {
    session.begin_snapshot().await?;
    let id = match target {
        Target::Id(prefix) => only_id(session, prefix).await?,
        Target::Key(key) => by_key(session, key).await?.ok_or(Refusal::NotFound)?.id,
    };
    let since = facts::now(session).await?.before(REFUSED_SINCE);
    let refused = audit::refused(session, id, since).await?;
    let known = exported::keys(session, &[id]).await?.pop().ok_or(Refusal::NotFound)?;
    Ok(KeyRow { refused, ..known.into() })
}

pub(super) async fn list(session: &mut Session, query: &KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
    session.begin_snapshot().await?;
    let mut asked = Asked::default();
    let sql = match query.filter {
        KeyFilter::BoundOrBanned { state, network, banned_only } => {
            let filter = selection::bound_or_banned(query, state, network, banned_only, &mut asked);
            bound_or_banned(query, &filter, &mut asked)
        }
        KeyFilter::Observed => selection::observed(query, &mut asked),
    };
    let found = session.query(&sql, &asked.values()).await?;
    let known = exported::keys(session, &ids(&found)?).await?;
    Ok(known.into_iter().map(KeyRow::from).collect())
}

/// So many keys are judged at once.
const JUDGED: usize = 256;

pub(super) async fn would_deny_keys(session: &mut Session, limit: u32) -> Result<Vec<KeyRow>, StoreError> {
    session.begin_snapshot().await?;
    let now = facts::now(session).await?;
    let since = now.before(REFUSED_SINCE);
    let mut wanted = Vec::new();
    for ids in audit::would_deny_keys(session, since).await?.chunks(JUDGED) {
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

/// A key with a binding and a ban is as new as the newer of the two and is listed there only. So each half is in the
/// order of its own index and stops at the limit; only what is left of both is sorted.
fn bound_or_banned(query: &KeyQuery, filter: &str, asked: &mut Asked) -> String {
    let order = match query.order {
        Order::Newest => "created_at DESC, key_id DESC",
        Order::ById(_) => "key_id",
    };
    let (limit, offset) = (i64::from(query.limit), i64::from(query.offset));
    let (limit, offset, both) = (asked.integer(limit), asked.integer(offset), asked.integer(limit + offset));
    format!(
        "(SELECT key_id, created_at FROM bindings AS listed WHERE NOT EXISTS
             (SELECT 1 FROM bans AS other WHERE other.key_id = listed.key_id AND other.created_at > listed.created_at)
             {filter} ORDER BY {order} LIMIT {both})
         UNION ALL
         (SELECT key_id, created_at FROM bans AS listed WHERE NOT EXISTS
             (SELECT 1 FROM bindings AS other
              WHERE other.key_id = listed.key_id AND other.created_at >= listed.created_at)
             {filter} ORDER BY {order} LIMIT {both})
         ORDER BY {order} LIMIT {limit} OFFSET {offset}"
    )
}

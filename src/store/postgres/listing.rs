//! What operators ask for. May be slow: it runs on connections that no decision waits for.

use super::{
    audit, facts,
    keys::{by_key, only_id},
    rows::{Asked, step},
    session::Session,
    whole::{page, rows, text},
};
use crate::{
    domain::{KeyFacts, Timestamp},
    store::{
        ChangeError, KeyQuery, KeyRow, Order, Refusal, RefusedNetwork, StoreError, Target,
        rules::{REFUSED, REFUSED_SINCE},
    },
};

/// A row is a few statements, and a key that is re-keyed between two of them would come out empty.
async fn of_one_snapshot(session: &mut Session) -> Result<(), StoreError> {
    session.begin(vec![step!("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")]).await.map(drop)
}

pub(super) async fn find(session: &mut Session, target: &Target) -> Result<KeyRow, ChangeError> {
    of_one_snapshot(session).await?;
    let id = match target {
        Target::Id(prefix) => only_id(session, prefix).await?,
        Target::Key(key) => by_key(session, key).await?.ok_or(Refusal::NotFound)?.id,
    };
    let since = facts::now(session).await?.before(REFUSED_SINCE);
    let refused = audit::refused(session, id, since).await?;
    let row = rows(session, &[id]).await?.pop().ok_or(Refusal::NotFound)?;
    Ok(KeyRow { refused, whole: None, ..row })
}

pub(super) async fn keys(session: &mut Session, query: &KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
    of_one_snapshot(session).await?;
    if query.whole { page(session, query).await } else { told(session, query).await }
}

/// For operators.
async fn told(session: &mut Session, query: &KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
    if query.let_through_only {
        return let_through(session, query).await;
    }
    let (sql, asked) = if query.observed_only { observed(query) } else { newest(query) };
    let found = session.query(&sql, &asked.values()).await?;
    let rows = rows(session, &facts::ids(&found)?).await?;
    Ok(rows.into_iter().map(|row| KeyRow { whole: None, ..row }).collect())
}

/// So many keys are judged at once.
const JUDGED: usize = 256;

/// What was refused under a ban binds in every mode, and what its owners cover by now will not be refused.
async fn let_through(session: &mut Session, query: &KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
    let now = facts::now(session).await?;
    let since = now.before(REFUSED_SINCE);
    let (mut skip, mut wanted) = (query.offset, Vec::new());
    for ids in audit::let_through(session, since).await?.chunks(JUDGED) {
        let mut refused = audit::refusals(session, ids, since, None).await?;
        for row in rows(session, ids).await? {
            if wanted.len() == query.limit as usize {
                return Ok(wanted);
            }
            let refused = refused.remove(&row.key_id).unwrap_or_default();
            let refused = strangers(refused, &row.facts, now);
            match (refused.is_empty(), skip) {
                (true, _) => {}
                (false, 0) => wanted.push(KeyRow { refused, whole: None, ..row }),
                (false, _) => skip -= 1,
            }
        }
    }
    Ok(wanted)
}

/// The networks that the key was let through from and that no owner covers; none of a banned key.
fn strangers(mut refused: Vec<RefusedNetwork>, facts: &KeyFacts, now: Timestamp) -> Vec<RefusedNetwork> {
    let banned = facts.ban.as_ref().is_some_and(|ban| ban.in_force(now));
    let Some(binding) = facts.binding_at(now).filter(|_| !banned) else { return Vec::new() };
    refused.retain(|it| it.would_deny > 0 && !binding.networks.iter().any(|owner| owner.covers(it.network)));
    refused.truncate(REFUSED);
    refused
}

/// What observe mode has seen, and nobody owns yet.
fn observed(query: &KeyQuery) -> (String, Asked) {
    let mut asked = Asked::default();
    let (after, order) = match query.order {
        Order::Newest => (None, "first"),
        Order::ById(after) => (after, "key_id"),
    };
    let after = asked.with(text(after));
    let hinted = match &query.hint {
        Some(hint) => format!("AND strpos(hint, {}) > 0", asked.with(hint.clone())),
        None => String::new(),
    };
    let (limit, offset) = (asked.with(i64::from(query.limit)), asked.with(i64::from(query.offset)));
    let sql = format!(
        "SELECT key_id, min(id) AS first FROM candidates AS seen
         WHERE key_id > {after} {hinted} AND NOT EXISTS (SELECT 1 FROM bindings WHERE bindings.key_id = seen.key_id)
         GROUP BY key_id ORDER BY {order} LIMIT {limit} OFFSET {offset}"
    );
    (sql, asked)
}

/// A key with a binding and a ban is as new as the newer of the two and is listed there only. So each half is in the
/// order of its own index and stops at the limit; only what is left of both is sorted.
fn newest(query: &KeyQuery) -> (String, Asked) {
    let mut asked = Asked::default();
    let filter = filter(query, &mut asked);
    let order = match query.order {
        Order::Newest => "created_at DESC, key_id DESC",
        Order::ById(_) => "key_id",
    };
    let (limit, offset) = (asked.with(i64::from(query.limit)), asked.with(i64::from(query.offset)));
    let both = asked.with(i64::from(query.limit) + i64::from(query.offset));
    let sql = format!(
        "(SELECT key_id, created_at FROM bindings AS listed WHERE NOT EXISTS
             (SELECT 1 FROM bans AS other WHERE other.key_id = listed.key_id AND other.created_at > listed.created_at)
             {filter} ORDER BY {order} LIMIT {both})
         UNION ALL
         (SELECT key_id, created_at FROM bans AS listed WHERE NOT EXISTS
             (SELECT 1 FROM bindings AS other
              WHERE other.key_id = listed.key_id AND other.created_at >= listed.created_at)
             {filter} ORDER BY {order} LIMIT {both})
         ORDER BY {order} LIMIT {limit} OFFSET {offset}"
    );
    (sql, asked)
}

/// What a row of `listed` must be besides.
fn filter(query: &KeyQuery, asked: &mut Asked) -> String {
    let mut filter = String::new();
    if let Some(state) = query.state {
        let state = asked.with(state.as_str());
        filter.push_str(&format!(
            " AND EXISTS (SELECT 1 FROM bindings AS held WHERE held.key_id = listed.key_id AND held.state = {state})"
        ));
    }
    if query.reserved_only {
        filter.push_str(
            " AND EXISTS (SELECT 1 FROM bindings AS held WHERE held.key_id = listed.key_id AND held.state = 'pinned')
              AND NOT EXISTS (SELECT 1 FROM binding_networks AS owner WHERE owner.key_id = listed.key_id)",
        );
    }
    if let Some(hint) = &query.hint {
        filter.push_str(&format!(" AND strpos(listed.hint, {}) > 0", asked.with(hint.clone())));
    }
    if query.banned_only {
        filter.push_str(
            " AND EXISTS (SELECT 1 FROM bans AS force WHERE force.key_id = listed.key_id
                 AND (force.until IS NULL OR force.until > clock_timestamp()))",
        );
    }
    if let Some(network) = query.network {
        let network = asked.with(network.to_string());
        // `&&` is the operator that the index knows; the same network is the one that has the same mask as well.
        filter.push_str(&format!(
            " AND listed.key_id IN (SELECT key_id FROM binding_networks
                 WHERE network && {network}::text::cidr AND network = {network}::text::cidr)"
        ));
    }
    if let Order::ById(after) = query.order {
        filter.push_str(&format!(" AND listed.key_id > {}", asked.with(text(after))));
    }
    filter
}

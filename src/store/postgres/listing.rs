//! What operators ask for. May be slow: it runs on connections that no decision waits for.

use super::{
    audit,
    exported::{self, text},
    facts,
    keys::{by_key, only_id},
    rows::Asked,
    session::Session,
};
use crate::{
    domain::Network,
    store::{
        ChangeError, KeyFilter, KeyQuery, KeyRow, Order, Refusal, StateFilter, StoreError, Target,
        rules::{REFUSED_SINCE, would_deny},
    },
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
    let (sql, asked) = match &query.filter {
        KeyFilter::BoundOrBanned { state, network, banned_only } => {
            bound_or_banned(query, *state, *network, *banned_only)
        }
        KeyFilter::Observed => observed(query),
    };
    let found = session.query(&sql, &asked.values()).await?;
    let known = exported::keys(session, &facts::ids(&found)?).await?;
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
fn bound_or_banned(
    query: &KeyQuery,
    state: Option<StateFilter>,
    network: Option<Network>,
    banned_only: bool,
) -> (String, Asked) {
    let mut asked = Asked::default();
    let mut filter = conditions(state, network, banned_only, &mut asked);
    if let Some(hint) = &query.hint {
        filter.push_str(&format!(" AND strpos(listed.hint, {}) > 0", asked.with(hint.clone())));
    }
    if let Order::ById(after) = query.order {
        filter.push_str(&format!(" AND listed.key_id > {}", asked.with(text(after))));
    }
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
fn conditions(state: Option<StateFilter>, network: Option<Network>, banned_only: bool, asked: &mut Asked) -> String {
    let mut filter = String::new();
    match state {
        Some(StateFilter::In(state)) => {
            let state = asked.with(state.as_str());
            filter.push_str(&format!(
                " AND EXISTS (SELECT 1 FROM bindings AS held WHERE held.key_id = listed.key_id AND held.state = {state})"
            ));
        }
        Some(StateFilter::Reserved) => filter.push_str(
            " AND EXISTS (SELECT 1 FROM bindings AS held WHERE held.key_id = listed.key_id AND held.state = 'pinned')
              AND NOT EXISTS (SELECT 1 FROM binding_networks AS owner WHERE owner.key_id = listed.key_id)",
        ),
        None => {}
    }
    if banned_only {
        filter.push_str(
            " AND EXISTS (SELECT 1 FROM bans AS force WHERE force.key_id = listed.key_id
                 AND (force.until IS NULL OR force.until > clock_timestamp()))",
        );
    }
    if let Some(network) = network {
        let network = asked.with(network.to_string());
        // `&&` is the operator that the index knows; the same network is the one that has the same mask as well.
        filter.push_str(&format!(
            " AND listed.key_id IN (SELECT key_id FROM binding_networks
                 WHERE network && {network}::text::cidr AND network = {network}::text::cidr)"
        ));
    }
    filter
}

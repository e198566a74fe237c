//! What operators ask for. May be slow: it runs on connections that no decision waits for.

use super::{
    audit, facts,
    keys::{by_id, by_key, only_id},
    moving,
    rows::{Asked, moment_or_null, parsed, step},
    session::Session,
};
use crate::{
    domain::{KeyFacts, KeyId},
    store::{ChangeError, KeyQuery, KeyRow, Life, Order, Refusal, StoreError, Target, rules::REFUSED_SINCE},
};

pub(super) async fn find(session: &mut Session, target: &Target) -> Result<KeyRow, ChangeError> {
    let named = match target {
        Target::Id(prefix) => {
            let id = only_id(session, prefix).await?;
            by_id(session, id).await?
        }
        Target::Key(key) => by_key(session, key).await?,
    };
    let id = named.ok_or(Refusal::NotFound)?.id;
    let since = facts::now(session).await?.before(REFUSED_SINCE);
    let refused = audit::refused(session, id, since).await?;
    Ok(KeyRow { refused, ..row(session, id).await? })
}

async fn row(session: &mut Session, key_id: KeyId) -> Result<KeyRow, StoreError> {
    let unknown = KeyRow {
        key_id,
        hint: None,
        facts: KeyFacts::default(),
        life: Life::default(),
        refused: Vec::new(),
        whole: None,
    };
    let Some(named) = by_id(session, key_id).await? else { return Ok(unknown) };
    let life = step!("SELECT used_at, refused_at FROM bindings WHERE key_id = $1", key_id.to_string());
    let answers = session.send(vec![facts::step_of([named.fingerprint.digest]), life]).await?;
    let [known, life] = &answers[..] else { return Ok(unknown) };
    let Some(known) = facts::found(known)?.into_iter().next() else { return Ok(unknown) };
    let (used_at, refused_at) = match life.first() {
        Some(row) => (moment_or_null(row, 0, "bindings.used_at")?, moment_or_null(row, 1, "bindings.refused_at")?),
        None => (None, None),
    };
    let life = Life { used_at, refused_at, note: known.note, archived: known.archived };
    Ok(KeyRow { hint: named.fingerprint.hint, facts: known.facts, life, ..unknown })
}

pub(super) async fn keys(session: &mut Session, query: &KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
    if query.whole {
        return moving::page(session, query).await;
    }
    if query.let_through_only {
        return let_through(session, query).await;
    }
    let (sql, asked) = if query.observed_only { observed(query) } else { newest(query) };
    let found = session.query(&sql, &asked.values()).await?;
    let mut rows = Vec::with_capacity(found.len());
    for found in &found {
        rows.push(row(session, parsed(found, 0, "known_keys.key_id")?).await?);
    }
    Ok(rows)
}

/// What was refused under a ban binds in every mode, and what its owners cover by now will not be refused.
async fn let_through(session: &mut Session, query: &KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
    let now = facts::now(session).await?;
    let since = now.before(REFUSED_SINCE);
    let (mut skip, mut rows) = (query.offset, Vec::new());
    for id in audit::let_through(session, since).await? {
        if rows.len() == query.limit as usize {
            break;
        }
        let row = row(session, id).await?;
        let banned = row.facts.ban.as_ref().is_some_and(|ban| ban.in_force(now));
        let refused = match row.facts.binding_at(now) {
            Some(binding) if !banned => audit::strangers(session, id, since, &binding.networks).await?,
            _ => Vec::new(),
        };
        match (refused.is_empty(), skip) {
            (true, _) => {}
            (false, 0) => rows.push(KeyRow { refused, ..row }),
            (false, _) => skip -= 1,
        }
    }
    Ok(rows)
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

/// Every id comes after nothing.
pub(super) fn text(after: Option<KeyId>) -> String {
    after.map(|id| id.to_string()).unwrap_or_default()
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

//! Builds the WHERE clauses of queries, in SQL that every backend accepts.

use super::{AuditQuery, KeyFilter, KeyQuery, Order, StateFilter, Target};
use crate::domain::{KeyId, KeyIdPrefix, Network, Timestamp};

/// Collects the values of a statement, and names what SQL dialects name differently. A method that takes a value
/// returns its placeholder.
pub(super) trait Dialect {
    /// The clock of the store.
    const NOW: &str;
    /// The function that finds the position of a text in another.
    const POSITION: &str;

    fn text(&mut self, value: String) -> String;

    fn integer(&mut self, value: i64) -> String;

    fn moment(&mut self, value: Timestamp) -> String;

    /// Whether `column` is exactly this network.
    fn is_network(&mut self, column: &str, network: Network) -> String;

    /// `select` as one of the two halves of a UNION that is listed in `order`, of which at most `most` rows are needed.
    fn half(&mut self, select: String, order: &str, most: i64) -> String;
}

/// The exclusive end of the texts that begin with `prefix`, for a range that an index can search: `g` sorts after every
/// hex digit.
pub(super) fn end_of(prefix: &KeyIdPrefix) -> String {
    format!("{}g", prefix.as_str())
}

/// The empty text sorts before every id.
pub(super) fn after(id: Option<KeyId>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

/// The keys that `query` selects, in its order.
pub(super) fn keys<D: Dialect>(query: &KeyQuery, values: &mut D) -> String {
    match query.filter {
        KeyFilter::BoundOrBanned { state, network, banned_only } => {
            let filter = filter(query, state, network, banned_only, values);
            bound_or_banned(query, &filter, values)
        }
        KeyFilter::Observed => observed(query, values),
    }
}

/// A key with a binding and a ban is listed only in the half of the later of the two. So each half can be read in the
/// order of its own index.
fn bound_or_banned<D: Dialect>(query: &KeyQuery, filter: &str, values: &mut D) -> String {
    let order = match query.order {
        Order::Newest => "created_at DESC, key_id DESC",
        Order::ById(_) => "key_id",
    };
    let most = i64::from(query.limit) + i64::from(query.offset);
    let halves = [("bindings", "bans", ">"), ("bans", "bindings", ">=")].map(|(table, other, is_newer)| {
        let select = format!(
            "SELECT key_id, created_at FROM {table} AS listed WHERE NOT EXISTS
                 (SELECT 1 FROM {other} AS other
                  WHERE other.key_id = listed.key_id AND other.created_at {is_newer} listed.created_at)
                 {filter}"
        );
        values.half(select, order, most)
    });
    let (limit, offset) = (values.integer(query.limit.into()), values.integer(query.offset.into()));
    format!("{} ORDER BY {order} LIMIT {limit} OFFSET {offset}", halves.join(" UNION ALL "))
}

/// The conditions on a row of `listed`, which is a binding or a ban; each begins with AND.
fn filter<D: Dialect>(
    query: &KeyQuery,
    state: Option<StateFilter>,
    network: Option<Network>,
    banned_only: bool,
    values: &mut D,
) -> String {
    let mut conditions = Vec::new();
    match state {
        Some(StateFilter::In(state)) => conditions.push(format!(
            "EXISTS (SELECT 1 FROM bindings AS held WHERE held.key_id = listed.key_id AND held.state = {})",
            values.text(state.as_str().to_owned())
        )),
        Some(StateFilter::Reserved) => conditions.push(
            "EXISTS (SELECT 1 FROM bindings AS held WHERE held.key_id = listed.key_id AND held.state = 'pinned')
             AND NOT EXISTS (SELECT 1 FROM binding_networks AS owner WHERE owner.key_id = listed.key_id)"
                .to_owned(),
        ),
        None => {}
    }
    if let Some(hint) = &query.hint {
        conditions.push(format!("{}(listed.hint, {}) > 0", D::POSITION, values.text(hint.clone())));
    }
    if banned_only {
        conditions.push(format!(
            "EXISTS (SELECT 1 FROM bans AS force WHERE force.key_id = listed.key_id
                AND (force.until IS NULL OR force.until > {}))",
            D::NOW
        ));
    }
    if let Some(network) = network {
        let is_network = values.is_network("network", network);
        conditions.push(format!("listed.key_id IN (SELECT key_id FROM binding_networks WHERE {is_network})"));
    }
    if let Order::ById(id) = query.order {
        conditions.push(format!("listed.key_id > {}", values.text(after(id))));
    }
    conditions.into_iter().map(|condition| format!(" AND {condition}")).collect()
}

/// Keys that observe mode has seen and that have no owner.
fn observed<D: Dialect>(query: &KeyQuery, values: &mut D) -> String {
    let (id, order) = match query.order {
        Order::Newest => (None, "first"),
        Order::ById(id) => (id, "key_id"),
    };
    let after = values.text(after(id));
    let hinted = match &query.hint {
        Some(hint) => format!("AND {}(hint, {}) > 0", D::POSITION, values.text(hint.clone())),
        None => String::new(),
    };
    let (limit, offset) = (values.integer(query.limit.into()), values.integer(query.offset.into()));
    format!(
        "SELECT key_id, min(id) AS first FROM candidates AS seen
         WHERE key_id > {after} {hinted} AND NOT EXISTS (SELECT 1 FROM bindings WHERE bindings.key_id = seen.key_id)
         GROUP BY key_id ORDER BY {order} LIMIT {limit} OFFSET {offset}"
    )
}

/// Counts: `learned`, `pinned`, `reserved`, `banned`, `provisional`, `observed`.
pub(super) fn counts<D: Dialect>() -> String {
    format!(
        "SELECT count(*) FILTER (WHERE state = 'learned'),
             count(*) FILTER (WHERE state = 'pinned' AND owned),
             count(*) FILTER (WHERE state = 'pinned' AND NOT owned),
             (SELECT count(*) FROM bans WHERE until IS NULL OR until > {}),
             count(*) FILTER (WHERE state = 'provisional'),
             (SELECT count(DISTINCT key_id) FROM candidates AS seen
              WHERE NOT EXISTS (SELECT 1 FROM bindings WHERE bindings.key_id = seen.key_id))
         FROM (SELECT state, state = 'pinned' AND EXISTS
                   (SELECT 1 FROM binding_networks AS owner WHERE owner.key_id = bindings.key_id) AS owned
               FROM bindings) AS counted",
        D::NOW
    )
}

/// The conditions on an audit record, each a comparison that begins with its column. `key` is the id of the key that
/// the query names.
pub(super) fn audit<D: Dialect>(query: &AuditQuery, key: Option<KeyId>, values: &mut D) -> Vec<String> {
    let mut conditions = Vec::new();
    if let Some(kind) = query.kind {
        conditions.push(format!("kind = {}", values.text(kind.as_str().to_owned())));
    }
    if let Some(Target::Id(prefix)) = &query.key {
        conditions.push(format!("key_id >= {}", values.text(prefix.as_str().to_owned())));
        conditions.push(format!("key_id < {}", values.text(end_of(prefix))));
    }
    if let Some(id) = key {
        conditions.push(format!("key_id = {}", values.text(id.to_string())));
    }
    if let Some(since) = query.since {
        conditions.push(format!("last_at >= {}", values.moment(since)));
    }
    if let Some(until) = query.until {
        conditions.push(format!("last_at < {}", values.moment(until)));
    }
    if let Some(record) = query.record {
        conditions.push(format!("id = {}", values.integer(record.0)));
    }
    if let Some(decision) = &query.decision {
        conditions.push(format!("decision_id = {}", values.text(decision.clone())));
    }
    conditions
}

//! The audit: written in the transaction of what it records, read newest first.

use rusqlite::{Connection, ToSql, params};

use super::{
    facts::NOW,
    names::{end_of, id_of},
    rows::{column, count, moment, parsed, parsed_or_null, word},
};
use crate::{
    domain::{
        KeyId, Network, Reason, Timestamp,
        event::{Delta, EventKind, Part, Record},
    },
    store::{
        AuditOrder, AuditQuery, BatchId, ChangeError, RecordId, Refusal, RefusedNetwork, StoreError, Stored, Target,
        rules::{LATER, REFUSED, SPOOLS_KEPT},
        snapshot,
    },
};

pub(super) fn append(conn: &Connection, record: &Record) -> Result<RecordId, StoreError> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO audit (kind, reason, key_id, network, count, first_at, last_at, actor, decision_id, detail, delta)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    let delta = match (record.key_id, &record.delta) {
        (Some(id), Some(delta)) => Some(snapshot::to_json(id, delta)?),
        _ => None,
    };
    insert.execute(params![
        record.kind.as_str(),
        record.reason.map(Reason::as_str),
        record.key_id.map(|id| id.to_string()),
        record.network.map(|network| network.to_string()),
        i64::try_from(record.count).unwrap_or(i64::MAX),
        record.first_at.as_millis(),
        record.last_at.as_millis(),
        record.actor,
        record.decision_id,
        record.detail,
        delta,
    ])?;
    Ok(RecordId(conn.last_insert_rowid()))
}

/// Appends the records, unless the spool's batches are known up to this one.
pub(super) fn deliver(conn: &Connection, batch: BatchId, records: &[Record]) -> Result<u64, StoreError> {
    let number = i64::try_from(batch.number).map_err(|_| StoreError::Corrupt("audit_spools.delivered".to_owned()))?;
    let sql = format!(
        "INSERT INTO audit_spools (spool, delivered, used_at) VALUES (?1, ?2, {NOW})
         ON CONFLICT (spool) DO UPDATE SET delivered = excluded.delivered, used_at = excluded.used_at
         WHERE delivered < excluded.delivered"
    );
    if conn.prepare_cached(&sql)?.execute((batch.spool.to_string(), number))? == 0 {
        return Ok(0);
    }
    records.iter().try_for_each(|record| append(conn, record).map(drop))?;
    Ok(records.len() as u64)
}

/// Deletes old records, and what is remembered of spools that have long been silent.
pub(super) fn prune(conn: &Connection, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let deleted = conn
        .prepare_cached(
            "DELETE FROM audit WHERE id IN (
                 SELECT id FROM audit WHERE last_at < ?1 AND id < (SELECT max(id) FROM audit)
                 ORDER BY last_at, id LIMIT ?2)",
        )?
        .execute((before.as_millis(), limit))?;
    // A folder that comes back after months must not deliver again what it has delivered.
    let silent = format!("DELETE FROM audit_spools WHERE used_at < min(?1, {NOW} - {})", SPOOLS_KEPT.as_millis());
    conn.prepare_cached(&silent)?.execute([before.as_millis()])?;
    Ok(deleted as u64)
}

pub(super) fn list(conn: &Connection, query: &AuditQuery) -> Result<Vec<Stored>, StoreError> {
    let (wanted, mut values) = filter(conn, query)?;
    let order = match query.order {
        // No index is on decisions: the table is read from end to end, and not row by row in the order of another index.
        AuditOrder::Newest if query.decision.is_some() => "ORDER BY +last_at DESC, +id DESC",
        AuditOrder::Newest => "ORDER BY last_at DESC, id DESC",
        AuditOrder::LastStored => "ORDER BY id DESC",
        AuditOrder::Stored { after, upto } => {
            values.extend([after, upto].map(|RecordId(id)| Box::new(id) as Box<dyn ToSql>));
            "AND id > ? AND id <= ? ORDER BY id"
        }
    };
    values.push(Box::new(query.limit));
    let sql = format!(
        "SELECT kind, reason, key_id, network, count, first_at, last_at, actor, decision_id, detail, delta, id
         FROM audit WHERE true{wanted} {order} LIMIT ?"
    );
    conn.prepare_cached(&sql)?.query_and_then(rusqlite::params_from_iter(values), stored)?.collect()
}

/// Conditions and their values. A `+` keeps a column's index out of it: pages by number go on where the last one ended,
/// and an index on anything else would have every page sort all that is left.
fn filter(conn: &Connection, query: &AuditQuery) -> Result<(String, Vec<Box<dyn ToSql>>), StoreError> {
    let plus = if query.order == AuditOrder::Newest { "" } else { "+" };
    let mut wanted = String::new();
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    let mut only = |condition: &str, value: Box<dyn ToSql>| {
        wanted.push_str(&format!(" AND {plus}{condition} ?"));
        values.push(value);
    };
    if let Some(kind) = query.kind {
        only("kind =", Box::new(kind.as_str()));
    }
    match &query.key {
        None => {}
        Some(Target::Id(prefix)) => {
            only("key_id >=", Box::new(prefix.as_str().to_owned()));
            only("key_id <", Box::new(end_of(prefix)));
        }
        Some(Target::Key(key)) => only("key_id =", Box::new(id_of(conn, key)?.to_string())),
    }
    if let Some(since) = query.since {
        only("last_at >=", Box::new(since.as_millis()));
    }
    if let Some(until) = query.until {
        only("last_at <", Box::new(until.as_millis()));
    }
    if let Some(RecordId(id)) = query.record {
        only("id =", Box::new(id));
    }
    if let Some(decision) = &query.decision {
        only("decision_id =", Box::new(decision.clone()));
    }
    Ok((wanted, values))
}

/// What it takes to undo the change of a record, and the key that it changed.
pub(super) fn delta(conn: &Connection, RecordId(id): RecordId) -> Result<(KeyId, Delta), ChangeError> {
    let mut statement = conn.prepare_cached("SELECT key_id, delta FROM audit WHERE id = ?1")?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else { return Err(Refusal::NoRecord(RecordId(id)).into()) };
    let Some(text) = column::<Option<String>>(row, 1, "audit.delta")? else {
        return Err(Refusal::NotUndoable(RecordId(id)).into());
    };
    Ok((parsed(row, 0, "audit.key_id")?, snapshot::from_json(&text)?))
}

/// The changes to the same part of the key after `record`, at most [`LATER`].
pub(super) fn later(conn: &Connection, record: RecordId, key: KeyId, part: &Part) -> Result<Vec<RecordId>, StoreError> {
    let sql = "SELECT id, delta FROM audit WHERE key_id = ?1 AND id > ?2 AND delta IS NOT NULL ORDER BY id";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query((key.to_string(), record.0))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let text: String = column(row, 1, "audit.delta")?;
        if std::mem::discriminant(&snapshot::from_json(&text)?.part) == std::mem::discriminant(part) {
            found.push(RecordId(column(row, 0, "audit.id")?));
        }
        if found.len() == LATER {
            break;
        }
    }
    Ok(found)
}

fn stored(row: &rusqlite::Row<'_>) -> Result<Stored, StoreError> {
    let id = column(row, 11, "audit.id")?;
    let record = record(row).map_err(|fault| fault.of(format_args!("record {id}")))?;
    Ok(Stored { id: RecordId(id), record })
}

fn record(row: &rusqlite::Row<'_>) -> Result<Record, StoreError> {
    let reason = match column::<Option<String>>(row, 1, "audit.reason")? {
        Some(_) => Some(word(row, 1, "audit.reason", Reason::from_word)?),
        None => None,
    };
    Ok(Record {
        kind: word(row, 0, "audit.kind", EventKind::from_word)?,
        reason,
        key_id: parsed_or_null(row, 2, "audit.key_id")?,
        network: parsed_or_null(row, 3, "audit.network")?,
        count: count(row, 4, "audit.count")?,
        first_at: moment(row, 5, "audit.first_at")?,
        last_at: moment(row, 6, "audit.last_at")?,
        actor: column(row, 7, "audit.actor")?,
        decision_id: column(row, 8, "audit.decision_id")?,
        detail: column(row, 9, "audit.detail")?,
        delta: match column::<Option<String>>(row, 10, "audit.delta")? {
            Some(text) => Some(Box::new(snapshot::from_json(&text)?)),
            None => None,
        },
    })
}

/// Who was refused the key since `since`, the busiest first.
pub(super) fn refused(conn: &Connection, id: KeyId, since: Timestamp) -> Result<Vec<RefusedNetwork>, StoreError> {
    refusals(conn, id, since, REFUSED as i64)
}

/// The same, of which there are more: all for a negative `limit`.
pub(super) fn refusals(
    conn: &Connection,
    id: KeyId,
    since: Timestamp,
    limit: i64,
) -> Result<Vec<RefusedNetwork>, StoreError> {
    // total() does not fail where sum() would overflow.
    conn.prepare_cached(
        "SELECT network, CAST(total(count) FILTER (WHERE kind = 'denied') AS INTEGER),
             CAST(total(count) FILTER (WHERE kind = 'would_deny') AS INTEGER), max(last_at) AS latest FROM audit
         WHERE key_id = ?1 AND last_at >= ?2 AND network IS NOT NULL
           AND kind IN ('denied', 'would_deny') AND reason IN ('ip_mismatch', 'not_claimed', 'key_banned')
         GROUP BY network ORDER BY total(count) DESC, latest DESC, network LIMIT ?3",
    )?
    .query_and_then((id.to_string(), since.as_millis(), limit), |row| {
        Ok(RefusedNetwork {
            network: parsed::<Network>(row, 0, "audit.network")?,
            count: count(row, 1, "audit.count")?,
            would_deny: count(row, 2, "audit.count")?,
            last_at: moment(row, 3, "audit.last_at")?,
        })
    })?
    .collect()
}

/// The keys with a binding that only the mode let through since `since`, the busiest first.
pub(super) fn would_deny_keys(conn: &Connection, since: Timestamp) -> Result<Vec<KeyId>, StoreError> {
    conn.prepare_cached(
        "SELECT key_id FROM audit
         WHERE last_at >= ?1 AND network IS NOT NULL AND kind = 'would_deny' AND reason IN ('ip_mismatch', 'not_claimed')
           AND EXISTS (SELECT 1 FROM bindings WHERE bindings.key_id = audit.key_id)
         GROUP BY key_id ORDER BY total(count) DESC, key_id",
    )?
    .query_and_then([since.as_millis()], |row| parsed(row, 0, "audit.key_id"))?
    .collect()
}

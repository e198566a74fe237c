//! The audit. Records are written in the transaction of their change.

use rusqlite::{Connection, params};

use super::{
    keys::id_of,
    rows::{NOW, Parameters, all, execute, first},
};
use crate::{
    domain::{
        KeyId, Reason, Timestamp,
        event::{Delta, Part, Record},
    },
    store::{
        AuditOrder, AuditQuery, BatchId, ChangeError, RecordId, Refusal, RefusedNetwork, StoreError, StoredRecord,
        Target,
        columns::{self, Columns},
        rules::{MAX_DENIED_NETWORKS, MAX_LATER, SPOOL_RETENTION},
        selection::{self, Dialect},
        snapshot,
    },
};

pub(super) fn append(conn: &Connection, record: &Record) -> Result<RecordId, StoreError> {
    let sql =
        "INSERT INTO audit (kind, reason, key_id, network, count, first_at, last_at, actor, decision_id, detail, delta)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    let delta = record.key_id.zip(record.delta.as_ref()).map(|(id, delta)| snapshot::to_json(id, delta)).transpose()?;
    let values = params![
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
    ];
    execute(conn, sql, values)?;
    Ok(RecordId(conn.last_insert_rowid()))
}

/// Appends the records, unless the batch of this spool was delivered already.
pub(super) fn deliver(conn: &Connection, batch: BatchId, records: &[Record]) -> Result<u64, StoreError> {
    let number = i64::try_from(batch.number).map_err(|_| StoreError::Corrupt("audit_spools.delivered".to_owned()))?;
    let sql = format!(
        "INSERT INTO audit_spools (spool, delivered, used_at) VALUES (?1, ?2, {NOW})
         ON CONFLICT (spool) DO UPDATE SET delivered = excluded.delivered, used_at = excluded.used_at
         WHERE delivered < excluded.delivered"
    );
    if execute(conn, &sql, (batch.spool.to_string(), number))? == 0 {
        return Ok(0);
    }
    records.iter().try_for_each(|record| append(conn, record).map(drop))?;
    Ok(records.len() as u64)
}

/// Deletes old records, and the state of spools that have not delivered for long.
pub(super) fn prune(conn: &Connection, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    let sql = "DELETE FROM audit WHERE id IN (
        SELECT id FROM audit WHERE last_at < ?1 AND id < (SELECT max(id) FROM audit) ORDER BY last_at, id LIMIT ?2)";
    let deleted = execute(conn, sql, (before.as_millis(), limit))?;
    // A directory that comes back after months must not deliver again what it has delivered.
    let silent = format!("DELETE FROM audit_spools WHERE used_at < min(?1, {NOW} - {})", SPOOL_RETENTION.as_millis());
    execute(conn, &silent, [before.as_millis()])?;
    Ok(deleted)
}

pub(super) fn list(conn: &Connection, query: &AuditQuery) -> Result<Vec<StoredRecord>, StoreError> {
    let key = match &query.key {
        Some(Target::Key(key)) => Some(id_of(conn, key)?),
        _ => None,
    };
    let mut asked = Parameters::default();
    // A `+` disables the index of a column: pages by number continue where the last one ended, and with an index on
    // another column every page would sort the rest of the table.
    let plus = if query.order == AuditOrder::Newest { "" } else { "+" };
    let conditions = selection::audit(query, key, &mut asked);
    let wanted: String = conditions.iter().map(|condition| format!(" AND {plus}{condition}")).collect();
    let order = match query.order {
        // `decision_id` has no index: a sequential scan is faster than reading every row in the order of another index.
        AuditOrder::Newest if query.decision.is_some() => "ORDER BY +last_at DESC, +id DESC".to_owned(),
        AuditOrder::Newest => "ORDER BY last_at DESC, id DESC".to_owned(),
        AuditOrder::LastStored => "ORDER BY id DESC".to_owned(),
        AuditOrder::Stored { after, upto } => {
            let (after, upto) = (asked.integer(after.0), asked.integer(upto.0));
            format!("AND id > {after} AND id <= {upto} ORDER BY id")
        }
    };
    let limit = asked.integer(query.limit.into());
    let sql = format!(
        "SELECT kind, reason, key_id, network, count, first_at, last_at, actor, decision_id, detail, delta, id
         FROM audit WHERE true{wanted} {order} LIMIT {limit}"
    );
    all(conn, &sql, asked.values(), |row| columns::stored(row))
}

/// Returns the data for undoing the change of a record, and its key.
pub(super) fn delta(conn: &Connection, id: RecordId) -> Result<(KeyId, Delta), ChangeError> {
    let sql = "SELECT key_id, delta FROM audit WHERE id = ?1";
    let found = first(conn, sql, [id.0], |row| {
        let Some(text) = row.text_or_null(1, "audit.delta")? else { return Ok(None) };
        Ok(Some((row.parsed(0, "audit.key_id")?, snapshot::from_json(text)?)))
    })?;
    Ok(found.ok_or(Refusal::NoRecord(id))?.ok_or(Refusal::NotUndoable(id))?)
}

/// Returns the changes to the same part of the key after `record`, at most [`MAX_LATER`].
pub(super) fn later(conn: &Connection, record: RecordId, key: KeyId, part: &Part) -> Result<Vec<RecordId>, StoreError> {
    let sql = "SELECT id, delta FROM audit WHERE key_id = ?1 AND id > ?2 AND delta IS NOT NULL ORDER BY id";
    let mut statement = conn.prepare_cached(sql)?;
    let changes = statement.query_and_then((key.to_string(), record.0), |row| columns::changed(row, part))?;
    changes.filter_map(Result::transpose).take(MAX_LATER).collect()
}

/// Returns the networks that were denied the key since `since`, the most frequent first.
pub(super) fn refused(conn: &Connection, id: KeyId, since: Timestamp) -> Result<Vec<RefusedNetwork>, StoreError> {
    refusals(conn, id, since, MAX_DENIED_NETWORKS as i64)
}

/// As [`refused`], with another limit; a negative `limit` means all.
pub(super) fn refusals(
    conn: &Connection,
    id: KeyId,
    since: Timestamp,
    limit: i64,
) -> Result<Vec<RefusedNetwork>, StoreError> {
    // `total()` does not fail where `sum()` would overflow.
    let sql = "SELECT network, CAST(total(count) FILTER (WHERE kind = 'denied') AS INTEGER),
             CAST(total(count) FILTER (WHERE kind = 'would_deny') AS INTEGER), max(last_at) AS latest FROM audit
         WHERE key_id = ?1 AND last_at >= ?2 AND network IS NOT NULL
           AND kind IN ('denied', 'would_deny') AND reason IN ('ip_mismatch', 'not_claimed', 'key_banned')
         GROUP BY network ORDER BY total(count) DESC, latest DESC, network LIMIT ?3";
    all(conn, sql, (id.to_string(), since.as_millis(), limit), |row| columns::refused(row))
}

/// Returns the keys with a binding that were allowed only because of the mode since `since`, the most frequent first.
pub(super) fn would_deny_keys(conn: &Connection, since: Timestamp) -> Result<Vec<KeyId>, StoreError> {
    let sql = "SELECT key_id FROM audit
         WHERE last_at >= ?1 AND network IS NOT NULL AND kind = 'would_deny' AND reason IN ('ip_mismatch', 'not_claimed')
           AND EXISTS (SELECT 1 FROM bindings WHERE bindings.key_id = audit.key_id)
         GROUP BY key_id ORDER BY total(count) DESC, key_id";
    all(conn, sql, [since.as_millis()], |row| columns::key_id(row))
}

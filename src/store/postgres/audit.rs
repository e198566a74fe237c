//! The audit. Records are written in the transaction of their change.

use std::{collections::HashMap, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_postgres::Row;

use super::{
    keys::{Lock, id_of},
    rows::{Parameters, Step, ids, step, time},
    session::Session,
};
use crate::{
    domain::{
        KeyId, Reason, Timestamp,
        event::{Delta, Part, Record},
    },
    store::{
        AuditOrder, AuditQuery, BatchId, ChangeError, RecordId, Refusal, RefusedNetwork, StoreError, StoredRecord,
        Target,
        columns::{self, Columns, unreadable},
        rules::{MAX_DENIED_NETWORKS, MAX_LATER},
        selection::{self, Dialect},
        snapshot,
    },
};

/// Appends a record; its answer is read by [`number`].
pub(super) fn append(record: &Record) -> Result<Step, StoreError> {
    let delta = record.key_id.zip(record.delta.as_ref()).map(|(id, delta)| snapshot::to_json(id, delta)).transpose()?;
    Ok(step!(
        "INSERT INTO audit (kind, reason, key_id, network, count, first_at, last_at, actor, decision_id, detail, delta)
         VALUES ($1, $2, $3, $4::text::cidr, $5, $6, $7, $8, $9, $10, $11) RETURNING id",
        record.kind.as_str(),
        record.reason.map(Reason::as_str),
        record.key_id.map(|id| id.to_string()),
        record.network.map(|network| network.to_string()),
        i64::try_from(record.count).unwrap_or(i64::MAX),
        time(record.first_at),
        time(record.last_at),
        record.actor.clone(),
        record.decision_id.clone(),
        record.detail.clone(),
        delta,
    ))
}

/// Appends a record that the caller rolls back. Takes no number: it would be missing from the audit.
pub(super) fn try_append(now: Timestamp) -> Step {
    let sql = "INSERT INTO audit (id, kind, count, first_at, last_at) VALUES (0, 'write_check', 1, $1, $1)";
    step!(sql, time(now))
}

/// Reads the answer to [`append`].
pub(super) fn number(answer: Option<&Vec<Row>>) -> Result<RecordId, StoreError> {
    let row = answer.and_then(|rows| rows.first()).ok_or_else(|| unreadable("audit.id", "no answer"))?;
    row.integer(0, "audit.id").map(RecordId)
}

/// Appends the records, unless the batch of this spool was delivered already; returns how many.
pub(super) async fn deliver(session: &mut Session, batch: BatchId, records: &[Record]) -> Result<u64, StoreError> {
    let number = i64::try_from(batch.number).map_err(|_| StoreError::Corrupt("audit_spools.delivered".to_owned()))?;
    let sql = "INSERT INTO audit_spools (spool, delivered, used_at) VALUES ($1, $2, clock_timestamp())
         ON CONFLICT (spool) DO UPDATE SET delivered = excluded.delivered, used_at = excluded.used_at
         WHERE audit_spools.delivered < excluded.delivered RETURNING delivered";
    let asked = vec![Lock::Writers.share(), step!(sql, batch.spool.to_string(), number)];
    let answers = session.begin(asked).await?;
    let is_new = answers.last().is_some_and(|rows| !rows.is_empty());
    let steps = records.iter().filter(|_| is_new).map(append).collect::<Result<Vec<_>, _>>()?;
    let appended = steps.len() as u64;
    session.commit(steps).await?;
    Ok(appended)
}

/// Returns the data for undoing the change of a record, and its key.
pub(super) async fn delta(session: &mut Session, id: RecordId) -> Result<(KeyId, Delta), ChangeError> {
    let found = session.row(step!("SELECT key_id, delta FROM audit WHERE id = $1", id.0)).await?;
    let row = found.ok_or(Refusal::NoRecord(id))?;
    let text = row.text_or_null(1, "audit.delta")?.ok_or(Refusal::NotUndoable(id))?;
    Ok((row.parsed(0, "audit.key_id")?, snapshot::from_json(text)?))
}

/// Returns the changes to the same part of the key after `record`, at most [`MAX_LATER`].
pub(super) async fn later(
    session: &mut Session,
    record: RecordId,
    key: KeyId,
    part: &Part,
) -> Result<Vec<RecordId>, StoreError> {
    let sql = "SELECT id, delta FROM audit WHERE key_id = $1 AND id > $2 AND delta IS NOT NULL ORDER BY id";
    let rows = session.rows(step!(sql, key.to_string(), record.0)).await?;
    rows.iter().filter_map(|row| columns::changed(row, part).transpose()).take(MAX_LATER).collect()
}

pub(super) async fn list(session: &mut Session, query: &AuditQuery) -> Result<Vec<StoredRecord>, StoreError> {
    let key = match &query.key {
        Some(Target::Key(key)) => Some(id_of(session, key).await?),
        _ => None,
    };
    let mut asked = Parameters::default();
    let conditions = selection::audit(query, key, &mut asked);
    let wanted: String = conditions.iter().map(|condition| format!(" AND {condition}")).collect();
    let order = match query.order {
        AuditOrder::Newest => "ORDER BY last_at DESC, id DESC".to_owned(),
        AuditOrder::LastStored => format!("AND id <= {} ORDER BY id DESC", asked.integer(settled(session).await?)),
        AuditOrder::Stored { after, upto } => {
            let (after, upto) = (asked.integer(after.0), asked.integer(upto.0));
            format!("AND id > {after} AND id <= {upto} ORDER BY id")
        }
    };
    let limit = asked.integer(query.limit.into());
    let sql = format!(
        "SELECT kind, reason, key_id, network::text, count, first_at, last_at, actor, decision_id, detail, delta, id
         FROM audit WHERE true{wanted} {order} LIMIT {limit}"
    );
    session.query(&sql, &asked.values()).await?.iter().map(columns::stored).collect()
}

/// Returns a number up to which all records are visible. Numbers are assigned before their records are committed, so a
/// reader that follows the numbers could miss a record that is committed late.
///
/// Every transaction that assigns numbers shares [`Lock::Writers`]; this waits for those that hold it now. It does not
/// take the lock itself: later writers would queue behind it, and so every first use would wait for the longest job.
async fn settled(session: &mut Session) -> Result<i64, StoreError> {
    let end = Instant::now() + SETTLE_TIMEOUT;
    // A sequence that has not assigned a number yet returns its first one, which is not in use.
    let last = session.row(step!("SELECT last_value FROM audit_id")).await?;
    let last = last.map_or(Ok(0), |row| row.integer(0, "audit_id"))?;
    let mut writing: Option<Vec<String>> = None;
    loop {
        let sql = "SELECT virtualtransaction FROM pg_locks
            WHERE locktype = 'advisory' AND classid = $1::int::oid AND objid = $2::int::oid AND objsubid = 2 AND granted
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND ($3::text[] IS NULL OR virtualtransaction = ANY ($3))";
        let (ours, writers) = Lock::Writers.numbers();
        let rows = session.rows(step!(sql, ours, writers, writing)).await?;
        if rows.is_empty() {
            return Ok(last);
        }
        if Instant::now() >= end {
            return Err(StoreError::Unavailable(
                "the transactions that write to the audit did not end in time".to_owned(),
            ));
        }
        let still = rows.iter().map(|row| Ok(row.text(0, "pg_locks.virtualtransaction")?.to_owned()));
        let still = still.collect::<Result<_, StoreError>>()?;
        writing = Some(still);
        sleep(SETTLE_POLL).await;
    }
}

/// Longer than any of these transactions takes.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);
const SETTLE_POLL: Duration = Duration::from_millis(10);

/// Returns the networks that were denied the key since `since`, the most frequent first.
pub(super) async fn refused(
    session: &mut Session,
    id: KeyId,
    since: Timestamp,
) -> Result<Vec<RefusedNetwork>, StoreError> {
    Ok(refusals(session, &[id], since, Some(MAX_DENIED_NETWORKS as i64)).await?.remove(&id).unwrap_or_default())
}

/// Returns the networks that were denied each of these keys since `since`, the most frequent first; at most `most` in
/// total.
pub(super) async fn refusals(
    session: &mut Session,
    ids: &[KeyId],
    since: Timestamp,
    most: Option<i64>,
) -> Result<HashMap<KeyId, Vec<RefusedNetwork>>, StoreError> {
    let sql = "
        SELECT network::text, least(coalesce(sum(count) FILTER (WHERE kind = 'denied'), 0), 9223372036854775807)::bigint,
            least(coalesce(sum(count) FILTER (WHERE kind = 'would_deny'), 0), 9223372036854775807)::bigint, max(last_at) AS latest,
            key_id
        FROM audit
        WHERE key_id = ANY ($1) AND last_at >= $2 AND network IS NOT NULL
            AND kind IN ('denied', 'would_deny') AND reason IN ('ip_mismatch', 'not_claimed', 'key_banned')
        GROUP BY key_id, network ORDER BY sum(count) DESC, latest DESC, network::text COLLATE \"C\" LIMIT $3";
    let asked: Vec<_> = ids.iter().map(ToString::to_string).collect();
    let mut refused: HashMap<KeyId, Vec<RefusedNetwork>> = HashMap::new();
    for row in session.rows(step!(sql, asked, time(since), most)).await? {
        refused.entry(row.parsed(4, "audit.key_id")?).or_default().push(columns::refused(&row)?);
    }
    Ok(refused)
}

/// Returns the keys with a binding that were allowed only because of the mode since `since`, the most frequent first.
pub(super) async fn would_deny_keys(session: &mut Session, since: Timestamp) -> Result<Vec<KeyId>, StoreError> {
    let sql = "
        SELECT key_id FROM audit
        WHERE last_at >= $1 AND network IS NOT NULL AND kind = 'would_deny' AND reason IN ('ip_mismatch', 'not_claimed')
            AND EXISTS (SELECT 1 FROM bindings WHERE bindings.key_id = audit.key_id)
        GROUP BY key_id ORDER BY sum(count) DESC, key_id";
    ids(&session.rows(step!(sql, time(since))).await?)
}

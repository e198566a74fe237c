//! The audit: written in the transaction of what it records.

use std::{collections::HashMap, time::Duration};

use tokio::time::{Instant, sleep};
use tokio_postgres::Row;

use super::{
    facts::ids,
    keys::{Lock, end_of, id_of},
    rows::{Asked, Step, column, count, moment, parsed, parsed_or_null, step, time, word},
    session::Session,
};
use crate::{
    domain::{
        KeyId, Reason, Timestamp,
        event::{Delta, EventKind, Part, Record},
    },
    store::{
        AuditOrder, AuditQuery, BatchId, ChangeError, RecordId, Refusal, RefusedNetwork, StoreError, Stored, Target,
        rules::{LATER, REFUSED},
        snapshot,
    },
};

/// Answers the [`number`].
pub(super) fn append(record: &Record) -> Result<Step, StoreError> {
    let delta = match (record.key_id, &record.delta) {
        (Some(id), Some(delta)) => Some(snapshot::to_json(id, delta)?),
        _ => None,
    };
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

/// The answer to [`append`].
pub(super) fn number(answer: Option<&Vec<Row>>) -> Result<RecordId, StoreError> {
    match answer.and_then(|rows| rows.first()) {
        Some(row) => Ok(RecordId(column(row, 0, "audit.id")?)),
        None => Err(StoreError::Corrupt("audit.id: no answer".to_owned())),
    }
}

/// Appends the records, unless the spool's batches are known up to this one; answers how many.
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

/// What it takes to undo the change of a record, and the key that it changed.
pub(super) async fn delta(session: &mut Session, id: RecordId) -> Result<(KeyId, Delta), ChangeError> {
    let found = session.row(step!("SELECT key_id, delta FROM audit WHERE id = $1", id.0)).await?;
    let row = found.ok_or(Refusal::NoRecord(id))?;
    let text: Option<&str> = column(&row, 1, "audit.delta")?;
    let text = text.ok_or(Refusal::NotUndoable(id))?;
    Ok((parsed(&row, 0, "audit.key_id")?, snapshot::from_json(text)?))
}

/// The changes to the same part of the key after `record`, at most [`LATER`].
pub(super) async fn later(
    session: &mut Session,
    record: RecordId,
    key: KeyId,
    part: &Part,
) -> Result<Vec<RecordId>, StoreError> {
    let sql = "SELECT id, delta FROM audit WHERE key_id = $1 AND id > $2 AND delta IS NOT NULL ORDER BY id";
    let mut found = Vec::new();
    for row in session.rows(step!(sql, key.to_string(), record.0)).await? {
        let text: &str = column(&row, 1, "audit.delta")?;
        if std::mem::discriminant(&snapshot::from_json(text)?.part) == std::mem::discriminant(part) {
            found.push(RecordId(column(&row, 0, "audit.id")?));
        }
        if found.len() == LATER {
            break;
        }
    }
    Ok(found)
}

const COLUMNS: &str =
    "kind, reason, key_id, network::text, count, first_at, last_at, actor, decision_id, detail, delta, id";

pub(super) async fn list(session: &mut Session, query: &AuditQuery) -> Result<Vec<Stored>, StoreError> {
    let mut asked = Asked::default();
    let wanted = filter(session, query, &mut asked).await?;
    let order = match query.order {
        AuditOrder::Newest => "ORDER BY last_at DESC, id DESC".to_owned(),
        AuditOrder::LastStored => format!("AND id <= {} ORDER BY id DESC", asked.with(settled(session).await?)),
        AuditOrder::Stored { after, upto } => {
            let (after, upto) = (asked.with(after.0), asked.with(upto.0));
            format!("AND id > {after} AND id <= {upto} ORDER BY id")
        }
    };
    let limit = asked.with(i64::from(query.limit));
    let sql = format!("SELECT {COLUMNS} FROM audit WHERE true{wanted} {order} LIMIT {limit}");
    session.query(&sql, &asked.values()).await?.iter().map(stored).collect()
}

/// A number up to which no record is still to come: numbers are given before their records are committed, and who
/// follows them would pass over one that comes late.
///
/// Whoever has such a number shares [`Lock::Writers`]; those who do now are waited for. Not by taking the lock: whoever
/// came after would wait as well, and every first use for the longest of the chores.
async fn settled(session: &mut Session) -> Result<i64, StoreError> {
    let end = Instant::now() + SETTLED;
    // A sequence that gave no number yet says the first; nobody has it.
    let last = session.row(step!("SELECT last_value FROM audit_id")).await?;
    let last = last.map_or(Ok(0), |row| column(&row, 0, "audit_id"))?;
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
            return Err(StoreError::Unavailable("those who write to the audit do not come to an end".to_owned()));
        }
        let still = rows.iter().map(|row| column(row, 0, "pg_locks.virtualtransaction")).collect::<Result<_, _>>()?;
        writing = Some(still);
        sleep(SETTLING).await;
    }
}

/// Longer than any of them takes.
const SETTLED: Duration = Duration::from_secs(30);
const SETTLING: Duration = Duration::from_millis(10);

/// Conditions; their values go to `asked`.
async fn filter(session: &mut Session, query: &AuditQuery, asked: &mut Asked) -> Result<String, StoreError> {
    let mut wanted = String::new();
    let mut only = |condition: &str, place: String| wanted.push_str(&format!(" AND {condition} {place}"));
    if let Some(kind) = query.kind {
        only("kind =", asked.with(kind.as_str()));
    }
    match &query.key {
        None => {}
        Some(Target::Id(prefix)) => {
            only("key_id >=", asked.with(prefix.as_str().to_owned()));
            only("key_id <", asked.with(end_of(prefix)));
        }
        Some(Target::Key(key)) => only("key_id =", asked.with(id_of(session, key).await?.to_string())),
    }
    if let Some(since) = query.since {
        only("last_at >=", asked.with(time(since)));
    }
    if let Some(until) = query.until {
        only("last_at <", asked.with(time(until)));
    }
    if let Some(RecordId(id)) = query.record {
        only("id =", asked.with(id));
    }
    if let Some(decision) = &query.decision {
        only("decision_id =", asked.with(decision.clone()));
    }
    Ok(wanted)
}

fn stored(row: &Row) -> Result<Stored, StoreError> {
    let id = column(row, 11, "audit.id")?;
    let record = record(row).map_err(|fault| fault.of(format_args!("record {id}")))?;
    Ok(Stored { id: RecordId(id), record })
}

fn record(row: &Row) -> Result<Record, StoreError> {
    let reason = match column::<Option<&str>>(row, 1, "audit.reason")? {
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
        delta: match column::<Option<&str>>(row, 10, "audit.delta")? {
            Some(text) => Some(Box::new(snapshot::from_json(text)?)),
            None => None,
        },
    })
}

/// Who was refused the key since `since`, the busiest first.
pub(super) async fn refused(
    session: &mut Session,
    id: KeyId,
    since: Timestamp,
) -> Result<Vec<RefusedNetwork>, StoreError> {
    Ok(refusals(session, &[id], since, Some(REFUSED as i64)).await?.remove(&id).unwrap_or_default())
}

/// Who was refused each of these keys since `since`, the busiest first; at most `most` of all of them.
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
        refused.entry(parsed(&row, 4, "audit.key_id")?).or_default().push(RefusedNetwork {
            network: parsed(&row, 0, "audit.network")?,
            count: count(&row, 1, "audit.count")?,
            would_deny: count(&row, 2, "audit.count")?,
            last_at: moment(&row, 3, "audit.last_at")?,
        });
    }
    Ok(refused)
}

/// The keys with a binding that only the mode let through since `since`, the busiest first.
pub(super) async fn would_deny_keys(session: &mut Session, since: Timestamp) -> Result<Vec<KeyId>, StoreError> {
    let sql = "
        SELECT key_id FROM audit
        WHERE last_at >= $1 AND network IS NOT NULL AND kind = 'would_deny' AND reason IN ('ip_mismatch', 'not_claimed')
            AND EXISTS (SELECT 1 FROM bindings WHERE bindings.key_id = audit.key_id)
        GROUP BY key_id ORDER BY sum(count) DESC, key_id";
    ids(&session.rows(step!(sql, time(since))).await?)
}

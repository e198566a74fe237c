//! The daily partitions of the audit: created ahead, dropped as a whole when they are expired.

use tracing::debug;

use super::{
    keys::Lock,
    rows::{step, time},
    session::Session,
};
use crate::{
    domain::Timestamp,
    store::{StoreError, columns::Columns, rules::SPOOL_RETENTION},
};

/// The number of days that are created ahead: the audit keeps its partitions for a week without any job.
const AHEAD: i32 = 7;

/// The timeout for the lock on the whole audit, in milliseconds. It blocks other writers while it waits.
const BUSY: &str = "50";

/// Creates the partitions of today and the days ahead. A day for which `audit_rest` already holds records, from a clock
/// that was ahead, stays in `audit_rest`. If the audit is too busy, the remaining days are left to the next run.
pub(super) async fn make(session: &mut Session) -> Result<(), StoreError> {
    // One DO statement: names and bounds cannot be parameters of DDL.
    let sql = "
        DO $$
        DECLARE
            day date;
            first date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
        BEGIN
            PERFORM pg_advisory_xact_lock(OURS, RETENTION);
            -- CREATE … PARTITION OF locks the whole audit, and other statements queue behind a waiting lock.
            PERFORM set_config('lock_timeout', 'BUSY', true);
            FOR day IN SELECT first + days FROM generate_series(0, AHEAD) AS days LOOP
                CONTINUE WHEN to_regclass('audit_' || to_char(day, 'YYYYMMDD')) IS NOT NULL;
                BEGIN
                    EXECUTE format('CREATE TABLE %I PARTITION OF audit FOR VALUES FROM (%L) TO (%L)',
                        'audit_' || to_char(day, 'YYYYMMDD'),
                        day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
                EXCEPTION
                    WHEN check_violation THEN NULL;
                    WHEN lock_not_available THEN EXIT;
                END;
            END LOOP;
        END $$";
    let (ours, retention) = Lock::Retention.numbers();
    let sql = sql
        .replace("OURS", &ours.to_string())
        .replace("RETENTION", &retention.to_string())
        .replace("AHEAD", &AHEAD.to_string())
        .replace("BUSY", BUSY);
    session.script(&sql).await
}

/// Drops the days that end before `before`, then deletes at most `limit` older records from the rest of the audit.
/// Returns the number of deleted records; none while another replica does it.
pub(super) async fn prune(session: &mut Session, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
    make(session).await?;
    let mut dropped = 0;
    for day in over(session, before).await? {
        match drop_day(session, &day).await {
            Ok(records) => dropped += records,
            // The audit is busy; the other days can still be dropped.
            Err(cause) => {
                debug!(%day, %cause, "cannot drop a day of the audit; the next run tries again");
                if !session.roll_back().await {
                    return Err(cause);
                }
            }
        }
    }
    session.begin(Vec::new()).await?;
    if !Lock::Retention.try_take(session).await? {
        return Ok(dropped);
    }
    let deleted = session
        .rows(step!(
            "WITH old AS (SELECT tableoid AS part, ctid AS place FROM audit
                 WHERE last_at < $1 AND id < (SELECT max(id) FROM audit) ORDER BY last_at, id LIMIT $2)
             DELETE FROM audit USING old WHERE audit.tableoid = old.part AND audit.ctid = old.place
             RETURNING audit.id",
            time(before),
            i64::from(limit)
        ))
        .await?;
    // A directory that comes back after months must not deliver again what it has delivered.
    session
        .send(vec![step!(
            "DELETE FROM audit_spools WHERE used_at < least($1, clock_timestamp() - make_interval(secs => $2))",
            time(before),
            SPOOL_RETENTION.as_secs() as f64
        )])
        .await?;
    Ok(dropped + deleted.len() as u64)
}

/// Returns the partitions of days that end before `before`, oldest first.
async fn over(session: &mut Session, before: Timestamp) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT part.relname FROM pg_inherits JOIN pg_class AS part ON part.oid = inhrelid
        WHERE inhparent = 'audit'::regclass AND part.relname ~ '^audit_[0-9]{8}$'
            AND (to_date(right(part.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' <= $1
        ORDER BY part.relname";
    session
        .rows(step!(sql, time(before)))
        .await?
        .iter()
        .map(|row| Ok(row.text(0, "pg_class.relname")?.to_owned()))
        .collect()
}

/// Uses a transaction of its own, because it waits for all writers to the audit and they wait for it. The timeout is
/// short, because the next run tries again.
async fn drop_day(session: &mut Session, day: &str) -> Result<u64, StoreError> {
    session.begin(vec![Lock::Retention.take()]).await?;
    if session.row(step!("SELECT 1 WHERE to_regclass($1) IS NOT NULL", day.to_owned())).await?.is_none() {
        session.commit(Vec::new()).await?;
        return Ok(0);
    }
    // An estimate from the statistics: counting would take longer than writers can wait.
    let known =
        step!("SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = $1::text::regclass", day.to_owned());
    let counted = session.row(known).await?.map_or(Ok(0), |row| row.count(0, "pg_class.reltuples"))?;
    session.script(&format!("SET LOCAL lock_timeout = {BUSY}; DROP TABLE {day}")).await?;
    session.commit(Vec::new()).await?;
    Ok(counted)
}

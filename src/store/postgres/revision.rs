//! Revisions and the change log.

use tokio_postgres::Row;

use super::{
    rows::{Step, column, step, time},
    session::Session,
};
use crate::{
    domain::{KeyDigest, PepperId, Timestamp},
    store::{
        Changes, HistoryId, Revision, StoreError,
        columns::{Columns, no_active_pepper, no_revision},
        rules::{LOG_RETENTION, MAX_CHANGES, window},
    },
};

/// The channel that is notified of every commit that takes a revision.
pub(super) const CHANNEL: &str = "sentinel";

/// Takes one revision for each digest, logs the changes, prunes the log, and notifies listeners at the commit. Must
/// come last in a transaction, because every other change waits from its first statement on. The first of the steps
/// answers the [`revision`].
pub(super) fn advance(digests: impl IntoIterator<Item = KeyDigest>, now: Timestamp) -> Vec<Step> {
    let digests: Vec<_> = digests.into_iter().map(|digest| digest.as_bytes().to_vec()).collect();
    vec![
        take_revisions(digests.len() as i64),
        step!(
            "INSERT INTO changes (revision, digest, at)
             SELECT revision.value - cardinality($1::bytea[]) + place, digest, $2
             FROM revision, unnest($1::bytea[]) WITH ORDINALITY AS changed (digest, place)",
            digests,
            time(now)
        ),
        // Deletes only what is older than everything kept, so that the log has no gaps even if a clock was set back.
        step!(
            "UPDATE revision SET floor = greatest(floor,
                 (SELECT min(changes.revision) - 1 FROM changes WHERE at >= $1 AND changes.revision > revision.floor))",
            time(now.before(LOG_RETENTION))
        ),
        // A bounded number for each change: deleting the log of thousands of archived keys at once would block other
        // transactions.
        step!(
            "DELETE FROM changes WHERE changes.revision IN
                 (SELECT old.revision FROM changes AS old WHERE old.revision <= (SELECT floor FROM revision)
                  ORDER BY old.revision LIMIT $1)",
            PRUNED_AT_ONCE
        ),
        notify(),
    ]
}

/// More than one archive transaction logs, so that the log does not grow indefinitely.
const PRUNED_AT_ONCE: i64 = 1000;

/// Takes a revision without a changed key: no cached fact is wrong, but every replica must poll.
pub(super) fn next() -> Vec<Step> {
    vec![take_revisions(1), notify()]
}

fn take_revisions(count: i64) -> Step {
    step!("UPDATE revision SET value = value + $1 RETURNING value", count)
}

fn notify() -> Step {
    step!("SELECT pg_notify($1, (SELECT value::text FROM revision))", CHANNEL)
}

/// Reads the answer to the first step of [`advance`] or [`next`].
pub(super) fn revision(answer: Option<&Vec<Row>>) -> Result<Revision, StoreError> {
    let row = answer.and_then(|rows| rows.first()).ok_or_else(no_revision)?;
    row.integer(0, "revision.value").map(Revision)
}

/// One statement, so one snapshot. Newest first, because the newest are kept if there are too many. A caller that is
/// ahead of the store has seen a state that a restored backup does not have.
///
/// The id of the history consists of the identity of the server, its timeline, which changes with every promotion and
/// point-in-time recovery, and the OID of a table, which changes when a dump is restored.
const CHANGES: &str = "
    SELECT value, first, (SELECT id FROM peppers WHERE active), clock_timestamp(),
        (SELECT system_identifier FROM pg_control_system()),
        ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int,
        'revision'::regclass::oid,
        change.revision, change.digest,
        (SELECT array_agg(id) FROM peppers WHERE NOT active AND retired_at IS NULL)
    FROM (SELECT value, CASE WHEN $1 BETWEEN floor AND value THEN $1 ELSE floor END AS first FROM revision) AS log
        LEFT JOIN LATERAL
            (SELECT revision, digest FROM changes WHERE changes.revision > log.first
             ORDER BY changes.revision DESC LIMIT $2) AS change ON true
    ORDER BY change.revision DESC";

/// Returns the changes after a revision.
pub(super) async fn changes_after(session: &mut Session, applied: Revision) -> Result<Changes, StoreError> {
    let rows = session.rows(step!(CHANGES, applied.0, MAX_CHANGES as i64 + 1)).await?;
    let state = rows.first().ok_or_else(no_revision)?;
    let first = Revision(state.integer(1, "revision.floor")?);
    let mut newest_first = Vec::new();
    for row in &rows {
        if let Some(revision) = row.integer_or_null(7, "changes.revision")? {
            newest_first.push((Revision(revision), row.digest(8, "changes.digest")?));
        }
    }
    let (changed, complete_from) = window(newest_first, first);
    let others: Option<Vec<String>> = column(state, 9, "peppers.id")?;
    Ok(Changes {
        now: state.moment(3, "clock_timestamp")?,
        revision: Revision(state.integer(0, "revision.value")?),
        changed,
        complete_from,
        history: history(state)?,
        active_pepper: state.pepper_id_or_null(2, "peppers.id")?.ok_or_else(no_active_pepper)?,
        other_peppers: in_use(session, others.unwrap_or_default()).await?,
    })
}

/// Returns those of `peppers` that keys are under. A separate statement, and none between rotations: a lock on a table
/// of keys must not block the poll.
async fn in_use(session: &mut Session, peppers: Vec<String>) -> Result<Vec<PepperId>, StoreError> {
    if peppers.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT name FROM unnest($1::text[]) AS asked (name)
        WHERE EXISTS (SELECT FROM bindings WHERE pepper = name) OR EXISTS (SELECT FROM bans WHERE pepper = name)
            OR EXISTS (SELECT FROM candidates WHERE pepper = name) OR EXISTS (SELECT FROM archive WHERE pepper = name)";
    let rows = session.rows(step!(sql, peppers)).await?;
    rows.iter().map(|row| row.pepper_id(0, "peppers.id")).collect()
}

fn history(row: &Row) -> Result<HistoryId, StoreError> {
    let system = row.integer(4, "pg_control_system")?;
    let timeline: i32 = column(row, 5, "pg_walfile_name")?;
    let table: u32 = column(row, 6, "revision")?;
    let [system, timeline, table] = [system as u64, timeline as u32 as u64, table.into()].map(u128::from);
    Ok(HistoryId(system << 64 | timeline << 32 | table))
}

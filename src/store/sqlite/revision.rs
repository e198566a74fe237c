//! Revisions and the change log.

use rusqlite::Connection;

use super::{
    facts,
    rows::{all, execute, first},
};
use crate::{
    domain::{KeyDigest, Timestamp},
    store::{
        Changes, HistoryId, Revision, StoreError,
        columns::{Columns, no_revision, unreadable},
        rules::{LOG_RETENTION, MAX_CHANGES, window},
    },
};

/// Takes the next revision, logs the change, and prunes the log.
pub(super) fn advance(conn: &Connection, key: &KeyDigest, now: Timestamp) -> Result<Revision, StoreError> {
    let revision = next(conn)?;
    let log = "INSERT INTO changes (revision, digest, at) VALUES (?1, ?2, ?3)";
    execute(conn, log, (revision.0, key.as_bytes(), now.as_millis()))?;
    // Deletes only what is older than everything kept, so that the log has no gaps even if a clock was set back.
    let floor = "UPDATE revision SET floor =
         max(floor, (SELECT min(revision) - 1 FROM changes WHERE at >= ?1 AND revision > revision.floor))";
    execute(conn, floor, [now.before(LOG_RETENTION).as_millis()])?;
    // A few for each new change: deleting the log of thousands of archived keys at once would block a claim.
    let forget = "DELETE FROM changes WHERE revision IN
         (SELECT revision FROM changes WHERE revision <= (SELECT floor FROM revision) ORDER BY revision LIMIT 100)";
    execute(conn, forget, [])?;
    Ok(revision)
}

/// Takes a revision without a changed key: no cached fact is wrong, but every replica must poll.
pub(super) fn next(conn: &Connection) -> Result<Revision, StoreError> {
    let sql = "UPDATE revision SET value = value + 1 RETURNING value";
    let revision = first(conn, sql, [], |row| row.integer(0, "revision.value"))?;
    revision.map(Revision).ok_or_else(no_revision)
}

/// Returns the changes after a revision.
pub(super) fn changes_after(conn: &Connection, applied: Revision) -> Result<Changes, StoreError> {
    let (revision, floor) = facts::revision(conn)?;
    // A caller that is ahead of the store has seen a state that a restored backup does not have.
    let in_log = (floor..=revision).contains(&applied);
    let first = if in_log { applied } else { floor };
    let sql = "SELECT revision, digest FROM changes WHERE revision > ?1 ORDER BY revision DESC LIMIT ?2";
    let newest_first = all(conn, sql, (first.0, MAX_CHANGES as i64 + 1), |row| {
        Ok((Revision(row.integer(0, "changes.revision")?), row.digest(1, "changes.digest")?))
    })?;
    let (changed, complete_from) = window(newest_first, first);
    Ok(Changes {
        now: facts::now(conn)?,
        revision,
        changed,
        complete_from,
        history: history(conn)?,
        active_pepper: facts::active_pepper(conn)?,
        other_peppers: facts::other_peppers(conn)?,
    })
}

/// The schema cookie of SQLite. SQLite's backup API, which `.restore` uses, increments the cookie of the database that
/// it overwrites, and this process changes the schema only before its first poll. So each restore under a running
/// process begins another history, even if the restored store has the same revision. An id in a table could not show
/// that: the backup would hold the same one.
///
/// Unique only within one file, which is enough: Redis is not used with SQLite.
fn history(conn: &Connection) -> Result<HistoryId, StoreError> {
    let cookie = first(conn, "PRAGMA schema_version", [], |row| row.integer(0, "schema_version"))?;
    cookie.map(|cookie| HistoryId(u128::from(cookie as u64))).ok_or_else(|| unreadable("schema_version", "no answer"))
}

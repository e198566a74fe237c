//! The number that every change takes, and the log of what was changed.

use rusqlite::Connection;

use super::{
    facts,
    rows::{all, execute, first},
};
use crate::{
    domain::{KeyDigest, Timestamp},
    store::{
        Changes, Revision, StoreError, StoreLife,
        columns::{Columns, no_revision},
        rules::{LOG_RETENTION, MAX_CHANGES, window},
    },
};

/// Takes the next revision, logs the change, and forgets what every cache has long seen.
pub(super) fn advance(conn: &Connection, key: &KeyDigest, now: Timestamp) -> Result<Revision, StoreError> {
    let revision = next(conn)?;
    let log = "INSERT INTO changes (revision, digest, at) VALUES (?1, ?2, ?3)";
    execute(conn, log, (revision.0, key.as_bytes(), now.as_millis()))?;
    // Only what is older than everything kept goes, so that the log has no holes even when a clock was set back.
    let floor = "UPDATE revision SET floor =
         max(floor, (SELECT min(revision) - 1 FROM changes WHERE at >= ?1 AND revision > revision.floor))";
    execute(conn, floor, [now.before(LOG_RETENTION).as_millis()])?;
    // A few for each that comes: an archive of thousands must not be deleted in one go while a claim waits.
    let forget = "DELETE FROM changes WHERE revision IN
         (SELECT revision FROM changes WHERE revision <= (SELECT floor FROM revision) ORDER BY revision LIMIT 100)";
    execute(conn, forget, [])?;
    Ok(revision)
}

/// A revision without a changed key: no cached fact is wrong, but every replica has to look.
pub(super) fn next(conn: &Connection) -> Result<Revision, StoreError> {
    let sql = "UPDATE revision SET value = value + 1 RETURNING value";
    let revision = first(conn, sql, [], |row| row.integer(0, "revision.value"))?;
    revision.map(Revision).ok_or_else(no_revision)
}

/// What was changed after a revision.
pub(super) fn changes_after(conn: &Connection, applied: Revision) -> Result<Changes, StoreError> {
    let (revision, floor) = facts::revision(conn)?;
    // A caller ahead of the store has seen a life of it that a restored backup does not know.
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
        // A file has no life of its own: no Redis is shared over it, so nothing outlives the process but the file.
        life: StoreLife::default(),
        active_pepper: facts::active_pepper(conn)?,
        other_peppers: Vec::new(),
    })
}

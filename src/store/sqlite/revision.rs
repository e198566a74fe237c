//! The number that every change takes, and the log of what was changed.

use rusqlite::Connection;

use super::rows::{execute, first};
use crate::{
    domain::{KeyDigest, Timestamp},
    store::{
        Revision, StoreError,
        columns::{Columns, no_revision},
        rules::log::LOG_KEPT,
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
    execute(conn, floor, [now.before(LOG_KEPT).as_millis()])?;
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

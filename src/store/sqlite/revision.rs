//! The number that every change takes, and the log of what was changed.

use rusqlite::Connection;

use crate::{
    domain::{KeyDigest, Timestamp},
    store::{Revision, StoreError, rules::LOG_KEPT},
};

/// Takes the next revision, logs the change, and forgets what every cache has long seen.
pub(super) fn advance(conn: &Connection, key: &KeyDigest, now: Timestamp) -> Result<Revision, StoreError> {
    let revision = conn
        .prepare_cached("UPDATE revision SET value = value + 1 RETURNING value")?
        .query_row([], |row| row.get(0))?;
    conn.prepare_cached("INSERT INTO changes (revision, digest, at) VALUES (?1, ?2, ?3)")?.execute((
        revision,
        key.as_bytes(),
        now.as_millis(),
    ))?;
    // Only what is older than everything kept goes, so that the log has no holes even when a clock was set back.
    conn.prepare_cached(
        "UPDATE revision SET floor =
             max(floor, (SELECT min(revision) - 1 FROM changes WHERE at >= ?1 AND revision > revision.floor))",
    )?
    .execute([now.before(LOG_KEPT).as_millis()])?;
    // A few for each that comes: an archive of thousands must not be deleted in one go while a claim waits.
    conn.prepare_cached(
        "DELETE FROM changes WHERE revision IN
             (SELECT revision FROM changes WHERE revision <= (SELECT floor FROM revision) ORDER BY revision LIMIT 100)",
    )?
    .execute([])?;
    Ok(Revision(revision))
}

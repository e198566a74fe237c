//! What was changed after a revision.

use rusqlite::Connection;

use super::{facts, pepper, rows::all};
use crate::store::{
    Changes, Revision, StoreError, StoreLife,
    columns::Columns,
    rules::log::{POLLED, window},
};

pub(super) fn changes_after(conn: &Connection, applied: Revision) -> Result<Changes, StoreError> {
    let (revision, floor) = facts::revision(conn)?;
    // A caller ahead of the store has seen a life of it that a restored backup does not know.
    let in_log = (floor..=revision).contains(&applied);
    let first = if in_log { applied } else { floor };
    let sql = "SELECT revision, digest FROM changes WHERE revision > ?1 ORDER BY revision DESC LIMIT ?2";
    let newest_first = all(conn, sql, (first.0, POLLED as i64 + 1), |row| {
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
        active_pepper: pepper::active(conn)?,
        other_peppers: Vec::new(),
    })
}

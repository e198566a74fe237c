//! When the server ran, and when it did not.

use rusqlite::{Connection, params};

use super::rows::{all, execute, first};
use crate::{
    domain::{
        Timestamp,
        running::{Pause, Replica, Tick},
    },
    store::{
        StoreError,
        columns::{self, Columns},
    },
};

pub(super) fn tick(conn: &Connection, now: Timestamp) -> Result<Vec<Pause>, StoreError> {
    let last = first(conn, "SELECT ran_at FROM running", [], |row| row.moment(0, "running.ran_at"))?;
    let pauses = || all(conn, "SELECT ended_at, lasted_ms FROM pauses", [], |row| columns::pause(row));
    let Tick { ran_at, pause, forget_after } = Tick::new(last.unwrap_or(now), now, &pauses()?);
    execute(conn, "INSERT OR REPLACE INTO running VALUES (1, ?1)", [ran_at.as_millis()])?;
    if let Some(after) = forget_after {
        execute(conn, "DELETE FROM pauses WHERE ended_at > ?1", [after.as_millis()])?;
    }
    if let Some(pause) = pause {
        let values = params![pause.ended_at.as_millis(), pause.lasted_millis()];
        execute(conn, "INSERT OR REPLACE INTO pauses VALUES (?1, ?2)", values)?;
    }
    pauses()
}

pub(super) fn uses_written(conn: &Connection, name: &str, until: Timestamp) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO replicas VALUES (?1, ?2, ?2) ON CONFLICT (name) DO UPDATE SET uses_written_at = ?2, seen_at = ?2";
    execute(conn, sql, params![name, until.as_millis()]).map(drop)
}

/// The file has one process, which reads it: this one. A clock that was set back takes the times with it.
pub(super) fn replicas(
    conn: &Connection,
    name: &str,
    now: Timestamp,
    forget_before: Timestamp,
) -> Result<Vec<Replica>, StoreError> {
    let sql = "UPDATE replicas SET uses_written_at = min(uses_written_at, ?2), seen_at = ?2 WHERE name = ?1";
    execute(conn, sql, params![name, now.as_millis()])?;
    execute(conn, "DELETE FROM replicas WHERE seen_at < ?1", [forget_before.as_millis()])?;
    all(conn, "SELECT name, uses_written_at, seen_at FROM replicas", [], |row| columns::replica(row))
}

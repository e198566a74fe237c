//! When the server ran, and when it did not.

use rusqlite::{Connection, params};

use super::rows::{all, execute, first};
use crate::{
    domain::{
        Timestamp,
        running::{Pause, Tick},
    },
    store::{
        StoreError,
        columns::{self, Columns},
    },
};

pub(super) fn tick(conn: &Connection, now: Timestamp) -> Result<Vec<Pause>, StoreError> {
    let last = first(conn, "SELECT ran_at FROM running", [], |row| row.moment(0, "running.ran_at"))?;
    let Tick { ran_at, pause, forget_after } = Tick::new(last.unwrap_or(now), now);
    execute(conn, "INSERT OR REPLACE INTO running VALUES (1, ?1)", [ran_at.as_millis()])?;
    if let Some(after) = forget_after {
        execute(conn, "DELETE FROM pauses WHERE ended_at > ?1", [after.as_millis()])?;
    }
    if let Some(pause) = pause {
        let values = params![pause.ended_at.as_millis(), pause.lasted_millis()];
        execute(conn, "INSERT OR REPLACE INTO pauses VALUES (?1, ?2)", values)?;
    }
    all(conn, "SELECT ended_at, lasted_ms FROM pauses", [], |row| columns::pause(row))
}

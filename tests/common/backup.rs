//! Backs up a database and restores it under a running process, as `.backup` and `.restore` of `sqlite3` do.

use std::path::Path;

use rusqlite::{Connection, MAIN_DB, backup::NO_PROGRESS};

/// Copies the database to the new file `to`.
pub(crate) fn back_up(database: &Connection, to: &Path) {
    database.execute("VACUUM INTO ?1", [to.to_str().unwrap()]).unwrap();
}

/// Overwrites the database with the copy `from`, by the same API of SQLite as `.restore`.
pub(crate) fn restore(database: &mut Connection, from: &Path) {
    database.busy_timeout(super::PATIENCE).unwrap();
    database.restore(MAIN_DB, from, NO_PROGRESS).unwrap();
}

//! A database that is copied and put back under a running process, as `sqlite3 .backup` and `.restore` do.

use std::path::Path;

use rusqlite::Connection;

/// Copies the database to the new file `to`.
pub(crate) fn back_up(database: &Connection, to: &Path) {
    database.execute("VACUUM INTO ?1", [to.to_str().unwrap()]).unwrap();
}

/// Makes every table what it was in the copy `from`, in one transaction.
pub(crate) fn restore(database: &Connection, from: &Path) {
    database.busy_timeout(super::PATIENCE).unwrap();
    database.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    database.execute("ATTACH ?1 AS copy", [from.to_str().unwrap()]).unwrap();
    let mut tables = database.prepare("SELECT name FROM copy.sqlite_schema WHERE type = 'table'").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let table = |name: &String| format!("DELETE FROM main.{name}; INSERT INTO main.{name} SELECT * FROM copy.{name};");
    let tables: String = tables.iter().map(table).collect();
    database.execute_batch(&format!("BEGIN IMMEDIATE; {tables} COMMIT; DETACH copy;")).unwrap();
}

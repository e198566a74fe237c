//! The schema, step by step.

use rusqlite::Connection;

use super::error::Failure;

/// Every schema step there ever was, oldest first. `PRAGMA user_version` counts those that a database has.
const STEPS: &[&str] = &[
    include_str!("../migrations/sqlite/0001_first.sql"),
    include_str!("../migrations/sqlite/0002_life.sql"),
    include_str!("../migrations/sqlite/0003_audit.sql"),
    include_str!("../migrations/sqlite/0004_peppers.sql"),
    include_str!("../migrations/sqlite/0005_activations.sql"),
    include_str!("../migrations/sqlite/0006_expiry.sql"),
];

/// Brings the database to this binary's schema; each step is one transaction. Changes nothing in a database that a
/// newer binary or another program made.
pub(super) fn migrate(conn: &Connection) -> Result<(), Failure> {
    let found: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = STEPS.len() as i64;
    let done = match usize::try_from(found) {
        Ok(done) if done <= STEPS.len() => done,
        _ => return Err(Failure::Schema { found, known }),
    };
    if done == 0 && has_tables(conn)? {
        return Err(Failure::Foreign);
    }
    for (step, version) in STEPS.iter().zip(1..).skip(done) {
        conn.execute_batch(&format!("BEGIN IMMEDIATE; {step}; PRAGMA user_version = {version}; COMMIT;"))?;
    }
    Ok(())
}

fn has_tables(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
}

//! From a path to a running store, in two steps: the pepper may have to be generated in between.

use std::{
    fs::{File, OpenOptions, Permissions},
    io::{self, Read},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::{
    error::{OpenError, Unusable},
    lock::OwnerLock,
    pepper,
    store::SqliteStore,
};
use crate::{
    domain::{Pepper, Peppers},
    store::{KnownPepper, StoreError, columns::Columns, rules::rotation},
};

/// Every schema step there ever was, oldest first. `PRAGMA user_version` counts those that a database has.
const STEPS: &[&str] = &[
    include_str!("../migrations/sqlite/0001_first.sql"),
    include_str!("../migrations/sqlite/0002_life.sql"),
    include_str!("../migrations/sqlite/0003_audit.sql"),
    include_str!("../migrations/sqlite/0004_peppers.sql"),
    include_str!("../migrations/sqlite/0005_activations.sql"),
    include_str!("../migrations/sqlite/0006_expiry.sql"),
];

/// How long a statement waits for a lock that a backup or a `sqlite3` shell holds. Well below the deadline of a check,
/// so that the decision can still be answered.
const BUSY_TIMEOUT: Duration = Duration::from_millis(50);

/// The same while starting, when nobody waits for a decision.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// An open, migrated database that this process owns and nothing uses yet.
#[derive(Debug)]
pub struct Database {
    conn: Connection,
    path: PathBuf,
    lock: OwnerLock,
}

impl Database {
    /// Takes the database at `path` for this process, creates it if there is none, and brings its schema up to date.
    /// Its directory must exist. All files are readable by their owner only.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        // Two links to one database must meet at one lock.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        check_place(&path).map_err(OpenError::at(&path))?;
        let lock = OwnerLock::take(&path)?;
        // SQLite gives its -wal and -shm files the permissions of the database.
        make_private(&path).map_err(OpenError::at(&path))?;
        let conn = prepare(&path).map_err(OpenError::at(&path))?;
        Ok(Self { conn, path, lock })
    }

    /// The pepper that this database belongs to; none in a new one.
    pub fn recorded_pepper(&self) -> Result<Option<KnownPepper>, OpenError> {
        let sql = "SELECT id, check_value FROM peppers WHERE active = 1";
        let found = self.conn.query_row(sql, [], |row| {
            let id = row.pepper_id(0, "peppers.id");
            Ok(id.and_then(|id| Ok(KnownPepper { id, check_value: row.array(1, "peppers.check_value")? })))
        });
        Ok(found.optional().map_err(OpenError::at(&self.path))?.transpose()?)
    }

    /// Starts the store. A new database is written with the first of `peppers`; of any other, they must include the
    /// active one, and all that keys are still under.
    pub fn start(self, peppers: &Peppers) -> Result<SqliteStore, OpenError> {
        match self.recorded_pepper()? {
            Some(active) => rotation::may_start(&active, &pepper::peppers(&self.conn)?, peppers)?,
            None => peppers.iter().take(1).try_for_each(|first| self.record(first))?,
        }
        let Self { conn, path, lock } = self;
        let lookup = reader(&path).and_then(tune).map_err(OpenError::at(&path))?;
        let scan = reader(&path).and_then(tune).map_err(OpenError::at(&path))?;
        let writer = tune(conn).map_err(OpenError::at(&path))?;
        SqliteStore::spawn(writer, lookup, scan, lock).map_err(OpenError::at(&path))
    }

    /// Only into a database without keys: those of another pepper would be orphaned, and free for anyone to claim.
    fn record(&self, pepper: &Pepper) -> Result<(), OpenError> {
        let sql = "INSERT INTO peppers (id, check_value, active) SELECT ?1, ?2, 1
            WHERE NOT EXISTS (SELECT 1 FROM peppers) AND NOT EXISTS (SELECT 1 FROM known_keys)";
        let recorded = self
            .conn
            .execute(sql, params![pepper.id().as_str(), pepper.check_value()])
            .map_err(OpenError::at(&self.path))?;
        match recorded {
            1 => Ok(()),
            _ => Err(StoreError::Corrupt("peppers: none is active, but the store is not empty".to_owned()).into()),
        }
    }
}

/// Nothing is touched before it is known to be a database file of ours, or nobody's yet: as root, `store.url` could
/// name a device, and in a directory that others write to a link could name anything.
fn check_place(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if directory.metadata()?.permissions().mode() & 0o002 != 0 {
        return Err(io::Error::other("its directory is world-writable; use a directory of your own"));
    }
    match path.metadata() {
        Ok(found) if !found.is_file() => return Err(io::Error::other("it is no regular file")),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    let mut magic = Vec::new();
    File::open(path)?.take(16).read_to_end(&mut magic)?;
    if !magic.is_empty() && magic != b"SQLite format 3\0" {
        return Err(io::Error::other("it is no SQLite database"));
    }
    Ok(())
}

fn make_private(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match file.metadata()?.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => file.set_permissions(Permissions::from_mode(0o600)),
    }
}

/// The writer's connection to a migrated database.
fn prepare(path: &Path) -> Result<Connection, Unusable> {
    let conn = Connection::open_with_flags(path, flags())?;
    conn.busy_timeout(START_TIMEOUT)?;
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Unusable::Sqlite(format!("needs a write-ahead log, but its file system allows only {mode}")));
    }
    // FULL: a commit in the write-ahead log is synced before it is answered. NORMAL would lose it with the power.
    conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
    migrate(&conn)?;
    Ok(conn)
}

/// Brings the database to this binary's schema; each step is one transaction. Changes nothing in a database that a
/// newer binary or another program made.
fn migrate(conn: &Connection) -> Result<(), Unusable> {
    let found: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = STEPS.len() as i64;
    let done = match usize::try_from(found) {
        Ok(done) if done <= STEPS.len() => done,
        _ => return Err(Unusable::Schema { found, known }),
    };
    if done == 0 && has_tables(conn)? {
        return Err(Unusable::Foreign);
    }
    for (step, version) in STEPS.iter().zip(1..).skip(done) {
        conn.execute_batch(&format!("BEGIN IMMEDIATE; {step}; PRAGMA user_version = {version}; COMMIT;"))?;
    }
    Ok(())
}

fn has_tables(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
}

fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, flags())?;
    conn.execute_batch("PRAGMA query_only = ON;")?;
    Ok(conn)
}

/// No URI names: a path is a path. No mutex: each connection lives in one thread.
fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// For the time when decisions wait.
fn tune(conn: Connection) -> rusqlite::Result<Connection> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No test can pull the plug, so the settings that survive it are checked by name.
    #[test]
    fn a_commit_is_synced_and_a_reader_cannot_write() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sentinel.db");
        let database = Database::open(&path).unwrap();
        let pragma = |conn: &Connection, name: &str| -> String {
            let sql = format!("SELECT CAST((SELECT * FROM pragma_{name}) AS TEXT)");
            conn.query_row(&sql, [], |row| row.get(0)).unwrap()
        };
        let writer = tune(database.conn).unwrap();
        for (name, value) in
            [("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1"), ("busy_timeout", "50")]
        {
            assert_eq!(pragma(&writer, name), value, "{name}");
        }
        let reader = tune(reader(&path).unwrap()).unwrap();
        for (name, value) in [("query_only", "1"), ("busy_timeout", "50")] {
            assert_eq!(pragma(&reader, name), value, "{name}");
        }
        reader.execute("DELETE FROM peppers", []).unwrap_err();
    }
}

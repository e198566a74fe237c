//! Opens a database and starts the store, in two steps, because the pepper may have to be generated in between.

use std::{
    fs::{OpenOptions, Permissions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::unistd::{AccessFlags, access};
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

/// All schema migrations, oldest first. `PRAGMA user_version` is the number of applied migrations.
pub(super) const STEPS: &[&str] = &[
    include_str!("../migrations/sqlite/0001_first.sql"),
    include_str!("../migrations/sqlite/0002_life.sql"),
    include_str!("../migrations/sqlite/0003_audit.sql"),
    include_str!("../migrations/sqlite/0004_peppers.sql"),
    include_str!("../migrations/sqlite/0005_activations.sql"),
    include_str!("../migrations/sqlite/0006_expiry.sql"),
    include_str!("../migrations/sqlite/0007_running.sql"),
    include_str!("../migrations/sqlite/0008_writes.sql"),
];

/// How long a statement waits for a lock that a backup or a `sqlite3` shell holds. Well below the deadline of a check,
/// so that the decision can still be answered.
const BUSY_TIMEOUT: Duration = Duration::from_millis(50);

/// The same during the start, when no decision waits.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(5);

/// An open, migrated database that this process owns, not in use yet.
#[derive(Debug)]
pub struct Database {
    conn: Connection,
    path: PathBuf,
    lock: OwnerLock,
}

impl Database {
    /// Locks the database at `path` for this process, creates it if it is missing, and brings its schema up to date.
    /// Its directory must exist. Only the owner can read its files.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_as(path, migrate)
    }

    /// Like [`Self::open`], but creates nothing: [`Unusable::Missing`] or [`Unusable::Empty`] if no store was ever started
    /// in the file.
    pub fn open_existing(path: &Path) -> Result<Self, OpenError> {
        Self::check_exists(path)?;
        Self::open_as(path, |conn| match has_store(conn)? {
            true => migrate(conn),
            false => Err(Unusable::Empty),
        })
    }

    /// Checks that the file exists and has content. Creates nothing, not even the lock.
    pub fn check_exists(path: &Path) -> Result<(), OpenError> {
        check_exists(path).map_err(OpenError::at(path))
    }

    /// Checks that the file is missing, empty or a SQLite database, in a directory that only its owner can write.
    pub fn check_path(path: &Path) -> Result<(), OpenError> {
        checked(path).map(drop)
    }

    fn open_as(path: &Path, migrate: impl Fn(&Connection) -> Result<(), Unusable>) -> Result<Self, OpenError> {
        let path = checked(path)?;
        let lock = OwnerLock::take(&path)?;
        // SQLite creates its -wal and -shm files with the permissions of the database.
        make_private(&path).map_err(OpenError::at(&path))?;
        let conn = prepare(&path).map_err(OpenError::at(&path))?;
        migrate(&conn).map_err(OpenError::at(&path))?;
        Ok(Self { conn, path, lock })
    }

    /// Returns the active pepper of this database; `None` if it is new.
    pub fn recorded_pepper(&self) -> Result<Option<KnownPepper>, OpenError> {
        recorded_pepper(&self.conn).map_err(OpenError::at(&self.path))?.transpose().map_err(OpenError::from)
    }

    /// Starts the store. The first of `peppers` becomes the active one of a new database; for any other, `peppers` must
    /// include the active one and all that keys are under.
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

    /// Records the pepper, only in a database without keys: keys under another pepper would be orphaned, and any
    /// network could claim them.
    fn record(&self, pepper: &Pepper) -> Result<(), OpenError> {
        let sql = "INSERT INTO peppers (id, check_value, active) SELECT ?1, ?2, 1
            WHERE NOT EXISTS (SELECT 1 FROM peppers) AND NOT EXISTS (SELECT 1 FROM known_keys)";
        let recorded = self
            .conn
            .execute(sql, params![pepper.id().as_str(), pepper.check_value()])
            .map_err(OpenError::at(&self.path))?;
        match recorded {
            1 => Ok(()),
            _ => Err(no_active_pepper()),
        }
    }
}

/// The store has keys, and no pepper under which new ones are written.
pub(super) fn no_active_pepper() -> OpenError {
    StoreError::Corrupt("peppers: none is active, but the store is not empty".to_owned()).into()
}

/// Two links to one database must use the same lock.
pub(super) fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

pub(super) fn recorded_pepper(conn: &Connection) -> rusqlite::Result<Option<Result<KnownPepper, StoreError>>> {
    let sql = "SELECT id, check_value FROM peppers WHERE active = 1";
    let found = conn.query_row(sql, [], |row| {
        let id = row.pepper_id(0, "peppers.id");
        Ok(id.and_then(|id| Ok(KnownPepper { id, check_value: row.array(1, "peppers.check_value")? })))
    });
    found.optional()
}

/// Returns the canonical path of a database that may be opened, or created.
fn checked(path: &Path) -> Result<PathBuf, OpenError> {
    check_links(path).map_err(OpenError::at(path))?;
    let path = canonical(path);
    check_path(&path).map_err(OpenError::at(&path))?;
    Ok(path)
}

/// The most symbolic links that Linux follows.
const MAX_LINKS: usize = 40;

/// Checks the directories of `path` and of the links that it leads through: a link in a directory that others can write to
/// could lead anywhere, also to a database in which an attacker owns every key.
fn check_links(path: &Path) -> io::Result<()> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        check_private(directory(&path))?;
        match path.read_link() {
            Ok(target) => path = directory(&path).join(target),
            Err(_) => return Ok(()),
        }
    }
    Err(io::Error::other("it leads through too many symbolic links; use another path"))
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn check_private(directory: &Path) -> io::Result<()> {
    let found = directory.metadata().map_err(|cause| {
        io::Error::new(
            cause.kind(),
            format!("its directory {}: {cause}; create it, or use another path", directory.display()),
        )
    })?;
    if found.permissions().mode() & 0o002 != 0 {
        return Err(io::Error::other("its directory is world-writable; use a directory that only its owner can write"));
    }
    Ok(())
}

/// Checks that the file is missing, empty or a SQLite database before anything is written: `store.url` could name a
/// device if run as root.
fn check_path(path: &Path) -> io::Result<()> {
    let directory = directory(path);
    check_private(directory)?;
    access(directory, AccessFlags::W_OK | AccessFlags::X_OK).map_err(io::Error::from).map_err(|cause| {
        io::Error::new(cause.kind(), format!("its directory {} cannot be written: {cause}", directory.display()))
    })?;
    match path.metadata() {
        Ok(found) if !found.is_file() => return Err(io::Error::other("it is not a regular file; use another path")),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    let mut magic = Vec::new();
    OpenOptions::new().read(true).write(true).open(path)?.take(16).read_to_end(&mut magic)?;
    if !magic.is_empty() && magic != b"SQLite format 3\0" {
        return Err(io::Error::other("it is not a SQLite database; restore it from a backup, or use another path"));
    }
    Ok(())
}

pub(super) fn check_exists(path: &Path) -> Result<(), Unusable> {
    match path.metadata() {
        Ok(found) if found.is_file() && found.len() == 0 => Err(Unusable::Empty),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Unusable::Missing),
        // Any other fault is found where it matters.
        _ => Ok(()),
    }
}

/// Whether a store was ever started in the database.
pub(super) fn has_store(conn: &Connection) -> Result<bool, Unusable> {
    if schema_version(conn)? == 0 {
        return Ok(false);
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM peppers) OR EXISTS (SELECT 1 FROM known_keys)";
    Ok(conn.query_row(sql, [], |row| row.get(0))?)
}

fn make_private(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let (mode, owner) = (file.metadata()?.mode() & 0o7777, file.metadata()?.uid());
    if mode & 0o077 == 0 {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(0o600)).map_err(|cause| {
        let fix = format!("it belongs to uid {owner}; chown it to the user of the server");
        io::Error::new(cause.kind(), format!("its mode is {mode:04o}, and cannot be changed to 0600: {cause}; {fix}"))
    })
}

/// Opens the connection of the writer.
fn prepare(path: &Path) -> Result<Connection, Unusable> {
    let conn = Connection::open_with_flags(path, flags())?;
    conn.busy_timeout(START_TIMEOUT)?;
    let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(Unusable::Sqlite(format!(
            "a write-ahead log is required, but the file system supports only journal mode {mode}"
        )));
    }
    // FULL: a commit in the write-ahead log is synced before it is acknowledged. With NORMAL, a power failure would
    // lose it.
    conn.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
    Ok(conn)
}

/// Migrates the schema; each migration is one transaction. Changes nothing in a database that a newer version or
/// another program made.
fn migrate(conn: &Connection) -> Result<(), Unusable> {
    for (step, version) in STEPS.iter().zip(1..).skip(schema_version(conn)?) {
        conn.execute_batch(&format!("BEGIN IMMEDIATE; {step}; PRAGMA user_version = {version}; COMMIT;"))?;
    }
    Ok(())
}

/// Returns the number of applied migrations. Fails for a database that a newer version or another program made.
pub(super) fn schema_version(conn: &Connection) -> Result<usize, Unusable> {
    let found: i64 = conn.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let has = |sql| conn.query_row(sql, [], |row| row.get::<_, bool>(0));
    // Any program may set that number, so the tables of every version must be there.
    let is_foreign = match found {
        0 => has("SELECT EXISTS (SELECT 1 FROM sqlite_schema)")?,
        _ => has("SELECT count(*) < 2 FROM sqlite_schema WHERE name IN ('peppers', 'binding_networks')")?,
    };
    match usize::try_from(found) {
        _ if is_foreign => Err(Unusable::Foreign),
        Ok(done) if done <= STEPS.len() => Ok(done),
        _ => Err(Unusable::Schema { found, known: STEPS.len() as i64 }),
    }
}

fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, flags())?;
    conn.execute_batch("PRAGMA query_only = ON;")?;
    Ok(conn)
}

/// No URI names: `store.url` is a plain path. No mutex: each connection is used by one thread.
fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// Applies the settings for serving decisions.
fn tune(conn: Connection) -> rusqlite::Result<Connection> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No test can cut the power, so the settings that protect against a power failure are checked by name.
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

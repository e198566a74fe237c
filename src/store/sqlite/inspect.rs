//! Looks at a database without a change to it: for the checks before a start.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

use super::{
    error::{OpenError, Unusable},
    lock, open, pepper,
};
use crate::{
    domain::Peppers,
    store::{KnownPepper, rules::rotation},
};

/// A database in which a store was started before.
#[derive(Debug)]
pub struct Inspection {
    conn: Connection,
    path: PathBuf,
    /// The tables are those of this version. An older schema is brought up to date by the start.
    is_current: bool,
}

impl Inspection {
    /// Opens the database. [`Unusable::Missing`] or [`Unusable::Empty`] if no store was ever started in the file.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let path = open::canonical(path);
        let is_owned = lock::owner_of(&path)?.is_some();
        let found = || -> Result<_, Unusable> {
            open::check_exists(&path)?;
            let conn = connect(&path, is_owned)?;
            let version = open::schema_version(&conn)?;
            if !open::has_store(&conn)? {
                return Err(Unusable::Empty);
            }
            Ok((conn, version == open::STEPS.len()))
        };
        let (conn, is_current) = found().map_err(OpenError::at(&path))?;
        Ok(Self { conn, path, is_current })
    }

    /// Returns the active pepper.
    pub fn recorded_pepper(&self) -> Result<KnownPepper, OpenError> {
        let found = open::recorded_pepper(&self.conn).map_err(OpenError::at(&self.path))?;
        found.ok_or_else(open::no_active_pepper)?.map_err(OpenError::from)
    }

    /// Checks that `peppers` include the active one, and, if the schema is of this version, all that keys are under.
    pub fn may_start(&self, peppers: &Peppers) -> Result<(), OpenError> {
        let active = self.recorded_pepper()?;
        let known = if self.is_current { pepper::peppers(&self.conn)? } else { Vec::new() };
        Ok(rotation::may_start(&active, &known, peppers)?)
    }
}

/// Checks that no process has the database open. Creates nothing, not even the lock.
pub fn check_unowned(path: &Path) -> Result<(), OpenError> {
    let path = open::canonical(path);
    match lock::owner_of(&path)? {
        Some(owner) => Err(OpenError::at(&path)(Unusable::Owned(owner))),
        None => Ok(()),
    }
}

/// Connects without a change to the files. SQLite makes a `-wal` and a `-shm` file for a reader too, unless the database
/// is declared immutable; but then it does not read the `-wal` file of a server that was killed.
fn connect(path: &Path, is_owned: bool) -> Result<Connection, Unusable> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if !is_owned && !Path::new(&log).exists() {
        return immutable(path);
    }
    if !is_owned && let Some(conn) = alone(path)? {
        return Ok(conn);
    }
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(open::START_TIMEOUT)?;
    Ok(conn)
}

/// A connection in exclusive mode, whose index of the log is in this process's memory and not in the `-shm` file. `None` if
/// a server or a backup program has the database open: then that file exists and is theirs.
fn alone(path: &Path) -> Result<Option<Connection>, Unusable> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(Duration::ZERO)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    conn.pragma_update(None, "query_only", true)?;
    match conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())) {
        Err(fault) if fault.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(None),
        Err(fault) => Err(fault.into()),
        Ok(()) => Ok(Some(conn)),
    }
}

fn immutable(path: &Path) -> Result<Connection, Unusable> {
    let name = path.to_str().ok_or_else(|| io::Error::other("the path is not UTF-8"))?;
    let name = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags(format!("file:{name}?immutable=1"), flags)?)
}

//! Looks at a database without a change to it: for the checks before a start.

use std::{
    io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

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
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let found = || -> Result<_, Unusable> {
            open::check_exists(&path)?;
            let conn = read_only(&path)?;
            let version = open::schema_version(&conn)?;
            if !open::has_store(&conn)? {
                return Err(Unusable::Empty);
            }
            Ok((conn, version == open::STEPS.len()))
        };
        let (conn, is_current) = found().map_err(OpenError::at(&path))?;
        Ok(Self { conn, path, is_current })
    }

    /// Returns the active pepper; `None` if the start would record one.
    pub fn recorded_pepper(&self) -> Result<Option<KnownPepper>, OpenError> {
        open::recorded_pepper(&self.conn).map_err(OpenError::at(&self.path))?.transpose().map_err(OpenError::from)
    }

    /// Checks that `peppers` include the active one, and, if the schema is of this version, all that keys are under.
    pub fn may_start(&self, peppers: &Peppers) -> Result<(), OpenError> {
        let Some(active) = self.recorded_pepper()? else { return Ok(()) };
        let known = if self.is_current { pepper::peppers(&self.conn)? } else { Vec::new() };
        Ok(rotation::may_start(&active, &known, peppers)?)
    }
}

/// Checks that no process has the database open. Creates nothing, not even the lock.
pub fn check_unowned(path: &Path) -> Result<(), OpenError> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    match lock::owner_of(&path).map_err(OpenError::at(&path))? {
        Some(owner) => Err(OpenError::at(&path)(Unusable::Owned(owner))),
        None => Ok(()),
    }
}

/// SQLite creates a write-ahead log for a reader too, unless the file is declared immutable; then it does not read the
/// log, which must be read if a process was killed or is running.
fn read_only(path: &Path) -> Result<Connection, Unusable> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let has_log = Path::new(&log).metadata().is_ok_and(|log| log.len() > 0) || lock::owner_of(path)?.is_some();
    let name = path.to_str().ok_or_else(|| io::Error::other("the path is not UTF-8"))?;
    let name = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let uri = format!("file:{name}?immutable={}", u8::from(!has_log));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(uri, flags)?;
    conn.busy_timeout(open::START_TIMEOUT)?;
    Ok(conn)
}

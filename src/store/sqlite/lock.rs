//! One process per database.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nix::libc::O_NOFOLLOW;

use super::error::{OpenError, Unusable};
use crate::domain::Timestamp;

/// An exclusive lock on `<database>.lock`, held until it is dropped or the process ends.
///
/// SQLite allows two processes to share the file, but each would decide from a cache that misses the changes of the
/// other. The lock file is never removed: otherwise two processes could lock two files of the same name.
#[derive(Debug)]
pub(super) struct OwnerLock(#[allow(dead_code, reason = "held, not read")] File);

impl OwnerLock {
    pub(super) fn take(database: &Path) -> Result<Self, OpenError> {
        let path = database.with_added_extension("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            // The content is overwritten, so a symlink must not be followed.
            .custom_flags(O_NOFOLLOW)
            .open(&path)
            .map_err(OpenError::at(&path))?;
        lock(&file).map_err(|cause| match cause {
            TryLockError::WouldBlock => OpenError::at(database)(Unusable::Owned(owner(&mut file))),
            TryLockError::Error(cause) => OpenError::at(&path)(cause),
        })?;
        sign(&mut file).map_err(OpenError::at(&path))?;
        Ok(Self(file))
    }
}

/// Waits for a moment: [`owner_of`] holds the lock while it looks.
fn lock(file: &File) -> Result<(), TryLockError> {
    let is_taken = |tried: &Result<(), TryLockError>| matches!(tried, Err(TryLockError::WouldBlock));
    for _ in 0..20 {
        let tried = file.try_lock();
        if !is_taken(&tried) {
            return tried;
        }
        thread::sleep(Duration::from_millis(5));
    }
    file.try_lock()
}

/// Describes the process that has the database open, if there is one. Creates nothing, and does not keep the lock.
pub(super) fn owner_of(database: &Path) -> Result<Option<String>, OpenError> {
    let path = database.with_added_extension("lock");
    let mut file = match OpenOptions::new().read(true).custom_flags(O_NOFOLLOW).open(&path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(OpenError::at(&path)(cause)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(owner(&mut file))),
        Err(TryLockError::Error(cause)) => Err(OpenError::at(&path)(cause)),
    }
}

/// Describes the process that wrote the lock file.
fn owner(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(200).read_to_string(&mut text);
    match (read, text.trim().split_once(' ')) {
        (Ok(_), Some((pid, since))) => format!("process {pid}, started {since}"),
        // It has locked the file, but not written to it yet.
        _ => "another process".to_owned(),
    }
}

fn sign(file: &mut File) -> io::Result<()> {
    #[allow(clippy::disallowed_methods, reason = "for a person to read; nothing is decided by it")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{} {}", std::process::id(), Timestamp::from_millis(0).after(now))
}

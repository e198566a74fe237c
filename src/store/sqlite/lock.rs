//! One process per database.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use nix::libc::O_NOFOLLOW;

use super::error::OpenError;
use crate::domain::Timestamp;

/// An exclusive lock on `<database>.lock`, held until it is dropped or the process ends.
///
/// SQLite would let two processes share the file, but each would decide from caches that know nothing of the other's
/// changes. The file stays behind on purpose: removing it would let two processes lock two files of one name.
#[derive(Debug)]
pub(super) struct OwnerLock(#[allow(dead_code, reason = "held, not read")] File);

impl OwnerLock {
    pub(super) fn take(database: &Path) -> Result<Self, OpenError> {
        let path = lock_path(database);
        let failed = |source| OpenError::File { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            // Its content is overwritten: a link could name anything.
            .custom_flags(O_NOFOLLOW)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let owner = owner(&mut file);
                return Err(OpenError::Owned { path: database.to_owned(), owner });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        sign(&mut file).map_err(failed)?;
        Ok(Self(file))
    }
}

fn lock_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Who wrote the lock file, in words.
fn owner(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(200).read_to_string(&mut text);
    match (read, text.trim().split_once(' ')) {
        (Ok(_), Some((pid, since))) => format!("process {pid}, started {since}"),
        // It has locked the file, but not signed it yet.
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

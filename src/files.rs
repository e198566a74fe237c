//! Reads small regular files that settings name. Other file types are rejected: a FIFO would block the start, and a
//! device may have no end.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use nix::libc;
use zeroize::Zeroizing;

/// The largest size of a file with a secret, in bytes.
pub const SECRET: u64 = 64 << 10;
/// The largest size of a configuration file, in bytes.
pub const CONFIG: u64 = 1 << 20;

/// Reads the whole regular file at `path`, at most `limit` bytes. Follows symbolic links, because Kubernetes mounts
/// secrets through them. The bytes are wiped when dropped.
pub fn read(path: &Path, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    // O_NONBLOCK: opening a FIFO would wait for a writer. The type is read from the open file, because the path may
    // name another file by now.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    // Allocated once at full size: a growing buffer would leave copies of the secret in memory.
    let capacity = usize::try_from(metadata.len().min(limit) + 1).map_err(io::Error::other)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(io::Error::other(format!("has more than {limit} bytes"))),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use nix::{sys::stat::Mode, unistd::mkfifo};

    use super::*;

    #[test]
    fn only_regular_files_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        for path in [&fifo, Path::new("/dev/zero"), directory.path()] {
            assert_eq!(read(path, SECRET).unwrap_err().to_string(), "is not a regular file", "{}", path.display());
        }
    }

    #[test]
    fn a_file_is_read_up_to_its_limit_and_through_links() {
        let directory = tempfile::tempdir().unwrap();
        let [file, data, link] = ["..2026/file", "..data", "file"].map(|name| directory.path().join(name));
        fs::create_dir(directory.path().join("..2026")).unwrap();
        symlink("..2026", &data).unwrap();
        symlink("..data/file", &link).unwrap();
        fs::write(&file, "12345678").unwrap();
        assert_eq!(&read(&link, 8).unwrap()[..], b"12345678");
        assert_eq!(read(&link, 7).unwrap_err().to_string(), "has more than 7 bytes");
    }
}

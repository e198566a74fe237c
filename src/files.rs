//! Reads the small files that settings name, and nothing else: a FIFO would hang the start, and a device has no end.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use nix::libc;
use zeroize::Zeroizing;

/// The most bytes of a file with a secret.
pub const SECRET: u64 = 64 << 10;
/// The most bytes of a config file.
pub const CONFIG: u64 = 1 << 20;

/// All of the regular file at `path`, or behind the symbolic links there, as Kubernetes mounts secrets. It is wiped when
/// dropped.
pub fn read(path: &Path, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    // Opening a FIFO would wait for a writer. What was opened is asked, not the name, which may by then be another file's.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    // At once as large as it can get, so that no copy of a secret is left behind where it grew.
    let room = usize::try_from(found.len().min(limit) + 1).map_err(io::Error::other)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
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
    fn a_fifo_a_device_and_a_folder_are_no_files() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        for path in [&fifo, Path::new("/dev/zero"), folder.path()] {
            assert_eq!(read(path, SECRET).unwrap_err().to_string(), "is not a regular file", "{}", path.display());
        }
    }

    #[test]
    fn a_file_is_read_up_to_its_limit_and_through_links() {
        let folder = tempfile::tempdir().unwrap();
        let [file, data, link] = ["..2026/file", "..data", "file"].map(|name| folder.path().join(name));
        fs::create_dir(folder.path().join("..2026")).unwrap();
        symlink("..2026", &data).unwrap();
        symlink("..data/file", &link).unwrap();
        fs::write(&file, "12345678").unwrap();
        assert_eq!(&read(&link, 8).unwrap()[..], b"12345678");
        assert_eq!(read(&link, 7).unwrap_err().to_string(), "has more than 7 bytes");
    }
}

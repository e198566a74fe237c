//! Where the peppers come from: the config, and a file in the data folder that the first start on an empty store makes.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use tracing::warn;

use crate::{
    domain::{Pepper, PepperId, Peppers, PeppersError, key::encode_pepper},
    files,
};

/// Why there is no pepper.
#[derive(Debug, thiserror::Error)]
pub enum PepperError {
    /// The store's keys can only be found with the pepper that it was filled with.
    #[error("the store was filled with pepper {recorded}, but neither pepper.secrets nor {} has one; restore it from your backup", .file.display())]
    Missing {
        /// The store's pepper.
        recorded: PepperId,
        /// Where a generated one would be.
        file: PathBuf,
    },
    /// The file cannot be read or written, or holds something that can be guessed.
    #[error("pepper file {}: {cause}", .file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// With the file's there are too many.
    #[error("pepper.secrets and pepper file {}: {cause}; once the file's pepper is retired, remove the file", .file.display())]
    Ring {
        /// Which.
        file: PathBuf,
        /// Why.
        cause: PeppersError,
    },
}

/// Where a generated pepper is.
pub fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("pepper")
}

/// The configured peppers and the one in `data_dir`, which counts as the last of them: whoever began on the embedded
/// default configures another beside it and rotates. Where there is neither, and only for a store that has none
/// `recorded`, a new one.
pub fn resolve(
    configured: Option<Peppers>,
    recorded: Option<PepperId>,
    data_dir: &Path,
) -> Result<Peppers, PepperError> {
    let file = file(data_dir);
    let read = || Pepper::checked(files::read(&file, files::SECRET)?.trim_ascii_end()).map_err(io::Error::other);
    let found = match read() {
        Ok(pepper) => Some(pepper),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
        Err(cause) => return Err(PepperError::File { file, cause }),
    };
    match (configured, found, recorded) {
        (Some(listed), Some(found), _) => listed.with(found).map_err(|cause| PepperError::Ring { file, cause }),
        (Some(listed), None, _) => Ok(listed),
        (None, Some(found), _) => Ok(found.into()),
        (None, None, Some(recorded)) => Err(PepperError::Missing { recorded, file }),
        (None, None, None) => generate(file).map(Peppers::from),
    }
}

/// Durable before the store records its check value: keys hashed with a pepper that a power loss took are lost.
fn generate(file: PathBuf) -> Result<Pepper, PepperError> {
    let text = encode_pepper(rand::random());
    let write = || {
        // Renamed only when whole: half a file would stop every later start.
        let unfinished = file.with_extension("new");
        let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        out.write_all(text.as_bytes())?;
        out.write_all(b"\n")?;
        out.sync_all()?;
        fs::rename(&unfinished, &file)?;
        File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        Pepper::new(text.as_bytes()).map_err(io::Error::other)
    };
    let pepper = write().map_err(|cause| PepperError::File { file: file.clone(), cause })?;
    warn!(
        file = %file.display(), pepper = %pepper.id(),
        "generated a pepper; back it up: without it no stored key can be recognised"
    );
    Ok(pepper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_once_then_read_and_never_for_a_filled_store() {
        let folder = tempfile::tempdir().unwrap();
        let first = resolve(None, None, folder.path()).unwrap();
        let id = first.iter().next().map(Pepper::id);
        let again = resolve(None, id.clone(), folder.path()).unwrap();
        assert_eq!(first.names(), again.names());
        fs::remove_file(folder.path().join("pepper")).unwrap();
        let error = resolve(None, id, folder.path()).unwrap_err();
        assert!(matches!(error, PepperError::Missing { .. }), "{error}");
        assert!(!folder.path().join("pepper").exists());
    }

    #[test]
    fn the_generated_pepper_is_listed_after_the_configured_ones() {
        let folder = tempfile::tempdir().unwrap();
        let generated = resolve(None, None, folder.path()).unwrap();
        let listed =
            |bytes: &[u8]| Peppers::new(bytes.iter().map(|byte| Pepper::new(&[*byte; 32]).unwrap()).collect()).unwrap();
        let both = resolve(Some(listed(&[1])), None, folder.path()).unwrap();
        assert_eq!(both.names(), format!("{}, {}", listed(&[1]).names(), generated.names()));
        let error = resolve(Some(listed(&[1, 2, 3])), None, folder.path()).unwrap_err();
        assert!(error.to_string().contains("4 peppers are listed"), "{error}");
        let text = fs::read_to_string(folder.path().join("pepper")).unwrap();
        let copied = Peppers::from(Pepper::new(text.trim_end().as_bytes()).unwrap());
        assert_eq!(resolve(Some(copied), None, folder.path()).unwrap().names(), generated.names());
    }

    #[test]
    fn a_file_that_is_no_pepper_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pepper");
        for text in ["short\n".to_owned(), "a".repeat(64)] {
            fs::write(&file, text).unwrap();
            let error = resolve(None, None, folder.path()).unwrap_err().to_string();
            assert!(error.starts_with("pepper file ") && error.contains(": a pepper "), "{error}");
        }
        fs::remove_file(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = resolve(None, None, folder.path()).unwrap_err().to_string();
        assert!(error.contains("is not a regular file"), "{error}");
    }
}

//! Where the pepper comes from: the config, or a file that the first start on an empty store makes.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use tracing::warn;

use crate::{
    domain::{
        Pepper, PepperId,
        key::{WeakPepper, pepper_text},
    },
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
    /// The file cannot be read or written.
    #[error("pepper file {}: {cause}", .file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The file holds something that can be guessed.
    #[error("pepper file {}: {cause}", .file.display())]
    Weak {
        /// Which.
        file: PathBuf,
        /// Why.
        cause: WeakPepper,
    },
}

/// Where a generated pepper is.
pub fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("pepper")
}

/// The configured pepper; else the one in `data_dir`; else, only for a store that has none `recorded`, a new one.
pub fn resolve(configured: Option<Pepper>, recorded: Option<PepperId>, data_dir: &Path) -> Result<Pepper, PepperError> {
    if let Some(pepper) = configured {
        return Ok(pepper);
    }
    let file = file(data_dir);
    match (files::read(&file, files::SECRET), recorded) {
        (Ok(text), _) => {
            Pepper::given(text.trim_ascii_end()).map_err(|cause| PepperError::Weak { file: file.clone(), cause })
        }
        (Err(cause), Some(recorded)) if cause.kind() == io::ErrorKind::NotFound => {
            Err(PepperError::Missing { recorded, file })
        }
        (Err(cause), None) if cause.kind() == io::ErrorKind::NotFound => generate(file),
        (Err(cause), _) => Err(PepperError::File { file, cause }),
    }
}

/// Durable before the store records its check value: keys hashed with a pepper that a power loss took are lost.
fn generate(file: PathBuf) -> Result<Pepper, PepperError> {
    let text = pepper_text(rand::random());
    let write = || {
        // Renamed only when whole: half a file would stop every later start.
        let unfinished = file.with_extension("new");
        let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        out.write_all(text.as_bytes())?;
        out.write_all(b"\n")?;
        out.sync_all()?;
        fs::rename(&unfinished, &file)?;
        File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|cause| PepperError::File { file: file.clone(), cause })?;
    let pepper = Pepper::new(text.as_bytes()).map_err(|cause| PepperError::Weak { file: file.clone(), cause })?;
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
        let again = resolve(None, Some(first.id()), folder.path()).unwrap();
        assert_eq!(first.id(), again.id());
        fs::remove_file(folder.path().join("pepper")).unwrap();
        let error = resolve(None, Some(first.id()), folder.path()).unwrap_err();
        assert!(matches!(error, PepperError::Missing { .. }), "{error}");
        assert!(!folder.path().join("pepper").exists());
    }

    #[test]
    fn a_file_that_is_no_pepper_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pepper");
        for text in ["short\n".to_owned(), "a".repeat(64)] {
            fs::write(&file, text).unwrap();
            assert!(matches!(resolve(None, None, folder.path()), Err(PepperError::Weak { .. })));
        }
        fs::remove_file(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(resolve(None, None, folder.path()), Err(PepperError::File { .. })));
    }
}

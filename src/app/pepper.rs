//! The peppers: those of the configuration, and the one that the first start on an empty store generates in the data
//! directory.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use tracing::warn;

use crate::{
    domain::{Pepper, PepperId, PepperListError, Peppers, key::encode_pepper},
    files,
};

/// Why the peppers of the configuration and of the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PepperFileError {
    /// The store was filled with a pepper that is not given. Its keys cannot be found without it.
    #[error("the store was filled with pepper {recorded}, but pepper.secrets, pepper.secrets_file and {} have no pepper; restore it from a backup", .file.display())]
    Missing {
        /// The store's pepper.
        recorded: PepperId,
        /// The file of a generated pepper.
        file: PathBuf,
    },
    /// The file cannot be read or written, or its pepper is not valid.
    #[error("pepper file {}: if a store was filled with it, restore it from a backup: {cause}", .file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The configured peppers and that of the file are too many.
    #[error("pepper.secrets and pepper file {}: {cause}; once the file's pepper is retired, remove the file", .file.display())]
    List {
        /// Which.
        file: PathBuf,
        /// Why.
        cause: PepperListError,
    },
}

/// The file of a generated pepper.
pub fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("pepper")
}

/// The peppers of this process.
#[derive(Debug)]
pub struct Resolved {
    /// The configured ones, then the one in the data directory.
    pub peppers: Peppers,
    /// The pepper was just generated.
    generated: Option<Generated>,
}

/// A generated pepper, whose file is complete and durable but does not have its name yet.
#[derive(Debug)]
struct Generated {
    id: PepperId,
    file: PathBuf,
}

/// Returns the configured peppers and the one in `data_dir`, which is the last of them: an operator who started with
/// the generated pepper configures another one and rotates. Generates a pepper if there is none and the store has none
/// `recorded`.
pub fn resolve(
    configured: Option<Peppers>,
    recorded: Option<PepperId>,
    data_dir: &Path,
) -> Result<Resolved, PepperFileError> {
    if let Some(found) = find(configured, recorded, data_dir)? {
        return Ok(found);
    }
    let file = file(data_dir);
    let pepper = generate(&file).map_err(|cause| PepperFileError::File { file: file.clone(), cause })?;
    let generated = Some(Generated { id: pepper.id(), file });
    Ok(Resolved { peppers: pepper.into(), generated })
}

/// Like [`resolve`], but `None` where it would generate a pepper.
pub(super) fn find(
    configured: Option<Peppers>,
    recorded: Option<PepperId>,
    data_dir: &Path,
) -> Result<Option<Resolved>, PepperFileError> {
    let file = file(data_dir);
    let peppers = match (configured, read(&file)?, recorded) {
        (Some(listed), Some(found), _) => listed.with(found).map_err(|cause| PepperFileError::List { file, cause })?,
        (Some(listed), None, _) => listed,
        (None, Some(found), _) => found.into(),
        (None, None, Some(recorded)) => match read(&unfinished(&file))? {
            // The first start was interrupted between the store and the name of the file.
            Some(found) if found.id() == recorded => {
                let generated = Some(Generated { id: recorded, file });
                return Ok(Some(Resolved { peppers: found.into(), generated }));
            }
            _ => return Err(PepperFileError::Missing { recorded, file }),
        },
        (None, None, None) => return Ok(None),
    };
    Ok(Some(Resolved { peppers, generated: None }))
}

impl Resolved {
    /// Gives a generated pepper's file its name, once the store has recorded the pepper: from then on a pepper without a
    /// store, and a store without a pepper, mean that the other one is lost.
    pub fn keep(&self) -> Result<(), PepperFileError> {
        let Some(Generated { id, file }) = &self.generated else { return Ok(()) };
        let name = || {
            fs::rename(unfinished(file), file)?;
            File::open(directory(file))?.sync_all()
        };
        name().map_err(|cause| PepperFileError::File { file: file.clone(), cause })?;
        warn!(
            file = %file.display(), pepper = %id,
            "generated a pepper; back it up: without it no stored key can be found"
        );
        Ok(())
    }
}

fn read(file: &Path) -> Result<Option<Pepper>, PepperFileError> {
    // Not the cause of `Pepper::checked`, which advises to create one: for a store in use only the lost one helps.
    let damaged = |_| io::Error::other("it does not hold a pepper of 32 random bytes or more");
    let read = || Pepper::checked(files::read(file, files::SECRET)?.trim_ascii_end()).map_err(damaged);
    match read() {
        Ok(pepper) => Ok(Some(pepper)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(PepperFileError::File { file: file.to_owned(), cause }),
    }
}

fn unfinished(file: &Path) -> PathBuf {
    file.with_extension("new")
}

fn directory(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("."))
}

/// Durable before the store records its check value: keys hashed with a pepper that a power failure deletes are lost.
fn generate(file: &Path) -> io::Result<Pepper> {
    let text = encode_pepper(rand::random());
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(unfinished(file))?;
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")?;
    out.sync_all()?;
    File::open(directory(file))?.sync_all()?;
    Pepper::new(text.as_bytes()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generated(data_dir: &Path) -> Peppers {
        let resolved = resolve(None, None, data_dir).unwrap();
        resolved.keep().unwrap();
        resolved.peppers
    }

    /// Until the store has recorded the pepper, the next start generates another one; from then on it keeps this one.
    #[test]
    fn a_first_start_that_was_interrupted_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let interrupted = resolve(None, None, directory.path()).unwrap();
        assert!(!file(directory.path()).exists());
        let other = resolve(None, None, directory.path()).unwrap();
        assert_ne!(interrupted.peppers.names(), other.peppers.names());
        let recorded = other.peppers.iter().next().map(Pepper::id);
        let again = resolve(None, recorded.clone(), directory.path()).unwrap();
        again.keep().unwrap();
        let found = resolve(None, recorded, directory.path()).unwrap();
        assert_eq!(found.peppers.names(), other.peppers.names());
        assert!(!directory.path().join("pepper.new").exists());
    }

    #[test]
    fn a_pepper_is_generated_once_and_never_for_a_filled_store() {
        let directory = tempfile::tempdir().unwrap();
        let first = generated(directory.path());
        let id = first.iter().next().map(Pepper::id);
        let again = resolve(None, id.clone(), directory.path()).unwrap().peppers;
        assert_eq!(first.names(), again.names());
        fs::remove_file(directory.path().join("pepper")).unwrap();
        let error = resolve(None, id, directory.path()).unwrap_err();
        assert!(matches!(error, PepperFileError::Missing { .. }), "{error}");
        assert!(!directory.path().join("pepper").exists());
    }

    #[test]
    fn the_generated_pepper_is_listed_after_the_configured_ones() {
        let directory = tempfile::tempdir().unwrap();
        let generated = generated(directory.path());
        let listed =
            |bytes: &[u8]| Peppers::new(bytes.iter().map(|byte| Pepper::new(&[*byte; 32]).unwrap()).collect()).unwrap();
        let both = resolve(Some(listed(&[1])), None, directory.path()).unwrap().peppers;
        assert_eq!(both.names(), format!("{}, {}", listed(&[1]).names(), generated.names()));
        let error = resolve(Some(listed(&[1, 2, 3])), None, directory.path()).unwrap_err();
        assert!(error.to_string().contains("4 peppers are listed"), "{error}");
        let text = fs::read_to_string(directory.path().join("pepper")).unwrap();
        let copied = Peppers::from(Pepper::new(text.trim_end().as_bytes()).unwrap());
        assert_eq!(resolve(Some(copied), None, directory.path()).unwrap().peppers.names(), generated.names());
    }

    #[test]
    fn a_file_without_a_valid_pepper_is_rejected() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pepper");
        for text in ["short\n".to_owned(), "a".repeat(64)] {
            fs::write(&file, text).unwrap();
            let error = resolve(None, None, directory.path()).unwrap_err().to_string();
            assert!(error.starts_with("pepper file ") && error.contains(": it does not hold a pepper "), "{error}");
        }
        fs::remove_file(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = resolve(None, None, directory.path()).unwrap_err().to_string();
        assert!(error.contains("is not a regular file"), "{error}");
    }
}

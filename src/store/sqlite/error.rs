//! Why a database does not open.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::store::{PepperFault, StoreError};

/// Why a database cannot be used. Waiting does not help; an operator must act.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The peppers that are listed are not the store's.
    #[error(transparent)]
    Pepper(#[from] PepperFault),
    /// What it holds cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Anything else, and of which file.
    #[error("{}{fault}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: Unusable,
    },
}

/// What is wrong with a file, in words that follow its name.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Another process has it open: `process 1234, started 2026-11-21T08:30:00.000Z`.
    #[error(" is owned by {0}")]
    Owned(String),
    /// It cannot be made, read or locked.
    #[error(": {0}")]
    Io(#[from] io::Error),
    /// SQLite cannot use it, and what it said.
    #[error(": {0}")]
    Sqlite(String),
    /// A newer version of Sentinel made it.
    #[error(" has schema version {found}, but this sentinel knows versions up to {known}: use a newer sentinel")]
    Schema {
        /// The database's schema version.
        found: i64,
        /// The newest schema version that this binary knows.
        known: i64,
    },
    /// Another program made it.
    #[error(" is a SQLite database, but not a sentinel's")]
    Foreign,
}

impl From<rusqlite::Error> for Unusable {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error.to_string())
    }
}

impl OpenError {
    /// Makes it of what is wrong with the file at `path`.
    pub(super) fn at<E: Into<Unusable>>(path: &Path) -> impl Fn(E) -> Self {
        |fault| Self::File { path: path.to_owned(), fault: fault.into() }
    }
}

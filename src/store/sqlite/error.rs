//! Why a database does not open.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::store::{PepperFault, StoreError};

/// Why a database cannot be used. Waiting does not help; an operator must act.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{} is owned by {owner}", path.display())]
    Owned {
        /// The database.
        path: PathBuf,
        /// `process 1234, started 2026-11-21T08:30:00.000Z`.
        owner: String,
    },
    /// A file cannot be made, read or locked.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// SQLite cannot use it.
    #[error("{}: {detail}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        detail: String,
    },
    /// A newer version of Sentinel made it.
    #[error("{} has schema version {found}, but this sentinel knows versions up to {known}: use a newer sentinel", path.display())]
    Schema {
        /// The database.
        path: PathBuf,
        /// The database's schema version.
        found: i64,
        /// The newest schema version that this binary knows.
        known: i64,
    },
    /// Another program made it.
    #[error("{} is a SQLite database, but not a sentinel's", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// The peppers that are listed are not the store's.
    #[error(transparent)]
    Pepper(#[from] PepperFault),
    /// What it holds cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An [`OpenError`] before the path is known to it.
#[derive(Debug)]
pub(super) enum Failure {
    Sqlite(String),
    Schema { found: i64, known: i64 },
    Foreign,
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error.to_string())
    }
}

impl Failure {
    pub(super) fn at(self, path: &Path) -> OpenError {
        let path = path.to_owned();
        match self {
            Self::Sqlite(detail) => OpenError::Sqlite { path, detail },
            Self::Schema { found, known } => OpenError::Schema { path, found, known },
            Self::Foreign => OpenError::Foreign { path },
        }
    }
}

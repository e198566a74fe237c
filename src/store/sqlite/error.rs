//! Errors of opening a database.

use std::{
    io,
    path::{Path, PathBuf},
};

use rusqlite::ErrorCode;

use crate::store::{PepperMismatch, StoreError};

/// Why a database cannot be used. Waiting does not help; an operator must act.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The listed peppers do not match the store.
    #[error(transparent)]
    Pepper(#[from] PepperMismatch),
    /// Its content cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be used.
    #[error("{}: {fault}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: Unusable,
    },
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Another process has it open: `process 1234, started 2026-11-21T08:30:00.000Z`.
    #[error("is in use by {0}; stop it, or give this server a data_dir and a database of its own")]
    Owned(String),
    /// It cannot be created, read or locked.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// SQLite cannot use it, with the error of SQLite.
    #[error("{0}")]
    Sqlite(String),
    /// A newer version of Sentinel created it.
    #[error(
        "has schema version {found}, but this version of Sentinel supports versions up to {known}; use a newer version of Sentinel"
    )]
    Schema {
        /// The database's schema version.
        found: i64,
        /// The newest schema version that this binary knows.
        known: i64,
    },
    /// It is missing, and must not be created.
    #[error("does not exist")]
    Missing,
    /// It has no store, and none must be created in it.
    #[error("is empty")]
    Empty,
    /// Another program created it.
    #[error("is a SQLite database, but was not made by Sentinel; use another path")]
    Foreign,
}

impl From<rusqlite::Error> for Unusable {
    fn from(error: rusqlite::Error) -> Self {
        let advice = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "; restore the database from a backup",
            _ => "",
        };
        Self::Sqlite(format!("{error}{advice}"))
    }
}

impl OpenError {
    /// Whether a store would have to be created.
    pub fn is_new_store(&self) -> bool {
        matches!(self, Self::File { fault: Unusable::Missing | Unusable::Empty, .. })
    }

    /// Makes the error for the file at `path`.
    pub(super) fn at<E: Into<Unusable>>(path: &Path) -> impl Fn(E) -> Self {
        |fault| Self::File { path: path.to_owned(), fault: fault.into() }
    }
}

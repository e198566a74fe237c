//! Between columns and domain values. What does not fit is [`StoreError::Corrupt`] and says where.

use std::{fmt::Display, str::FromStr};

use rusqlite::{
    ErrorCode, Row,
    types::{FromSql, Value},
};

use crate::{
    domain::{KeyDigest, Timestamp},
    store::{ChangeError, StoreError},
};

/// Callers only need to know whether waiting may help.
impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(
                ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::TypeMismatch
                | ErrorCode::ConstraintViolation
                | ErrorCode::Unknown,
            ) => Self::Corrupt(error.to_string()),
            // Everything that is not SQLite's own error is a value that does not have its column's type.
            None => Self::Corrupt(error.to_string()),
            Some(_) => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<rusqlite::Error> for ChangeError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

fn unreadable(name: &str, why: impl Display) -> StoreError {
    StoreError::Corrupt(format!("{name}: {why}"))
}

/// The value at `at`; `name` is its table and column.
pub(super) fn column<T: FromSql>(row: &Row<'_>, at: usize, name: &str) -> Result<T, StoreError> {
    row.get(at).map_err(|error| unreadable(name, error))
}

/// A text in its type's own grammar.
pub(super) fn parsed<T>(row: &Row<'_>, at: usize, name: &str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: Display,
{
    column::<String>(row, at, name)?.parse().map_err(|error: T::Err| unreadable(name, error))
}

/// A text in its type's own grammar, or NULL.
pub(super) fn parsed_or_null<T>(row: &Row<'_>, at: usize, name: &str) -> Result<Option<T>, StoreError>
where
    T: FromStr,
    T::Err: Display,
{
    match column(row, at, name)? {
        Value::Null => Ok(None),
        _ => parsed(row, at, name).map(Some),
    }
}

/// A word of the closed list that `from_word` knows.
pub(super) fn word<T>(row: &Row<'_>, at: usize, name: &str, from_word: fn(&str) -> Option<T>) -> Result<T, StoreError> {
    let text: String = column(row, at, name)?;
    from_word(&text).ok_or_else(|| unreadable(name, format_args!("unknown word {text:?}")))
}

/// A moment.
pub(super) fn moment(row: &Row<'_>, at: usize, name: &str) -> Result<Timestamp, StoreError> {
    column(row, at, name).map(Timestamp::from_millis)
}

/// A moment, or NULL.
pub(super) fn moment_or_null(row: &Row<'_>, at: usize, name: &str) -> Result<Option<Timestamp>, StoreError> {
    Ok(column::<Option<i64>>(row, at, name)?.map(Timestamp::from_millis))
}

/// A look-up digest.
pub(super) fn digest(row: &Row<'_>, at: usize, name: &str) -> Result<KeyDigest, StoreError> {
    column(row, at, name).map(KeyDigest::from_bytes)
}

/// A number of things.
pub(super) fn count(row: &Row<'_>, at: usize, name: &str) -> Result<u64, StoreError> {
    let count: i64 = column(row, at, name)?;
    u64::try_from(count).map_err(|error| unreadable(name, error))
}

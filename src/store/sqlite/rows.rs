//! Statements and their rows.

use rusqlite::{Connection, ErrorCode, Params, Row, ToSql, params_from_iter, types::ValueRef};

use crate::{
    domain::{Network, Timestamp},
    store::{
        StoreError, WriteObstacle,
        columns::{Columns, unreadable},
        selection::Dialect,
    },
};

/// The clock of the store, in SQL.
pub(super) const NOW: &str = "CAST(round(unixepoch('subsec') * 1000) AS INTEGER)";

/// Callers need to know only whether a retry may succeed.
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
            // Any other error means that a value does not have the type of its column.
            None => Self::Corrupt(error.to_string()),
            Some(_) => match obstacle(&error) {
                Some(obstacle) => Self::NotWritten(obstacle, error.to_string()),
                None => Self::Unavailable(error.to_string()),
            },
        }
    }
}

/// What kept SQLite from writing. After any of these errors, also of a COMMIT, nothing of the transaction is in the
/// write-ahead log that a later open would read. That does not hold for a failed sync, whose transaction may be there.
pub(super) fn obstacle(error: &rusqlite::Error) -> Option<WriteObstacle> {
    match error.sqlite_error()? {
        error if error.code == ErrorCode::DiskFull => Some(WriteObstacle::DiskFull),
        error if error.code == ErrorCode::ReadOnly => Some(WriteObstacle::ReadOnly),
        error if error.extended_code == rusqlite::ffi::SQLITE_IOERR_WRITE => Some(WriteObstacle::DiskFault),
        error if error.code == ErrorCode::DatabaseBusy => Some(WriteObstacle::Passing),
        _ => None,
    }
}

/// Returns all rows of `sql`.
pub(super) fn all<T>(
    conn: &Connection,
    sql: &str,
    values: impl Params,
    read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    conn.prepare_cached(sql)?.query_and_then(values, read)?.collect()
}

/// Returns the first row of `sql`, if there is one.
pub(super) fn first<T>(
    conn: &Connection,
    sql: &str,
    values: impl Params,
    read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    conn.prepare_cached(sql)?.query_and_then(values, read)?.next().transpose()
}

/// Returns the number of rows that `sql` changed.
pub(super) fn execute(conn: &Connection, sql: &str, values: impl Params) -> Result<u64, StoreError> {
    Ok(conn.prepare_cached(sql)?.execute(values)? as u64)
}

/// The parameters of a statement that is built at run time.
#[derive(Default)]
pub(super) struct Parameters(Vec<Box<dyn ToSql>>);

impl Parameters {
    fn with(&mut self, value: impl ToSql + 'static) -> String {
        self.0.push(Box::new(value));
        format!("?{}", self.0.len())
    }

    pub(super) fn values(&self) -> impl Params {
        params_from_iter(&self.0)
    }
}

impl Dialect for Parameters {
    const NOW: &str = NOW;
    const POSITION: &str = "instr";

    fn text(&mut self, value: String) -> String {
        self.with(value)
    }

    fn integer(&mut self, value: i64) -> String {
        self.with(value)
    }

    fn moment(&mut self, value: Timestamp) -> String {
        self.with(value.as_millis())
    }

    fn is_network(&mut self, column: &str, network: Network) -> String {
        format!("{column} = {}", self.with(network.to_string()))
    }

    /// Unchanged: SQLite merges the two halves in order, stops at the limit and sorts nothing.
    fn half(&mut self, select: String, _order: &str, _most: i64) -> String {
        select
    }
}

impl Columns for Row<'_> {
    fn text_or_null(&self, at: usize, name: &str) -> Result<Option<&str>, StoreError> {
        value(self, at)?.as_str_or_null().map_err(|error| unreadable(name, error))
    }

    fn integer_or_null(&self, at: usize, name: &str) -> Result<Option<i64>, StoreError> {
        value(self, at)?.as_i64_or_null().map_err(|error| unreadable(name, error))
    }

    fn moment_or_null(&self, at: usize, name: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.integer_or_null(at, name)?.map(Timestamp::from_millis))
    }

    fn bytes(&self, at: usize, name: &str) -> Result<&[u8], StoreError> {
        value(self, at)?.as_blob().map_err(|error| unreadable(name, error))
    }

    fn flag(&self, at: usize, name: &str) -> Result<bool, StoreError> {
        Ok(self.integer(at, name)? != 0)
    }
}

fn value<'a>(row: &'a Row<'_>, at: usize) -> Result<ValueRef<'a>, StoreError> {
    Ok(row.get_ref(at)?)
}

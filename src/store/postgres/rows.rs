//! Statements, their values, and their rows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio_postgres::{
    Row,
    types::{FromSql, ToSql},
};

use crate::{
    domain::{KeyId, Network, Timestamp},
    store::{
        StoreError,
        columns::{self, Columns, unreadable},
        selection::Dialect,
    },
};

/// A value of a statement.
pub(super) type Value = Box<dyn ToSql + Sync + Send>;

/// A statement and its values.
pub(super) struct Step {
    pub(super) sql: &'static str,
    pub(super) values: Vec<Value>,
}

/// `step!("SQL", value, …)`.
macro_rules! step {
    ($sql:expr $(, $value:expr)* $(,)?) => {
        $crate::store::postgres::rows::Step { sql: $sql, values: vec![$(Box::new($value)),*] }
    };
}
pub(super) use step;

/// The parameters of a statement that is built at run time.
#[derive(Default)]
pub(super) struct Parameters(Vec<Value>);

impl Parameters {
    fn with(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.0.push(Box::new(value));
        format!("${}", self.0.len())
    }

    pub(super) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}

impl Dialect for Parameters {
    const NOW: &str = "clock_timestamp()";
    const POSITION: &str = "strpos";

    fn text(&mut self, value: String) -> String {
        self.with(value)
    }

    fn integer(&mut self, value: i64) -> String {
        self.with(value)
    }

    fn moment(&mut self, value: Timestamp) -> String {
        self.with(time(value))
    }

    /// `&&` is the operator that the index supports; the comparison then requires the same prefix length.
    fn is_network(&mut self, column: &str, network: Network) -> String {
        let network = self.with(network.to_string());
        format!("{column} && {network}::text::cidr AND {column} = {network}::text::cidr")
    }

    /// Each half stops at the limit; only the rows of both are sorted.
    fn half(&mut self, select: String, order: &str, most: i64) -> String {
        format!("({select} ORDER BY {order} LIMIT {})", self.integer(most))
    }
}

impl Columns for Row {
    fn text_or_null(&self, at: usize, name: &str) -> Result<Option<&str>, StoreError> {
        column(self, at, name)
    }

    fn integer_or_null(&self, at: usize, name: &str) -> Result<Option<i64>, StoreError> {
        column(self, at, name)
    }

    fn moment_or_null(&self, at: usize, name: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(column::<Option<SystemTime>>(self, at, name)?.map(from_time))
    }

    fn bytes(&self, at: usize, name: &str) -> Result<&[u8], StoreError> {
        column(self, at, name)
    }

    fn flag(&self, at: usize, name: &str) -> Result<bool, StoreError> {
        column(self, at, name)
    }
}

/// The value at `at`; `name` is its table and column.
pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, at: usize, name: &str) -> Result<T, StoreError> {
    row.try_get(at).map_err(|error| unreadable(name, error))
}

/// Reads the ids in the first column.
pub(super) fn ids(rows: &[Row]) -> Result<Vec<KeyId>, StoreError> {
    rows.iter().map(columns::key_id).collect()
}

/// Reads an array of networks, as texts; NULL is an empty list.
pub(super) fn networks(row: &Row, at: usize, name: &str) -> Result<Vec<Network>, StoreError> {
    let texts: Option<Vec<&str>> = column(row, at, name)?;
    let parsed = |text: &str| text.parse().map_err(|error| unreadable(name, error));
    texts.unwrap_or_default().into_iter().map(parsed).collect()
}

/// The value of a `cidr[]`, passed as `text[]`.
pub(super) fn texts(networks: &[Network]) -> Vec<String> {
    networks.iter().map(Network::to_string).collect()
}

/// The end of the year 9999, the last moment that a [`Timestamp`] prints; PostgreSQL supports later ones.
const LAST: Duration = Duration::from_millis(253_402_300_799_999);

/// The value of a `timestamptz`. A time that saturated becomes the end of the year 9999.
pub(super) fn time(at: Timestamp) -> SystemTime {
    let since_epoch = Duration::from_millis(at.as_millis().unsigned_abs());
    match at.as_millis() {
        0.. => UNIX_EPOCH + since_epoch.min(LAST),
        // As far before the epoch as PostgreSQL supports.
        _ => UNIX_EPOCH - since_epoch.min(Duration::from_hours(24 * 365 * 2000)),
    }
}

/// Reads a `timestamptz`, without its microseconds.
pub(super) fn from_time(at: SystemTime) -> Timestamp {
    let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(match at.duration_since(UNIX_EPOCH) {
        Ok(after) => millis(after),
        Err(before) => -millis(before.duration()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_comes_back_and_one_without_end_is_the_last() {
        for millis in [0, 1, 1_767_225_600_123, -86_400_000] {
            let at = Timestamp::from_millis(millis);
            assert_eq!(from_time(time(at)), at);
        }
        assert_eq!(time(Timestamp::from_millis(i64::MAX)), UNIX_EPOCH + LAST);
        assert!(time(Timestamp::from_millis(i64::MIN)) < UNIX_EPOCH);
    }
}

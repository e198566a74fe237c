//! Between columns and domain values. What does not fit is [`StoreError::Corrupt`] and says where.

use std::{
    fmt::Display,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio_postgres::{
    Row,
    types::{FromSql, ToSql},
};

use crate::{
    domain::{KeyDigest, Network, Timestamp},
    store::StoreError,
};

/// A value on its way to a statement.
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

/// The values of a statement that is made for once.
#[derive(Default)]
pub(super) struct Asked(Vec<Value>);

impl Asked {
    /// The place of one more value: `$1`, …
    pub(super) fn with(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.0.push(Box::new(value));
        format!("${}", self.0.len())
    }

    pub(super) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()
    }
}

fn unreadable(name: &str, why: impl Display) -> StoreError {
    StoreError::Corrupt(format!("{name}: {why}"))
}

/// The value at `at`; `name` is its table and column.
pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, at: usize, name: &str) -> Result<T, StoreError> {
    row.try_get(at).map_err(|error| unreadable(name, error))
}

/// A text in its type's own grammar.
pub(super) fn parsed<T>(row: &Row, at: usize, name: &str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: Display,
{
    column::<&str>(row, at, name)?.parse().map_err(|error: T::Err| unreadable(name, error))
}

/// A text in its type's own grammar, or NULL.
pub(super) fn parsed_or_null<T>(row: &Row, at: usize, name: &str) -> Result<Option<T>, StoreError>
where
    T: FromStr,
    T::Err: Display,
{
    let text: Option<&str> = column(row, at, name)?;
    text.map(|text| text.parse().map_err(|error: T::Err| unreadable(name, error))).transpose()
}

/// A word of the closed list that `from_word` knows.
pub(super) fn word<T>(row: &Row, at: usize, name: &str, from_word: fn(&str) -> Option<T>) -> Result<T, StoreError> {
    let text: &str = column(row, at, name)?;
    from_word(text).ok_or_else(|| unreadable(name, format_args!("unknown word {text:?}")))
}

/// A moment.
pub(super) fn moment(row: &Row, at: usize, name: &str) -> Result<Timestamp, StoreError> {
    column(row, at, name).map(from_time)
}

/// A moment, or NULL.
pub(super) fn moment_or_null(row: &Row, at: usize, name: &str) -> Result<Option<Timestamp>, StoreError> {
    Ok(column::<Option<SystemTime>>(row, at, name)?.map(from_time))
}

/// A look-up digest.
pub(super) fn digest(row: &Row, at: usize, name: &str) -> Result<KeyDigest, StoreError> {
    let bytes: &[u8] = column(row, at, name)?;
    bytes.try_into().map(KeyDigest::from_bytes).map_err(|error| unreadable(name, error))
}

/// A number of things.
pub(super) fn count(row: &Row, at: usize, name: &str) -> Result<u64, StoreError> {
    let count: i64 = column(row, at, name)?;
    u64::try_from(count).map_err(|error| unreadable(name, error))
}

/// An array of networks, as texts; NULL is none.
pub(super) fn networks(row: &Row, at: usize, name: &str) -> Result<Vec<Network>, StoreError> {
    let texts: Option<Vec<&str>> = column(row, at, name)?;
    let parsed = |text: &str| text.parse().map_err(|error| unreadable(name, error));
    texts.unwrap_or_default().into_iter().map(parsed).collect()
}

/// For a `cidr[]`, by way of `text[]`.
pub(super) fn texts(networks: &[Network]) -> Vec<String> {
    networks.iter().map(Network::to_string).collect()
}

/// The end of the year 9999, as far as a [`Timestamp`] prints: PostgreSQL's own calendar ends later.
const LAST: Duration = Duration::from_millis(253_402_300_799_999);

/// For a `timestamptz`. A "for ever" that saturated is the end of the year 9999.
pub(super) fn time(at: Timestamp) -> SystemTime {
    let since_epoch = Duration::from_millis(at.as_millis().unsigned_abs());
    match at.as_millis() {
        0.. => UNIX_EPOCH + since_epoch.min(LAST),
        // As far before the epoch as PostgreSQL has dates for.
        _ => UNIX_EPOCH - since_epoch.min(Duration::from_hours(24 * 365 * 2000)),
    }
}

/// From a `timestamptz`, without its microseconds.
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

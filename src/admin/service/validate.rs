//! Validates the fields of commands.

use std::time::Duration;

use super::FieldError;
use crate::{
    domain::{Network, Timestamp, addr::NetworkError, text::is_control},
    store::RecordId,
};

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;
const MAX_LINE: usize = 200;
/// The most networks of a key. An operator with more should use a wider CIDR.
const MAX_NETWORKS: usize = 256;

pub(super) fn network(field: &'static str, text: &str) -> Result<Network, FieldError> {
    text.parse().map_err(|error| match error {
        NetworkError::Unparsable(_) => FieldError::new(field, "not an IP address or CIDR"),
        NetworkError::HostBits { .. } | NetworkError::MappedIpv4(_) => FieldError::new(field, error),
    })
}

pub(super) fn networks(texts: &[String]) -> Result<Vec<Network>, FieldError> {
    if texts.len() > MAX_NETWORKS {
        return Err(FieldError::new("networks", "at most 256").with_fix("use a wider CIDR"));
    }
    texts.iter().map(|text| network("networks", text)).collect()
}

/// A value of an enumeration, whose words are `words`.
pub(super) fn word<T>(
    field: &'static str,
    text: Option<&str>,
    read: fn(&str) -> Option<T>,
    words: &[&str],
) -> Result<Option<T>, FieldError> {
    let why = || FieldError::new(field, format_args!("must be one of {}, or empty for all", words.join(", ")));
    text.map(|text| read(text).ok_or_else(why)).transpose()
}

pub(super) fn limit(rows: Option<u32>) -> Result<u32, FieldError> {
    match rows {
        None => Ok(DEFAULT_LIMIT),
        Some(rows @ 1..=MAX_LIMIT) => Ok(rows),
        Some(_) => Err(FieldError::new("limit", "must be 1 to 1000, or 0 for 100")),
    }
}

/// A single line of text.
pub(super) fn line(field: &'static str, text: String) -> Result<String, FieldError> {
    // They could forge lines in an operator's terminal and in text logs.
    if text.chars().any(is_control) {
        return Err(FieldError::new(field, "must not contain control characters"));
    }
    if text.chars().count() > MAX_LINE {
        return Err(FieldError::new(field, "must have at most 200 characters"));
    }
    Ok(text)
}

pub(super) fn record(number: Option<i64>) -> Result<Option<RecordId>, FieldError> {
    match number {
        Some(..=0) => Err(FieldError::new("record", "must be the number of an audit record")),
        number => Ok(number.map(RecordId)),
    }
}

pub(super) fn moment(field: &'static str, millis: Option<i64>) -> Result<Option<Timestamp>, FieldError> {
    let millis = millis.map(|millis| non_negative(field, millis).map(|_| millis)).transpose()?;
    Ok(millis.map(Timestamp::from_millis))
}

pub(super) fn span(field: &'static str, millis: Option<i64>) -> Result<Option<Duration>, FieldError> {
    millis.map(|millis| non_negative(field, millis).map(Duration::from_millis)).transpose()
}

fn non_negative(field: &'static str, millis: i64) -> Result<u64, FieldError> {
    u64::try_from(millis).map_err(|_| FieldError::new(field, "must not be negative"))
}

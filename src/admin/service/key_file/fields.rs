//! Reads the fields of a line. Every error names the field but never repeats its value, because an operator may import
//! a file of raw keys by mistake.

use std::collections::BTreeMap;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, IgnoredAny},
};
use serde_json::Value;

use crate::{
    admin::service::error::FieldError,
    domain::{Hint, PepperId, Timestamp, text::is_control},
};

/// The most characters of a text.
const MAX_TEXT: usize = 200;

/// The end of the year 9999, where every store's calendar ends.
const LAST_MS: i64 = 253_402_300_799_999;

/// Parses a line as JSON. A field that is `null` counts as absent.
pub(super) fn parse(line: &[u8]) -> Result<Value, FieldError> {
    let mut value = serde_json::from_slice(line)
        .map_err(|error| FieldError::new("", format_args!("is not valid JSON (column {})", error.column())))?;
    drop_nulls(&mut value);
    Ok(value)
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(values) => values.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Deserializes `value`, or returns the first error.
pub(super) fn read<T: DeserializeOwned>(value: Value) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = match error.path().to_string() {
            root if root == "." => String::new(),
            path => path,
        };
        let message = error.into_inner().to_string();
        if let Some(name) = message.strip_prefix("missing field `") {
            let parent = if path.is_empty() { path } else { format!("{path}.") };
            return FieldError::new(parent + name.trim_end_matches('`'), "is missing");
        }
        // Drop the part before `expected`, in which serde repeats the value.
        match message.rsplit_once(", expected ") {
            Some((_, "u64")) => FieldError::new(path, "must be a non-negative integer"),
            Some((_, "a boolean")) => FieldError::new(path, "must be true or false"),
            Some((_, "a string")) => FieldError::new(path, "must be a string"),
            Some((_, "a sequence")) => FieldError::new(path, "must be an array"),
            Some((_, expected)) => FieldError::new(path, format_args!("must be {expected}")),
            None => FieldError::new(path, message),
        }
    })
}

/// The end of an object: rejects unknown fields, because dropping them would lose data. Unlike `deny_unknown_fields`,
/// it reports a missing field first, and does not repeat the name of the unknown field, which may be a key.
pub(super) struct End;

impl<'de> Deserialize<'de> for End {
    fn deserialize<D: Deserializer<'de>>(rest: D) -> Result<Self, D::Error> {
        match BTreeMap::<String, IgnoredAny>::deserialize(rest)?.is_empty() {
            true => Ok(Self),
            false => Err(D::Error::custom("has an unknown field")),
        }
    }
}

/// A line of text.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match String::deserialize(from)? {
        text if text.is_empty() => Err(D::Error::custom("is empty")),
        // They could forge lines in an operator's terminal and in text logs.
        text if text.chars().any(is_control) => Err(D::Error::custom("must not contain control characters")),
        text if text.chars().count() > MAX_TEXT => Err(D::Error::custom("must have at most 200 characters")),
        text => Ok(text),
    }
}

pub(super) fn maybe_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    text(from).map(Some)
}

/// Milliseconds since the Unix epoch.
pub(super) fn moment<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    let millis = u64::deserialize(from)?;
    Ok(Timestamp::from_millis(i64::try_from(millis).map_or(LAST_MS, |millis| millis.min(LAST_MS))))
}

pub(super) fn maybe_moment<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    moment(from).map(Some)
}

pub(super) fn pepper_id<'de, D: Deserializer<'de>>(from: D) -> Result<PepperId, D::Error> {
    text(from)?.parse().map_err(|_| D::Error::custom("must be 8 lower-case hex digits"))
}

/// Checks the format, because hints are displayed: a file could otherwise have whole keys displayed.
pub(super) fn hint<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Hint>, D::Error> {
    let text = text(from)?;
    let fits = text.chars().count() == 9 && text.chars().enumerate().all(|(nth, c)| (nth == 4) == (c == '…'));
    if fits { Ok(Some(Hint::from_stored(text))) } else { Err(D::Error::custom("must be 4 characters, … and 4 more")) }
}

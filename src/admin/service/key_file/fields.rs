//! What a line of a key file may hold. Every fault names its field, and none repeats what stands there: somebody may have
//! taken a file of raw keys for one of digests.

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

/// The JSON of a line. A field that is `null` is as good as absent.
pub(super) fn parse(line: &[u8]) -> Result<Value, FieldError> {
    let mut value = serde_json::from_slice(line)
        .map_err(|error| FieldError::new("", format_args!("is no JSON, from column {} on", error.column())))?;
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

/// What `value` holds, or the first fault in it.
pub(super) fn read<T: DeserializeOwned>(value: Value) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = match error.path().to_string() {
            root if root == "." => String::new(),
            path => path,
        };
        let said = error.into_inner().to_string();
        if let Some(name) = said.strip_prefix("missing field `") {
            let parent = if path.is_empty() { path } else { format!("{path}.") };
            return FieldError::new(parent + name.trim_end_matches('`'), "is missing");
        }
        // Before that word serde repeats what it found.
        match said.rsplit_once(", expected ") {
            Some((_, "u64")) => FieldError::new(path, "must be a whole number, from 0"),
            Some((_, "a boolean")) => FieldError::new(path, "must be true or false"),
            Some((_, "a string")) => FieldError::new(path, "must be a text"),
            Some((_, "a sequence")) => FieldError::new(path, "must be a list"),
            Some((_, expected)) => FieldError::new(path, format_args!("must be {expected}")),
            None => FieldError::new(path, said),
        }
    })
}

/// The end of an object: what this version does not know, it must not drop. Unlike with `deny_unknown_fields`, a missing
/// field is the first fault, and the name of the other, which may be a key, is not repeated.
pub(super) struct End;

impl<'de> Deserialize<'de> for End {
    fn deserialize<D: Deserializer<'de>>(rest: D) -> Result<Self, D::Error> {
        match BTreeMap::<String, IgnoredAny>::deserialize(rest)?.is_empty() {
            true => Ok(Self),
            false => Err(D::Error::custom("has a field that this version does not know")),
        }
    }
}

/// A line of text.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    match String::deserialize(from)? {
        text if text.is_empty() => Err(D::Error::custom("is empty")),
        // It could forge lines in an operator's terminal and in text logs.
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

/// Checked, for it is shown: whoever writes such files by hand must not have keys shown.
pub(super) fn hint<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Hint>, D::Error> {
    let text = text(from)?;
    let fits = text.chars().count() == 9 && text.chars().enumerate().all(|(nth, c)| (nth == 4) == (c == '…'));
    if fits { Ok(Some(Hint::from_stored(text))) } else { Err(D::Error::custom("must be 4 characters, … and 4 more")) }
}

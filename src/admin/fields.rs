//! One JSON object, field by field. Every fault names its field, and none repeats what stands there: somebody may have
//! taken a file of raw keys for one of digests.

use std::{fmt, str::FromStr};

use serde_json::{Map, Value};

use crate::domain::{KeyDigest, Timestamp, text::is_control};

/// The most characters of a text.
const MAX_TEXT: usize = 200;

/// The end of the year 9999, where every store's calendar ends.
const LAST_MS: u64 = 253_402_300_799_999;

/// Why a line is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// `binding.networks[2]`; empty for the line itself.
    field: String,
    why: String,
}

impl Fault {
    pub(super) fn new(field: impl Into<String>, why: impl fmt::Display) -> Self {
        Self { field: field.into(), why: why.to_string() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.why)
    }
}

/// What is left of an object.
pub(super) struct Fields {
    path: String,
    left: Map<String, Value>,
}

impl Fields {
    /// The object that is the whole of a line.
    pub(super) fn of_line(line: &[u8]) -> Result<Self, Fault> {
        let value = serde_json::from_slice(line)
            .map_err(|error| Fault::new("", format_args!("is no JSON, from column {} on", error.column())))?;
        Self::of(String::new(), value)
    }

    fn of(path: String, value: Value) -> Result<Self, Fault> {
        match value {
            Value::Object(left) => Ok(Self { path, left }),
            _ => Err(Fault::new(path, "must be an object")),
        }
    }

    /// The field's name as faults tell it.
    pub(super) fn name(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    fn missing(&self, name: &str) -> Fault {
        Fault::new(self.name(name), "is missing")
    }

    /// A line of text, if it is there.
    pub(super) fn maybe_text(&mut self, name: &str) -> Result<Option<String>, Fault> {
        let fault = |why| Err(Fault::new(self.name(name), why));
        match self.left.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => fault("is empty"),
            // It could forge lines in an operator's terminal and in text logs.
            Some(Value::String(text)) if text.chars().any(is_control) => fault("must not contain control characters"),
            Some(Value::String(text)) if text.chars().count() > MAX_TEXT => fault("must have at most 200 characters"),
            Some(Value::String(_)) => match self.take(name) {
                Some(Value::String(text)) => Ok(Some(text)),
                _ => Ok(None),
            },
            Some(_) => fault("must be a text"),
        }
    }

    pub(super) fn text(&mut self, name: &str) -> Result<String, Fault> {
        self.maybe_text(name)?.ok_or_else(|| self.missing(name))
    }

    /// A text in its type's own grammar, which `must` describes.
    pub(super) fn parsed<T: FromStr>(&mut self, name: &str, must: &str) -> Result<T, Fault> {
        self.text(name)?.parse().map_err(|_| Fault::new(self.name(name), must))
    }

    pub(super) fn bytes(&mut self, name: &str) -> Result<[u8; 32], Fault> {
        let digest: KeyDigest = self.parsed(name, "must be 64 lower-case hex digits")?;
        Ok(*digest.as_bytes())
    }

    pub(super) fn maybe_number(&mut self, name: &str) -> Result<Option<u64>, Fault> {
        let field = self.name(name);
        let number = |value: Value| value.as_u64().ok_or_else(|| Fault::new(field, "must be a whole number, from 0"));
        self.take(name).map(number).transpose()
    }

    pub(super) fn number(&mut self, name: &str) -> Result<u64, Fault> {
        self.maybe_number(name)?.ok_or_else(|| self.missing(name))
    }

    /// Milliseconds since the Unix epoch, if they are there.
    pub(super) fn maybe_moment(&mut self, name: &str) -> Result<Option<Timestamp>, Fault> {
        let millis = self.maybe_number(name)?.map(|millis| millis.min(LAST_MS));
        Ok(millis.and_then(|millis| i64::try_from(millis).ok()).map(Timestamp::from_millis))
    }

    pub(super) fn moment(&mut self, name: &str) -> Result<Timestamp, Fault> {
        self.maybe_moment(name)?.ok_or_else(|| self.missing(name))
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Fault> {
        let value = self.take(name).ok_or_else(|| self.missing(name))?;
        value.as_bool().ok_or_else(|| Fault::new(self.name(name), "must be true or false"))
    }

    pub(super) fn maybe_object(&mut self, name: &str) -> Result<Option<Self>, Fault> {
        let path = self.name(name);
        self.take(name).map(|value| Self::of(path, value)).transpose()
    }

    /// The objects of a list; none where it is missing.
    pub(super) fn objects(&mut self, name: &str) -> Result<Vec<Self>, Fault> {
        self.list(name)?.into_iter().map(|(path, value)| Self::of(path, value)).collect()
    }

    /// The texts of a list, each with its own name; none where it is missing.
    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<(String, String)>, Fault> {
        let text = |(path, value)| match value {
            Value::String(text) => Ok((path, text)),
            _ => Err(Fault::new(path, "must be a text")),
        };
        self.list(name)?.into_iter().map(text).collect()
    }

    fn list(&mut self, name: &str) -> Result<Vec<(String, Value)>, Fault> {
        let path = self.name(name);
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => {
                let named = |(nth, value)| (format!("{path}[{nth}]"), value);
                Ok(values.into_iter().enumerate().map(named).collect())
            }
            Some(_) => Err(Fault::new(path, "must be a list")),
        }
    }

    /// To be called at the end: what this version does not know, it must not drop.
    pub(super) fn end(self) -> Result<(), Fault> {
        if self.left.values().all(Value::is_null) {
            return Ok(());
        }
        Err(Fault::new(self.path, "has a field that this version does not know"))
    }
}

//! The data for undoing a change, as JSON that is stored with the audit record.
//!
//! The field names are a file format: every later version must read the rows of an earlier one.

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::domain::{
    Ban, Binding, Fingerprint, Hint, KeyId, Network, State, Timestamp,
    event::{Delta, Part, Transition},
};

/// Exactly one of the parts is present.
#[derive(Serialize, Deserialize)]
struct Row {
    #[serde(flatten)]
    key: Fingerprint,
    key_id: KeyId,
    #[serde(skip_serializing_if = "Option::is_none")]
    binding: Option<Transition<BindingRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ban: Option<Transition<BanRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<Transition<String>>,
}

/// A binding without its id and hint, which are stored next to it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct BindingRow {
    state: State,
    networks: Vec<Network>,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
}

/// A ban without its id and hint, which are stored next to it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct BanRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    actor: String,
    created_at: Timestamp,
}

/// The JSON of `delta` of the key `id`.
pub(crate) fn to_json(id: KeyId, delta: &Delta) -> Result<String, StoreError> {
    let Delta { key, part } = delta.clone();
    let empty = Row { key, key_id: id, binding: None, ban: None, note: None };
    let row = match part {
        Part::Binding(it) => Row { binding: Some(it.map(BindingRow::from)), ..empty },
        Part::Ban(it) => Row { ban: Some(it.map(BanRow::from)), ..empty },
        Part::Note(it) => Row { note: Some(it), ..empty },
    };
    serde_json::to_string(&row).map_err(unreadable)
}

/// The delta of a row that [`to_json`] wrote.
pub(crate) fn from_json(text: &str) -> Result<Delta, StoreError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let Row { key, key_id: id, binding, ban, note } =
        serde_path_to_error::deserialize(&mut json).map_err(unreadable)?;
    json.end().map_err(unreadable)?;
    let part = match (binding, ban, note) {
        (Some(it), None, None) => Part::Binding(it.map(|row| row.read(id, key.hint.clone()))),
        (None, Some(it), None) => Part::Ban(it.map(|row| row.read(id, key.hint.clone()))),
        (None, None, Some(it)) => Part::Note(it),
        _ => return Err(unreadable("must hold exactly one part of a key")),
    };
    Ok(Delta { key, part })
}

impl From<Binding> for BindingRow {
    fn from(binding: Binding) -> Self {
        let Binding { id: _, hint: _, state, networks, created_at, open_until, expires_at } = binding;
        Self { state, networks, created_at, open_until, expires_at }
    }
}

impl BindingRow {
    pub(crate) fn read(self, id: KeyId, hint: Option<Hint>) -> Binding {
        let Self { state, networks, created_at, open_until, expires_at } = self;
        Binding { id, hint, state, networks, created_at, open_until, expires_at }
    }
}

impl From<Ban> for BanRow {
    fn from(Ban { id: _, hint: _, until, reason, actor, created_at }: Ban) -> Self {
        Self { until, reason, actor, created_at }
    }
}

impl BanRow {
    pub(crate) fn read(self, id: KeyId, hint: Option<Hint>) -> Ban {
        let Self { until, reason, actor, created_at } = self;
        Ban { id, hint, until, reason, actor, created_at }
    }
}

fn unreadable(why: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("audit.delta: {why}"))
}

#[cfg(test)]
mod tests;

//! What it takes to undo a change, as the JSON that a store keeps beside the audit record.
//!
//! The names are a file format: rows of every earlier version must be read by every later one.

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::domain::{
    Ban, Binding, Fingerprint, Hint, KeyId, PepperId, State, Timestamp,
    event::{Delta, Part, Transition},
};

#[derive(Serialize, Deserialize)]
struct Row {
    digest: String,
    pepper: String,
    realm: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    key_id: String,
    #[serde(flatten)]
    part: PartRow,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PartRow {
    Binding { before: Option<BindingRow>, after: Option<BindingRow> },
    Ban { before: Option<BanRow>, after: Option<BanRow> },
    Note { before: Option<String>, after: Option<String> },
}

/// A binding without its id and hint.
#[derive(Serialize, Deserialize)]
pub(crate) struct BindingRow {
    state: String,
    networks: Vec<String>,
    created_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open_until: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
}

/// A ban without its id and hint.
#[derive(Serialize, Deserialize)]
pub(crate) struct BanRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    actor: String,
    created_at: i64,
}

/// The JSON of `delta`, which is of the key `id`.
pub(crate) fn to_json(id: KeyId, delta: &Delta) -> Result<String, StoreError> {
    let Delta { key, part } = delta;
    let row = Row {
        digest: key.digest.to_string(),
        pepper: key.pepper.to_string(),
        realm: key.realm.clone(),
        hint: key.hint.as_ref().map(|hint| hint.as_str().to_owned()),
        key_id: id.to_string(),
        part: match part {
            Part::Binding(Transition { before, after }) => {
                PartRow::Binding { before: before.as_ref().map(binding_row), after: after.as_ref().map(binding_row) }
            }
            Part::Ban(Transition { before, after }) => {
                PartRow::Ban { before: before.as_ref().map(ban_row), after: after.as_ref().map(ban_row) }
            }
            Part::Note(Transition { before, after }) => PartRow::Note { before: before.clone(), after: after.clone() },
        },
    };
    serde_json::to_string(&row).map_err(unreadable)
}

/// The delta of a row that [`to_json`] wrote.
pub(crate) fn from_json(text: &str) -> Result<Delta, StoreError> {
    let Row { digest, pepper, realm, hint, key_id, part } = serde_json::from_str(text).map_err(unreadable)?;
    let id: KeyId = key_id.parse().map_err(unreadable)?;
    let hint = hint.map(Hint::from_stored);
    let binding = |row: Option<BindingRow>| row.map(|row| row.read(id, hint.clone())).transpose();
    let ban = |row: Option<BanRow>| row.map(|row| row.read(id, hint.clone()));
    let part = match part {
        PartRow::Binding { before, after } => {
            Part::Binding(Transition { before: binding(before)?, after: binding(after)? })
        }
        PartRow::Ban { before, after } => Part::Ban(Transition { before: ban(before), after: ban(after) }),
        PartRow::Note { before, after } => Part::Note(Transition { before, after }),
    };
    let key = Fingerprint {
        digest: digest.parse().map_err(unreadable)?,
        pepper: PepperId::from_stored(pepper),
        realm,
        hint,
        others: Vec::new(),
    };
    Ok(Delta { key, part })
}

pub(crate) fn binding_row(binding: &Binding) -> BindingRow {
    BindingRow {
        state: binding.state.as_str().to_owned(),
        networks: binding.networks.iter().map(ToString::to_string).collect(),
        created_at: binding.created_at.as_millis(),
        open_until: binding.open_until.map(Timestamp::as_millis),
        expires_at: binding.expires_at.map(Timestamp::as_millis),
    }
}

impl BindingRow {
    pub(crate) fn read(self, id: KeyId, hint: Option<Hint>) -> Result<Binding, StoreError> {
        Ok(Binding {
            id,
            hint,
            state: State::from_word(&self.state).ok_or_else(|| unreadable(format!("state {:?}", self.state)))?,
            networks: self.networks.iter().map(|text| text.parse().map_err(unreadable)).collect::<Result<_, _>>()?,
            created_at: Timestamp::from_millis(self.created_at),
            open_until: self.open_until.map(Timestamp::from_millis),
            expires_at: self.expires_at.map(Timestamp::from_millis),
        })
    }
}

pub(crate) fn ban_row(ban: &Ban) -> BanRow {
    BanRow {
        until: ban.until.map(Timestamp::as_millis),
        reason: ban.reason.clone(),
        actor: ban.actor.clone(),
        created_at: ban.created_at.as_millis(),
    }
}

impl BanRow {
    pub(crate) fn read(self, id: KeyId, hint: Option<Hint>) -> Ban {
        Ban {
            id,
            hint,
            until: self.until.map(Timestamp::from_millis),
            reason: self.reason,
            actor: self.actor,
            created_at: Timestamp::from_millis(self.created_at),
        }
    }
}

fn unreadable(why: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("audit.delta: {why}"))
}

#[cfg(test)]
mod tests;

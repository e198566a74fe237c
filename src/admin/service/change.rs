//! Validates the changes that operators request: the result is a [`Change`] that cannot be invalid.

use std::time::Duration;

use super::{Error, FieldError, KeyReference, Service, validate};
use crate::{
    domain::{Network, Timestamp},
    store::{Action, Change},
};

/// 100 years (of 365 days). Keeps every time within what the stores and the formatter can represent.
const MAX_LASTING_MS: i64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// A requested change. Not `Debug`, because it may contain a key.
pub(crate) enum ChangeCommand {
    Key {
        key: KeyReference,
        action: KeyAction,
    },
    /// Undo the change of this audit record.
    Undo {
        record: Option<i64>,
    },
}

/// What to do to a key.
pub(crate) enum KeyAction {
    /// Remove its networks: give it to the network `to`, or delete the binding if `open`, else reserve it. `open =
    /// false` is rejected, because it could be meant as "reserve".
    Unbind { to: Option<String>, open: Option<bool> },
    /// Deny it for every client, indefinitely if no time is given. The reason may be empty.
    Ban { lasting_ms: Option<i64>, until_ms: Option<i64>, reason: String },
    /// Lift its ban.
    Unban,
    /// Give it exactly these networks. `reserve` must be true if and only if there are none, because an empty list
    /// alone may be a mistake.
    Set { networks: Vec<String>, reserve: bool },
    /// Give it its networks, at least one, before its first use.
    Claim { networks: Vec<String> },
    /// Write or remove the note on its binding.
    Note { text: Option<String>, remove: Option<bool> },
}

impl Service {
    /// Validates `command` at the time `now`.
    pub(super) fn change_of(&self, command: ChangeCommand, now: Option<Timestamp>) -> Result<Change, Error> {
        match command {
            ChangeCommand::Key { key, action } => {
                Ok(Change::Key { target: self.target(&key)?, action: action.validate(now)? })
            }
            ChangeCommand::Undo { record } => {
                let missing = || FieldError::new("record", "is missing; give the number of the audit record");
                Ok(Change::Undo(validate::record(record)?.ok_or_else(missing)?))
            }
        }
    }
}

impl KeyAction {
    fn validate(self, now: Option<Timestamp>) -> Result<Action, Error> {
        Ok(match self {
            Self::Unbind { to, open } => unbind(to, open)?,
            Self::Ban { lasting_ms, until_ms, reason } => Action::Ban {
                lasting: lasting(lasting_ms, until_ms, now.ok_or(Error::NotReady)?)?,
                reason: Some(validate::line("reason", reason)?).filter(|text| !text.is_empty()),
            },
            Self::Unban => Action::Unban,
            Self::Set { networks, reserve } => Action::Set(set(&networks, reserve)?),
            Self::Claim { networks } if networks.is_empty() => {
                return Err(FieldError::new("networks", "is empty; give at least one").into());
            }
            Self::Claim { networks } => Action::Claim(validate::networks(&networks)?),
            Self::Note { text, remove } => Action::Note(note(text, remove)?),
        })
    }
}

fn unbind(to: Option<String>, open: Option<bool>) -> Result<Action, FieldError> {
    match (to, open) {
        (None, None) => Ok(Action::Reserve),
        (Some(text), None) => validate::network("to", &text).map(Action::HandOver),
        (None, Some(true)) => Ok(Action::Open),
        (_, Some(false)) => Err(FieldError::new("open", "must be true").with_fix("leave it out to reserve the key")),
        (Some(_), Some(true)) => Err(FieldError::new("open", "cannot be given together with `to`")),
    }
}

fn set(networks: &[String], reserve: bool) -> Result<Vec<Network>, FieldError> {
    match (networks.is_empty(), reserve) {
        (true, false) => Err(FieldError::new("networks", "is empty; give at least one, or reserve the key")),
        (false, true) => Err(FieldError::new("reserve", "cannot be given together with `networks`")),
        _ => validate::networks(networks),
    }
}

fn note(text: Option<String>, remove: Option<bool>) -> Result<Option<String>, FieldError> {
    match (text, remove) {
        (Some(text), None) if text.is_empty() => {
            Err(FieldError::new("text", "is empty").with_fix("use remove to remove the note"))
        }
        (Some(text), None) => validate::line("text", text).map(Some),
        (None, Some(true)) => Ok(None),
        (_, Some(false)) => Err(FieldError::new("remove", "must be true").with_fix("leave it out to write a note")),
        (Some(_), Some(true)) => Err(FieldError::new("remove", "cannot be given together with `text`")),
        (None, None) => Err(FieldError::new("note", "is missing; give text or remove")),
    }
}

/// The duration of a ban that is made at `now`; `None` means indefinitely.
fn lasting(lasting: Option<i64>, until: Option<i64>, now: Timestamp) -> Result<Option<Duration>, FieldError> {
    let until_now = |until: i64| match until.saturating_sub(now.as_millis()) {
        ..=0 => Err("must be in the future"),
        millis @ 1..=MAX_LASTING_MS => Ok(millis),
        _ => Err("must be at most 100 years from now"),
    };
    let millis = match (lasting, until) {
        (Some(_), Some(_)) => return Err(FieldError::new("until_ms", "cannot be given together with `lasting_ms`")),
        (None, Some(until)) => until_now(until).map_err(|why| FieldError::new("until_ms", why))?,
        (lasting, None) => lasting.unwrap_or(0),
    };
    match millis {
        0 => Ok(None),
        1..=MAX_LASTING_MS => Ok(Some(Duration::from_millis(millis.unsigned_abs()))),
        ..0 => Err(FieldError::new("lasting_ms", "must not be negative")),
        _ => Err(FieldError::new("lasting_ms", "at most 100 years")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `oneof` of gRPC cannot have both; another transport may send both.
    #[test]
    fn fields_that_cannot_be_given_together_are_rejected() {
        let text = || Some("10.0.0.0/8".to_owned());
        let cases = [
            (unbind(text(), Some(true)).map(|_| ()), "open: cannot be given together with `to`"),
            (unbind(text(), Some(false)).map(|_| ()), "open: must be true; leave it out to reserve the key"),
            (note(text(), Some(true)).map(|_| ()), "remove: cannot be given together with `text`"),
            (note(text(), Some(false)).map(|_| ()), "remove: must be true; leave it out to write a note"),
            (note(None, None).map(|_| ()), "note: is missing; give text or remove"),
        ];
        for (result, expected) in cases {
            assert_eq!(result.unwrap_err().to_string(), expected);
        }
    }
}

//! What operators ask to be changed, read into a [`Change`] that cannot be invalid.

use std::time::Duration;

use super::{Error, FieldError, KeyReference, Service, validate};
use crate::{
    domain::{Network, Timestamp},
    store::{Action, Change},
};

/// A hundred years: far more than anyone means, far less than a store's or a formatter's last date.
const MAX_LASTING_MS: i64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// A change as it is asked for. No `Debug`: it may hold a key.
pub(crate) enum ChangeCommand {
    Key {
        key: KeyReference,
        action: KeyAction,
    },
    /// Take back the change of this audit record.
    Undo {
        record: Option<i64>,
    },
}

/// What to do to a key.
pub(crate) enum KeyAction {
    /// Take it from its networks: give it to this one, or forget the binding (`false` is refused: whether it means
    /// "reserve" is not known), or else reserve it.
    Unbind { to: Option<String>, open: Option<bool> },
    /// Refuse it everywhere; without a time indefinitely. The reason may be empty.
    Ban { lasting_ms: Option<i64>, until_ms: Option<i64>, reason: String },
    /// Lift its ban.
    Unban,
    /// Give it exactly these networks. `reserve` must be true where there are none, and only there: an empty list alone
    /// may be a mistake.
    Set { networks: Vec<String>, reserve: bool },
    /// Give it its networks, at least one, before its first use.
    Claim { networks: Vec<String> },
    /// Write a note beside its binding, or remove it.
    Note { text: Option<String>, remove: Option<bool> },
}

impl Service {
    /// The change that `command` means, if it is made at `now`.
    pub(super) fn change_of(&self, command: ChangeCommand, now: Option<Timestamp>) -> Result<Change, Error> {
        match command {
            ChangeCommand::Key { key, action } => {
                Ok(Change::Key { target: self.target(&key)?, action: action.validate(now)? })
            }
            ChangeCommand::Undo { record } => {
                let unnamed = || FieldError::new("record", "say which, by its number in the audit");
                Ok(Change::Undo(validate::record(record)?.ok_or_else(unnamed)?))
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
                return Err(FieldError::new("networks", "name at least one").into());
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
        (Some(_), Some(true)) => Err(FieldError::new("open", "give this or to, not both")),
    }
}

fn set(networks: &[String], reserve: bool) -> Result<Vec<Network>, FieldError> {
    match (networks.is_empty(), reserve) {
        (true, false) => Err(FieldError::new("networks", "name at least one, or reserve the key")),
        (false, true) => {
            let why = FieldError::new("reserve", "a key that has networks is not reserved");
            Err(why.with_fix("leave one of them out"))
        }
        _ => validate::networks(networks),
    }
}

fn note(text: Option<String>, remove: Option<bool>) -> Result<Option<String>, FieldError> {
    match (text, remove) {
        (Some(text), None) if text.is_empty() => {
            Err(FieldError::new("text", "is empty").with_fix("remove takes the note away"))
        }
        (Some(text), None) => validate::line("text", text).map(Some),
        (None, Some(true)) => Ok(None),
        (_, Some(false)) => Err(FieldError::new("remove", "must be true").with_fix("leave it out to write a note")),
        (Some(_), Some(true)) => Err(FieldError::new("remove", "give this or text, not both")),
        (None, None) => Err(FieldError::new("note", "say what to write, by text, or remove")),
    }
}

/// How long a ban lasts that is made at `now`; `None` is indefinitely.
fn lasting(lasting: Option<i64>, until: Option<i64>, now: Timestamp) -> Result<Option<Duration>, FieldError> {
    let until_now = |until: i64| match until.saturating_sub(now.as_millis()) {
        ..=0 => Err("must be in the future"),
        millis @ 1..=MAX_LASTING_MS => Ok(millis),
        _ => Err("must be within 100 years"),
    };
    let millis = match (lasting, until) {
        (Some(_), Some(_)) => return Err(FieldError::new("until_ms", "give this or lasting_ms, not both")),
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

    /// A gRPC message has one or the other; another edge may be sent both.
    #[test]
    fn fields_that_exclude_each_other_are_refused() {
        let text = || Some("10.0.0.0/8".to_owned());
        let refused = [
            (unbind(text(), Some(true)).map(|_| ()), "open: give this or to, not both"),
            (unbind(text(), Some(false)).map(|_| ()), "open: must be true; leave it out to reserve the key"),
            (note(text(), Some(true)).map(|_| ()), "remove: give this or text, not both"),
            (note(text(), Some(false)).map(|_| ()), "remove: must be true; leave it out to write a note"),
            (note(None, None).map(|_| ()), "note: say what to write, by text, or remove"),
        ];
        for (result, said) in refused {
            assert_eq!(result.unwrap_err().to_string(), said);
        }
    }
}

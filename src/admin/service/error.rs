//! Why an operation was not done, in words for operators. What the driver said goes to the log.

use std::{borrow::Cow, fmt};

use crate::{
    domain::PepperId,
    store::{ChangeError, Refusal, StoreError},
};

/// A field of a command that cannot be meant. Repeats nothing of what was sent: a key may stand in the wrong field.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{place}{cause}{fix}", place = before(.field), fix = after(.fix.as_deref()))]
pub(crate) struct FieldError {
    /// Its path in the command, such as `key.api_key`; empty for the whole. An edge that has another name for it shows its
    /// own.
    pub(crate) field: Cow<'static, str>,
    /// What is wrong with it, or what it has to be.
    pub(crate) cause: String,
    /// What to do about it, where the cause leaves that open.
    pub(crate) fix: Option<String>,
}

impl FieldError {
    pub(super) fn new(field: impl Into<Cow<'static, str>>, cause: impl fmt::Display) -> Self {
        Self { field: field.into(), cause: cause.to_string(), fix: None }
    }

    pub(super) fn with_fix(self, fix: &str) -> Self {
        Self { fix: Some(fix.to_owned()), ..self }
    }
}

/// Why an operation was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command cannot be meant.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The actor is not allowed to.
    #[error("{0} may not do this")]
    Forbidden(String),
    /// What the store holds forbids it; nothing was changed.
    #[error("{0}{fix}", fix = after(more_digits(.0).as_deref()))]
    Refused(Refusal),
    /// No clock yet, so no ban could end and no time could be written.
    #[error("this server has not reached its store since it started; try again once `sentinel status` says serving")]
    NotReady,
    /// The store did not answer.
    #[error("the store did not answer; the server's log says why")]
    StoreLost,
    /// It did not answer to a change.
    #[error("the store did not answer (a change was made or not); the server's log says why")]
    MadeOrNot,
    /// The store holds what this version cannot read.
    #[error("the store holds what this version cannot read; the server's log says what")]
    Corrupt,
    /// Another pepper was activated while the change was under way.
    #[error("another pepper has just been activated; nothing was changed; ask again")]
    Behind,
    /// This server could not find again what would be written under it.
    #[error(
        "this server lists no pepper {0}; list its secret in pepper.secrets of every server, restart them, and try again"
    )]
    Unlisted(PepperId),
    /// The same of a file to import, and what this server lists.
    #[error(
        "line 1: peppers: this file's keys are under pepper {0}, but this server lists {1}; list the secret of {0} in \
         pepper.secrets of every server as well, restart them, and import again. Nothing was imported"
    )]
    UnlistedInFile(PepperId, String),
    /// Two secrets of one name.
    #[error("line 1: peppers: {0} is the name of another secret here. Nothing was imported")]
    AnotherSecretInFile(PepperId),
    /// A file to import that has no end after this line.
    #[error(
        "the file ends after line {0}, before the line that counts its keys: it was cut. What came is imported; import \
         the whole file, and the rest will be as well"
    )]
    FileCut(u64),
}

/// What kind of [`Error`] it is. Each edge has a status of its own for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// A field is missing or malformed.
    Invalid,
    Forbidden,
    NotFound,
    /// What is there does not allow it; nothing was changed.
    Refused,
    /// It may work later.
    Unavailable,
    /// It will not work later.
    Corrupt,
}

impl Error {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Field(_) => Code::Invalid,
            Self::Forbidden(_) => Code::Forbidden,
            Self::Refused(Refusal::NotFound | Refusal::UnknownPepper(_)) => Code::NotFound,
            Self::Refused(_) | Self::Unlisted(_) | Self::UnlistedInFile(..) => Code::Refused,
            Self::AnotherSecretInFile(_) | Self::FileCut(_) => Code::Refused,
            Self::NotReady | Self::StoreLost | Self::MadeOrNot | Self::Behind => Code::Unavailable,
            Self::Corrupt => Code::Corrupt,
        }
    }

    /// Nothing was read.
    pub(super) fn lost(error: StoreError) -> Self {
        tracing::warn!(%error, "the store failed an admin request");
        match error {
            StoreError::Unavailable(_) | StoreError::Late => Self::StoreLost,
            StoreError::Behind(_) => Self::Behind,
            StoreError::Corrupt(_) => Self::Corrupt,
        }
    }

    /// A key was not found, or not looked for.
    pub(super) fn not_found(error: ChangeError) -> Self {
        match error {
            ChangeError::Refused(refusal) => Self::Refused(refusal),
            ChangeError::Store(error) => Self::lost(error),
        }
    }

    /// A change was not made, or nobody knows.
    pub(super) fn not_done(error: impl Into<ChangeError>) -> Self {
        match Self::not_found(error.into()) {
            Self::StoreLost => Self::MadeOrNot,
            error => error,
        }
    }
}

fn more_digits(refusal: &Refusal) -> Option<String> {
    let Refusal::Ambiguous(candidates) = refusal else { return None };
    let ids: Vec<String> = candidates.iter().map(ToString::to_string).collect();
    Some(format!("give more digits: {}", ids.join(", ")))
}

fn before(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("{field}: ") }
}

/// What follows a cause.
fn after(fix: Option<&str>) -> String {
    fix.map(|fix| format!("; {fix}")).unwrap_or_default()
}

//! The errors of operations, for operators. A driver's own error is only logged.

use std::{borrow::Cow, fmt};

use crate::{
    domain::PepperId,
    store::{ChangeError, Refusal, StoreError, WriteObstacle},
};

/// An invalid field of a command. Never repeats the field's value, because an operator may put a key into the wrong
/// field.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{prefix}{cause}{fix}", prefix = field_prefix(.field), fix = fix_suffix(.fix.as_deref()))]
pub(crate) struct FieldError {
    /// The path in the command, such as `key.api_key`; empty for the whole command. A transport that has another name
    /// for the field shows its own.
    pub(crate) field: Cow<'static, str>,
    /// What is wrong with the field, or what it must be.
    pub(crate) cause: String,
    /// What to do about it, if the cause does not say.
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

/// Why an operation failed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command is invalid.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The principal is not permitted to do this.
    #[error("{0} is not permitted to do this")]
    Forbidden(String),
    /// The change does not apply to what the store holds; nothing was changed.
    #[error("{0}{fix}", fix = fix_suffix(more_digits(.0).as_deref()))]
    Refused(Refusal),
    /// The store's clock is not known yet, so the end of a ban and the time of a change are not known.
    #[error("the server has not reached its store since it started; try again when `sentinel status` reports serving")]
    NotReady,
    /// The store did not answer a read.
    #[error("the store did not answer; the server's log says why")]
    StoreUnavailable,
    /// The store did not answer a change.
    #[error("the store did not answer; whether the change was made is not known; the server's log says why")]
    OutcomeUnknown,
    /// The store did not make a change, for certain.
    #[error("the store did not answer in time; nothing was changed; try again (the server's log says why)")]
    NotChanged,
    /// The store accepts no writes until an operator acts.
    #[error(
        "nothing was changed: the store {store} cannot be written: {cause}; {fix}, then repeat the command (no restart is \
         needed)",
        cause = .obstacle.cause(),
        fix = .obstacle.fix()
    )]
    Unwritable {
        /// What keeps it from writing.
        obstacle: WriteObstacle,
        /// The URL of the store without secrets.
        store: String,
    },
    /// An import ended in the middle; the keys before this line were imported.
    #[error("{cause}. The keys in earlier parts of the file were imported; import the whole file again", cause = .0)]
    ImportEnded(Box<Error>),
    /// The store holds data that this version cannot read.
    #[error("the store holds data that this version cannot read; the server's log says which")]
    Corrupt,
    /// Another pepper was activated during the operation.
    #[error("another pepper was activated during this operation; nothing was changed; try again")]
    Behind,
    /// The pepper is not listed, so this server could not find keys under it.
    #[error(
        "pepper {0} is not listed by this server; add its secret to pepper.secrets of every server, restart them, and \
         try again"
    )]
    UnlistedPepper(PepperId),
    /// A file to import has keys under a pepper that is not listed; and the peppers that are.
    #[error(
        "line 1: peppers: this file's keys are under pepper {0}, but this server lists {1}; add the secret of {0} to \
         pepper.secrets of every server, restart them, and import again. Nothing was imported"
    )]
    UnlistedInFile(PepperId, String),
    /// Two different secrets have the same pepper id.
    #[error("line 1: peppers: {0} is the id of another secret on this server. Nothing was imported")]
    AnotherSecretInFile(PepperId),
    /// A file to import has no complete first line.
    #[error("the file has no complete first line, so nothing was imported; import the whole file")]
    NoHeader,
    /// A file to import has no last line; it ends after this line.
    #[error(
        "the file ends after line {0}, before the line that counts its keys: it was truncated. The keys up to line {0} \
         were imported; import the whole file to import the rest"
    )]
    FileTruncated(u64),
}

/// The kind of an [`Error`]. Each transport maps it to its own status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// A field is missing or malformed.
    Invalid,
    Forbidden,
    NotFound,
    /// The change does not apply to what the store holds; nothing was changed.
    FailedPrecondition,
    /// A retry may succeed.
    Unavailable,
    /// A retry cannot succeed.
    Corrupt,
}

impl Error {
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Field(_) => Code::Invalid,
            Self::Forbidden(_) => Code::Forbidden,
            Self::Refused(Refusal::NotFound | Refusal::UnknownPepper(_)) => Code::NotFound,
            Self::Refused(_) | Self::UnlistedPepper(_) | Self::UnlistedInFile(..) => Code::FailedPrecondition,
            Self::AnotherSecretInFile(_) | Self::NoHeader | Self::FileTruncated(_) => Code::FailedPrecondition,
            Self::NotReady | Self::StoreUnavailable | Self::OutcomeUnknown | Self::NotChanged => Code::Unavailable,
            Self::Behind => Code::Unavailable,
            Self::Unwritable { .. } => Code::FailedPrecondition,
            Self::ImportEnded(cause) => cause.code(),
            Self::Corrupt => Code::Corrupt,
        }
    }

    /// The store failed a read.
    pub(super) fn read_failed(error: StoreError) -> Self {
        tracing::warn!(%error, "the store failed an admin request");
        match error {
            StoreError::Unavailable(_) | StoreError::NotWritten(..) | StoreError::Late => Self::StoreUnavailable,
            StoreError::Behind(_) => Self::Behind,
            StoreError::Corrupt(_) => Self::Corrupt,
        }
    }

    /// The look-up of a key failed.
    pub(super) fn find_failed(error: ChangeError) -> Self {
        match error {
            ChangeError::Refused(refusal) => Self::Refused(refusal),
            ChangeError::Store(error) => Self::read_failed(error),
        }
    }

    /// A change of `store` was not made, or its outcome is not known.
    pub(super) fn change_failed(error: impl Into<ChangeError>, store: &str) -> Self {
        let error = error.into();
        let obstacle = match &error {
            ChangeError::Store(StoreError::NotWritten(obstacle, _)) => Some(*obstacle),
            _ => None,
        };
        match (Self::find_failed(error), obstacle) {
            (Self::StoreUnavailable, Some(obstacle)) if obstacle.lasts() => {
                Self::Unwritable { obstacle, store: store.to_owned() }
            }
            (Self::StoreUnavailable, Some(_)) => Self::NotChanged,
            (Self::StoreUnavailable, None) => Self::OutcomeUnknown,
            (error, _) => error,
        }
    }
}

fn more_digits(refusal: &Refusal) -> Option<String> {
    let Refusal::Ambiguous(candidates) = refusal else { return None };
    let ids: Vec<String> = candidates.iter().map(ToString::to_string).collect();
    Some(format!("give more digits: {}", ids.join(", ")))
}

fn field_prefix(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("{field}: ") }
}

fn fix_suffix(fix: Option<&str>) -> String {
    fix.map(|fix| format!("; {fix}")).unwrap_or_default()
}

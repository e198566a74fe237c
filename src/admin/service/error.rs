//! Why an operation was not done, in words for operators. What the driver said goes to the log.

use std::{borrow::Cow, fmt};

use crate::{
    domain::PepperId,
    store::{ChangeError, Refusal, StoreError},
};

/// A field of a command that cannot be meant. Repeats nothing of what was sent: a key may stand in the wrong field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Which, by its path in the command, such as `key.api_key`. An edge that has another name for it shows its own.
    pub field: Cow<'static, str>,
    /// What is wrong with it, or what it has to be.
    pub cause: String,
    /// What to do about it, where the cause leaves that open.
    pub fix: Option<&'static str>,
}

impl FieldError {
    pub(super) fn new(field: impl Into<Cow<'static, str>>, cause: impl fmt::Display) -> Self {
        Self { field: field.into(), cause: cause.to_string(), fix: None }
    }

    pub(super) fn with_fix(self, fix: &'static str) -> Self {
        Self { fix: Some(fix), ..self }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.cause)?;
        self.fix.map_or(Ok(()), |fix| write!(f, "; {fix}"))
    }
}

/// Why an operation was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The command cannot be meant.
    #[error("{0}")]
    Field(FieldError),
    /// Who asks may not do this.
    #[error("{0} may not do this")]
    Forbidden(String),
    /// What the store holds forbids it; nothing was changed.
    #[error("{0}{candidates}", candidates = candidates(.0))]
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
    /// Whatever would be written under it this server could not find again.
    #[error(
        "this server lists no pepper {0}; list its secret in pepper.secrets of every server, restart them, and try again"
    )]
    Unlisted(PepperId),
    /// The same of a file to import.
    #[error(
        "line 1: peppers: this file's keys are under pepper {id}, but this server lists {listed}; list the secret of \
         {id} in pepper.secrets of every server as well, restart them, and import again. Nothing was imported"
    )]
    UnlistedInFile {
        /// What the file names.
        id: PepperId,
        /// What this server has.
        listed: String,
    },
    /// Two secrets of one name.
    #[error("line 1: peppers: {0} is the name of another secret here. Nothing was imported")]
    AnotherSecretInFile(PepperId),
    /// A file to import has no end.
    #[error(
        "the file ends after line {0}, before the line that counts its keys: it was cut. What came is imported; import \
         the whole file, and the rest will be as well"
    )]
    FileCut(u64),
}

/// Of what kind an [`Error`] is: what each edge has a status of its own for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// A field is missing or malformed.
    Invalid,
    /// Who asks may not do this.
    Forbidden,
    /// There is nothing of that name.
    NotFound,
    /// What there is does not allow it; nothing was changed.
    Refused,
    /// It may work later.
    Unavailable,
    /// It will not work later.
    Corrupt,
}

impl Error {
    /// Of what kind it is.
    pub fn code(&self) -> Code {
        match self {
            Self::Field(_) => Code::Invalid,
            Self::Forbidden(_) => Code::Forbidden,
            Self::Refused(Refusal::NotFound | Refusal::UnknownPepper(_)) => Code::NotFound,
            Self::Refused(_) | Self::Unlisted(_) => Code::Refused,
            Self::UnlistedInFile { .. } | Self::AnotherSecretInFile(_) | Self::FileCut(_) => Code::Refused,
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

impl From<FieldError> for Error {
    fn from(error: FieldError) -> Self {
        Self::Field(error)
    }
}

fn candidates(refusal: &Refusal) -> String {
    let Refusal::Ambiguous(candidates) = refusal else { return String::new() };
    let ids: Vec<String> = candidates.iter().map(ToString::to_string).collect();
    format!("; give more digits: {}", ids.join(", "))
}

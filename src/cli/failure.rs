//! Why a command was not done.

use std::io;

/// Why a command was not done, which is also its exit code.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// 1: refused, not found, or ended by a fault.
    #[error("{0}")]
    Refused(String),
    /// 1: `doctor` has said what it found.
    #[error("something was found")]
    Found,
    /// 2: what was asked cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// 2: one fault a line.
    #[error("the configuration is not valid:\n{0}")]
    Config(String),
    /// 3: nobody could be asked.
    #[error("{0}")]
    Unreachable(String),
    /// 3: asked, but no whole answer came.
    #[error("{0}; if this was a change, `sentinel audit list` says whether it was made")]
    BrokenOff(String),
    /// The answer could not be written. A reader that went away (`sentinel audit list | head`) is no failure.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Refused(_) | Self::Found | Self::Output(_) => 1,
            Self::Usage(_) | Self::Config(_) => 2,
            Self::Unreachable(_) | Self::BrokenOff(_) => 3,
        }
    }
}

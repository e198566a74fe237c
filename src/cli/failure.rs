//! Errors of the command line.

use std::io;

/// Why a command failed. Each variant has an exit code.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// 1: rejected, not found, or a fault at run time.
    #[error("{0}")]
    Rejected(String),
    /// 1: `doctor` has findings, which are already printed.
    #[error("doctor has findings")]
    Findings,
    /// 2: invalid arguments.
    #[error("{0}")]
    Usage(String),
    /// 2: invalid configuration, one fault per line.
    #[error("the configuration is not valid:\n{0}")]
    Config(String),
    /// 3: the server or its store cannot be reached.
    #[error("{0}")]
    Unreachable(String),
    /// 3: the call was sent, but the answer is missing or incomplete.
    #[error("{0}; `sentinel audit list` shows whether a change was made")]
    BrokenOff(String),
    /// The output could not be written. A reader that closes the pipe (`sentinel audit list | head`) is not an error.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Rejected(_) | Self::Findings | Self::Output(_) => 1,
            Self::Usage(_) | Self::Config(_) => 2,
            Self::Unreachable(_) | Self::BrokenOff(_) => 3,
        }
    }
}

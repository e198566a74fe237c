//! Confirmation before a change that may lock an owner out or let a stranger in.
//!
//! Only a person at a terminal is asked. Without a terminal, `unbind` runs as it always did, because scripts use it; a
//! newer command requires `--yes`.

use std::io::{self, BufRead, IsTerminal, Write};

use super::failure::Failure;

/// Whether to ask before a command that scripts run without `--yes`.
pub(super) fn is_wanted(yes: bool) -> bool {
    !yes && is_person()
}

/// Whether to ask before a command that requires `--yes` without a terminal.
pub(super) fn is_needed(yes: bool) -> Result<bool, Failure> {
    if yes || is_person() {
        return Ok(!yes);
    }
    Err(Failure::Usage(
        "this command asks for confirmation, and standard input or standard error is not a terminal; use --yes"
            .to_owned(),
    ))
}

/// The question is written to standard error and the answer read from standard input.
fn is_person() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Prints `effect` and waits for a yes; every other answer is a no.
pub(super) fn ask(effect: &str) -> Result<(), Failure> {
    let mut err = io::stderr();
    let _ = write!(err, "{effect}\nContinue? [y/N] ");
    let _ = err.flush();
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Rejected("not confirmed; nothing was changed".to_owned())),
    }
}

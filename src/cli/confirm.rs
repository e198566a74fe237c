//! Asking before what may lock a key's owner out or let a stranger in.
//!
//! Only a person at a terminal is asked. What scripts have always been able to do they still can; a newer command that
//! would ask is refused to them without `--yes`.

use std::io::{self, BufRead, IsTerminal, Write};

use super::failure::Failure;

/// Whether to ask before a command whose name is fixed: it runs in scripts as it always did.
pub(super) fn is_wanted(yes: bool) -> bool {
    !yes && is_person()
}

/// Whether to ask before a command that no script has used without `--yes`.
pub(super) fn is_needed(yes: bool) -> Result<bool, Failure> {
    if yes || is_person() {
        return Ok(!yes);
    }
    Err(Failure::Usage(
        "this asks before it changes anything, and there is no terminal to ask on; --yes goes on without".to_owned(),
    ))
}

/// Whoever is asked must see the question and be able to answer it.
fn is_person() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Says what will happen and waits for a yes; everything else is a no.
pub(super) fn ask(what: &str) -> Result<(), Failure> {
    let mut err = io::stderr();
    let _ = write!(err, "{what}\nGo on? [y/N] ");
    let _ = err.flush();
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Refused("not confirmed; nothing was changed".to_owned())),
    }
}

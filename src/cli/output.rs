//! Standard output and standard error.

use std::io::{self, Write};

use super::failure::Failure;

pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// For people, beside the answer. Nothing is left to try if stderr is gone.
pub(super) fn say(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

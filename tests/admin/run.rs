//! Runs the program as a person or a script would.

use std::{
    io::Write,
    process::{Command, Stdio},
};

/// What was seen of a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// `sentinel` with these arguments and this on standard input, and nothing of the machine's environment.
pub(crate) fn run(args: &[&str], input: &[u8]) -> Seen {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel"));
    command.env_clear().args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that ends before it reads closes the pipe; that is not this helper's business.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Seen { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

//! The server to call and the output format, for every command that calls a server.

use std::{
    fmt::Display,
    io::{self, Write},
    path::Path,
};

use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::{args::Output, failure::Failure, screen::Screen};

/// The server to call and the output format.
pub(super) struct Session<'a> {
    pub(super) socket: &'a Path,
    pub(super) output: Output,
    pub(super) screen: Screen,
}

pub(super) fn build_runtime(builder: &mut Builder) -> Result<Runtime, Failure> {
    let runtime = builder.enable_all().build();
    runtime.map_err(|error| Failure::Rejected(format!("cannot start the event loop: {error}")))
}

/// Rejects CSV for a command that lists nothing. Called before the request, so that no change is made whose answer
/// cannot be printed.
pub(super) fn reject_csv(output: Output) -> Result<(), Failure> {
    if output != Output::Csv {
        return Ok(());
    }
    let listings = "bindings list, bindings promote, audit list, audit export, audit tail";
    Err(Failure::Usage(format!("--output <FORMAT>: csv is for listings: {listings}")))
}

/// Prints an answer that is not a listing.
pub(super) fn document(
    session: &Session<'_>,
    table: impl FnOnce() -> String,
    json: impl FnOnce() -> Value,
) -> Result<(), Failure> {
    emit(session.output, table, json, String::new)
}

pub(super) fn emit(
    output: Output,
    table: impl FnOnce() -> String,
    json: impl FnOnce() -> Value,
    csv: impl FnOnce() -> String,
) -> Result<(), Failure> {
    match output {
        Output::Table => print(&table()),
        Output::Json => print(&format!("{:#}\n", json())),
        Output::Csv => print(&csv()),
    }
}

pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Prints a line to standard error. A failure to write is ignored.
pub(super) fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Warns if the change is not yet in effect in the server.
pub(super) fn warn_if_pending(in_effect: bool) {
    if !in_effect {
        say("warning: the change is stored, but not yet in effect on this server; the next poll applies it");
    }
}

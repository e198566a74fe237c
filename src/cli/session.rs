//! What every command that asks a server has: whom to ask, and how to answer.

use std::{
    fmt::Display,
    io::{self, Write},
    path::Path,
};

use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

use super::{args::Output, failure::Failure, screen::Screen};

/// Whom to ask, and how to answer.
pub(super) struct Session<'a> {
    pub(super) socket: &'a Path,
    pub(super) output: Output,
    pub(super) screen: Screen,
}

pub(super) fn running(builder: &mut Builder) -> Result<Runtime, Failure> {
    let runtime = builder.enable_all().build();
    runtime.map_err(|error| Failure::Refused(format!("the system gives no event loop: {error}")))
}

/// Of a command whose answer is none. Known before anything is asked: an answer that cannot be written must not be one
/// about a change that was made.
pub(super) fn no_listing(output: Output) -> Result<(), Failure> {
    if output != Output::Csv {
        return Ok(());
    }
    let listings = "bindings list, bindings promote, audit list, audit export, audit tail";
    Err(Failure::Usage(format!("--output <FORMAT>: csv is for listings: {listings}")))
}

/// An answer that is no listing.
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

/// For people, beside the answer. Nothing is left to try if stderr is gone.
pub(super) fn say(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Beside the answer to a change.
pub(super) fn warn_unless(in_effect: bool) {
    if !in_effect {
        say("warning: the change is stored, but the server could not read it back yet; it follows with its next poll");
    }
}

//! `make bench`: Sentinel beside a stock no-op server, in one run of interleaved rounds. Writes `docs/benchmarks.md` and its
//! chart.
//!
//! `--only path,envoy` runs these groups; `--rounds N` and `--seconds S` set how many rounds there are and how long one
//! takes; `--binary PATH` measures another `sentinel` than the one that was built. Only a run without `--only` writes the
//! page.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that cannot go on panics; figures are printed"
)]

mod beside;
mod busy;
mod chart;
mod claims;
#[path = "../../tests/common/mod.rs"]
mod common;
mod disk;
mod envoy;
mod frames;
mod http1;
mod http2;
mod memory;
mod noop;
mod overload;
mod path;
mod process;
mod report;
mod run;
mod server;

use std::{path::PathBuf, time::Duration};

use report::Table;

/// How much is measured, and of which program.
pub(crate) struct Plan {
    pub(crate) binary: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) round: Duration,
    only: Vec<String>,
}

impl Plan {
    fn of(arguments: &[String]) -> Self {
        let value = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            Some(arguments.get(at + 1).unwrap_or_else(|| panic!("{name} needs a value")).as_str())
        };
        let number = |name: &str, default| value(name).map_or(default, |text| text.parse().expect("a number"));
        Self {
            binary: value("--binary").map_or_else(server::binary, PathBuf::from),
            rounds: number("--rounds", 5),
            round: Duration::from_secs(number("--seconds", 3) as u64),
            only: value("--only").map_or_else(Vec::new, |names| names.split(',').map(str::to_owned).collect()),
        }
    }

    fn has(&self, group: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == group)
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["noop", address] => return noop::serve(address),
        ["memory"] => return memory::measure(),
        _ => {}
    }
    let plan = Plan::of(&arguments);
    run::pin(run::GENERATOR_CORE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut tables: Vec<Table> = Vec::new();
        if plan.has("path") {
            tables.extend(path::measure(&plan).await);
        }
        if plan.has("cores") {
            tables.push(path::cores(&plan).await);
        }
        if plan.has("envoy") {
            tables.push(envoy::measure(&plan).await);
        }
        if plan.has("claims") {
            tables.push(claims::first_use(&plan).await);
            tables.push(claims::cold(&plan).await);
            tables.push(claims::flood(&plan).await);
        }
        if plan.has("beside") {
            tables.push(beside::measure(&plan).await);
        }
        if plan.has("overload") {
            tables.push(overload::measure(&plan).await);
        }
        if plan.has("process") {
            tables.push(process::measure(&plan).await);
        }
        report::finish(&plan, &tables);
    });
}

impl Plan {
    /// Whether everything is measured, so that the page may be written.
    pub(crate) fn is_whole(&self) -> bool {
        self.only.is_empty()
    }
}

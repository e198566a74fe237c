//! A flood of keys that nobody ever used before: what it costs those who own theirs, the store and the memory.
//!
//! `make test` sends some thousands; `make flood` a million over gRPC and ten million in-process, in release.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on panics; figures are printed")]

#[path = "../common/mod.rs"]
mod common;
mod in_process;
#[path = "../fuzz/memory.rs"]
mod memory;
mod over_grpc;

use std::fs;

/// A whole number from the environment, or what `make test` takes.
fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// A field of `/proc/PID/status`, in MiB.
fn memory_of(pid: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

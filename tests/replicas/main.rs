//! Several real processes, one PostgreSQL, one Redis: who owns a key, and whom an operator has banned, is the same
//! everywhere.
//!
//! `make test` takes some hundreds of keys and bans; the full numbers are in the environment (`SENTINEL_REPLICA_KEYS`,
//! `SENTINEL_REPLICA_BANS`, `SENTINEL_REPLICA_CROWD`, `SENTINEL_REPLICA_PARTITION`). Figures are printed.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on panics; figures are printed")]

mod bans;
mod claims;
mod clocks;
#[path = "../common/mod.rs"]
mod common;
mod fleet;
mod one_key;
mod partition;
mod unwritten;
mod upgrade;
mod work;

/// A whole number from the environment, or what `make test` takes.
fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// A seed from the environment, or a new one; printed, so that what happened can happen again.
fn seed() -> u64 {
    let fresh = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos().into();
    let seed = std::env::var("SENTINEL_REPLICA_SEED").map_or_else(|_| fresh(), |text| text.parse().unwrap());
    eprintln!("SENTINEL_REPLICA_SEED={seed}");
    seed
}

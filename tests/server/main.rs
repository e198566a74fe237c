//! One server, asked over the wire: on SQLite, and once more on PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

mod bodies;
mod callers;
mod check;
mod client_ip;
#[path = "../common/mod.rs"]
mod common;
mod drain;
mod floods;
mod leaks;
mod life;
mod race;
mod reload;
mod rotation;

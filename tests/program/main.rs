//! The program as its user starts it: its words and its manual, its settings, and the modes of the files that it makes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod check_config;
mod cli;
#[path = "../common/mod.rs"]
mod common;
mod lost_store;
mod manual;
mod permissions;
#[path = "../admin/run.rs"]
mod run;
mod snapshots;

//! Facts and hints through a real Redis: what may be believed, and what it costs while Redis is slow or dead.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on panics; figures are printed")]

#[path = "../common/mod.rs"]
mod common;
mod cost;
mod feed;
mod model;
mod reach;
mod refused;
mod replica;
mod sound;

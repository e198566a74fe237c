//! Through the real Envoy, by the files that are shipped for it, and by clients that mean well or ill.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod clients;
#[path = "../common/mod.rs"]
mod common;
mod e2e_envoy;
mod e2e_hostile;
mod escaped;
mod frames;
mod local_answers;
mod login_routes;
mod sdk;
mod shipped;
mod xff_oracle;

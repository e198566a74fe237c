//! The edge: Envoy's `Check` in, an in-protocol answer out.

mod authorization;
mod call;
mod context;
mod headers;
mod overrides;
mod problem;
mod respond;
mod wire;

pub use authorization::Authorization;
pub use wire::{SERVICE, Server};

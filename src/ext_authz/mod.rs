//! Serves Envoy's `Check`. Every fault is a denial in a `CheckResponse`, never a gRPC error.

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

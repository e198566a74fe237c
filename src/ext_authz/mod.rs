//! Serves Envoy's `Check`. Every fault is a denial in a `CheckResponse`, never a gRPC error.

mod answers;
mod authorization;
mod call;
mod context;
mod fields;
mod grpc_message;
mod headers;
mod message;
mod overrides;
mod problem;
mod respond;
mod wire;

pub use authorization::{Authorization, Parts};
pub use wire::{AnswerBody, Check, SERVICE, Server};

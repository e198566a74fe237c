//! Listeners, callers and connections.

pub mod accept;
pub(crate) mod backoff;
pub mod caller;
pub mod http2;
pub mod listen;
mod meter;
mod open_calls;
pub mod redis_link;
mod workers;

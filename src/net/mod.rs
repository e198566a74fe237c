//! Listeners, callers and connections.

pub mod accept;
pub(crate) mod backoff;
pub mod caller;
pub mod http2;
pub mod listen;
mod meter;
pub mod redis_link;

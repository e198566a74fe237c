//! Listeners, callers and connections.

pub mod accept;
pub(crate) mod backoff;
pub mod caller;
pub mod http2;
pub mod listen;
pub mod meter;
pub mod redis_link;

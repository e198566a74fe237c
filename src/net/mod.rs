//! Listeners, callers and connections.

pub(crate) mod backoff;
pub mod caller;
pub mod http2;
pub mod listen;
pub mod redis_link;

//! Sockets, callers and connections.

pub(crate) mod backoff;
pub mod caller;
pub mod listen;
pub mod redis_link;

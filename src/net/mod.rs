//! Sockets, callers and connections.

pub mod caller;
pub mod listen;
pub mod redis_link;

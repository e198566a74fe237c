//! The admin API over gRPC, on a unix socket whose file mode is the permission. Nothing is decided here: messages are
//! read into the service's commands, and its outcomes and errors are written into messages and statuses.

pub mod api;
mod facts;
mod keys;
mod read;
mod server;

pub use server::{Admin, server};

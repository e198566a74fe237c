//! The admin API over gRPC, on a unix socket whose file mode is the permission. Converts messages to the service's
//! commands, and its outcomes and errors to messages and statuses.

pub mod api;
mod facts;
mod keys;
mod read;
mod server;

pub use server::{Admin, server};

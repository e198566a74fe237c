//! The admin API: what operators may see and change.
//!
//! Every transport calls [`service`], which takes the principal and a typed command, and returns a typed outcome or an
//! error that names field, cause and fix. [`grpc`] is the transport for any client that can open the admin socket, and
//! [`api`] has its messages.

pub mod grpc;
pub mod service;

pub use grpc::api;

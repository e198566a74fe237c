//! The admin API: what operators may see and change.
//!
//! Every operation goes through [`service`], whichever edge it comes through: it takes who asks and a typed command, and
//! answers a typed outcome, or an error that names field, cause and fix. [`grpc`] is the edge for whoever can open the
//! admin socket, and [`api`] the messages that it speaks.

pub mod grpc;
pub mod service;

pub use grpc::api;

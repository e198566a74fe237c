//! wip
pub mod admin;
pub mod domain;
pub mod store;

//! wip
pub mod admin;
pub mod cli;
pub mod domain;
pub mod store;

//! wip
pub mod audit;
pub mod changes;
pub mod config;
pub mod credential;
pub mod domain;
pub mod engine;
pub mod ext_authz;
pub mod health;
pub mod jobs;
pub mod listen;
pub mod logging;
pub mod metrics;
pub mod pepper;
pub mod store;

//! Logs, metrics and health of the process.

pub mod health;
pub mod logs;
pub mod metrics;
pub mod probes;

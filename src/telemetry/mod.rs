//! What the process reports of itself: logs, metrics and health.

pub mod health;
pub mod logs;
pub mod metrics;
pub mod probes;

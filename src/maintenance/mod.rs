//! Jobs that run by the clock, beside the requests.

pub mod jobs;
pub mod last_seen;
pub mod rekey;

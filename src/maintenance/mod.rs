//! Jobs that run by the clock, beside the requests.

pub mod archive;
pub mod counts;
pub mod last_seen;
pub mod rekey;
pub mod retention;

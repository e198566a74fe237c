//! Audit records, and how they come into a store.

use std::fmt;

use crate::domain::event::Record;

/// An audit record's number in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub i64);

/// An audit record as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its number.
    pub id: RecordId,
    /// The record.
    pub record: Record,
}

/// Whoever delivers audit records; a new one for each run of a process. Random, so that a directory that was copied or
/// restored does not number batches that another one has already delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpoolId(pub u128);

impl fmt::Display for SpoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Names a batch of audit records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchId {
    /// Whose.
    pub spool: SpoolId,
    /// Its place among them, from 1.
    pub number: u64,
}

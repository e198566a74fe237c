//! Audit records and their delivery.

use std::fmt;

use crate::domain::event::Record;

/// An audit record's number in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub i64);

/// A stored audit record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its number.
    pub id: RecordId,
    /// The record.
    pub record: Record,
}

/// Identifies a sender of audit records; new for each run of a process. Random, so that the numbers of a copied or
/// restored directory do not collide with batches that were delivered already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpoolId(pub u128);

impl fmt::Display for SpoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Identifies a batch of audit records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchId {
    /// The sender.
    pub spool: SpoolId,
    /// Its number within the spool, from 1.
    pub number: u64,
}

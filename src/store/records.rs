//! How the audit goes in and comes out.

use std::fmt;

use super::Target;
use crate::domain::{
    Timestamp,
    event::{EventKind, Record},
};

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

/// Whoever delivers audit records; a new one for each run of a process. Random, so that a folder that was copied or
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

/// In which order audit records are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditOrder {
    /// By their last time, the newest first.
    Newest,
    /// By their number, the highest first.
    LastStored,
    /// By their number, which is the order in which they were stored, those after `after` and up to `upto`.
    Stored {
        /// Not this one.
        after: RecordId,
        /// But this one.
        upto: RecordId,
    },
}

/// Which audit records to list.
#[derive(Clone, Debug)]
pub struct AuditQuery {
    /// Only this kind.
    pub kind: Option<EventKind>,
    /// Only keys whose id begins so, or this one key, of which there need be no row.
    pub key: Option<Target>,
    /// Only records whose last time is not before this.
    pub since: Option<Timestamp>,
    /// Only records whose last time is before this.
    pub until: Option<Timestamp>,
    /// Only the record with this number.
    pub record: Option<RecordId>,
    /// Only records whose first decision has this id.
    pub decision: Option<String>,
    /// In which order.
    pub order: AuditOrder,
    /// At most so many.
    pub limit: u32,
}

impl AuditQuery {
    /// Everything, newest first.
    pub const ALL: Self = Self {
        kind: None,
        key: None,
        since: None,
        until: None,
        record: None,
        decision: None,
        order: AuditOrder::Newest,
        limit: u32::MAX,
    };
}

//! Metrics of the store, the cache and Redis.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use strum::{Display, EnumString, VariantArray, VariantNames};

use super::table::{APPLIED, ARCHIVE_WAITS, CACHE, CLAIMS, CUT_OFF, REDIS_UP, STORE_DURATION, STORE_WRITABLE};
use crate::domain::words;

words!(Operation, ClaimOutcome, SharedOutcome);

/// The store's operations, as labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
#[allow(missing_docs)]
pub enum Operation {
    Lookup,
    Claim,
    TryClaim,
    Apply,
    Poll,
    Keys,
    Find,
    AppendAudit,
    PruneAudit,
    Expire,
    Audit,
    NoteUses,
    Archive,
    Counts,
    Rekey,
    Replicas,
    Import,
    Peppers,
    Rotate,
}

/// How a claim ended, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
#[allow(missing_docs)]
pub enum ClaimOutcome {
    Won,
    Held,
    Failed,
}

/// Cache and store.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    /// Hits in the cache of the process.
    pub cache_hit: Counter,
    /// Misses in the cache of the process.
    pub cache_miss: Counter,
    claims: [Counter; ClaimOutcome::ALL.len()],
    ok: [Histogram; Operation::ALL.len()],
    failed: [Histogram; Operation::ALL.len()],
    shared: [Counter; SharedOutcome::ALL.len()],
    /// 1 while Redis answers in time.
    pub redis_up: Gauge,
    applied: Gauge,
    cut_off: Gauge,
    writable: Gauge,
    archive_waits: Gauge,
}

/// How a look-up in Redis ended, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Display, EnumString, VariantArray, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum SharedOutcome {
    /// No value.
    Miss,
    /// A value of another version of Sentinel, or under a pepper that is not listed.
    Foreign,
    /// A value that lacks a change, or has expired.
    Stale,
    /// A valid value.
    Hit,
    /// A value that no replica has made.
    Forged,
    /// No answer in time, or an error.
    Failed,
    /// Redis was not asked: there is no connection, or it was too slow.
    Away,
}

impl StoreMetrics {
    pub(super) fn register() -> Self {
        let cache = |outcome| counter!(CACHE, "tier" => "process", "outcome" => outcome);
        let durations = |outcome| {
            Operation::ALL.map(|it| histogram!(STORE_DURATION, "operation" => it.as_str(), "outcome" => outcome))
        };
        Self {
            cache_hit: cache("hit"),
            cache_miss: cache("miss"),
            claims: ClaimOutcome::ALL.map(|it| counter!(CLAIMS, "outcome" => it.as_str())),
            ok: durations("ok"),
            failed: durations("error"),
            shared: SharedOutcome::ALL.map(|it| counter!(CACHE, "tier" => "redis", "outcome" => it.as_str())),
            redis_up: gauge!(REDIS_UP),
            applied: gauge!(APPLIED),
            cut_off: gauge!(CUT_OFF),
            writable: gauge!(STORE_WRITABLE),
            archive_waits: gauge!(ARCHIVE_WAITS),
        }
    }

    /// Counts a claim.
    pub fn claimed(&self, outcome: ClaimOutcome) {
        self.claims[outcome as usize].increment(1);
    }

    /// Records whether the store accepts claims.
    pub fn writable(&self, is: bool) {
        self.writable.set(f64::from(u8::from(is)));
    }

    /// Records whether the archive waits for times of last use.
    pub fn archive_waits(&self, waits: bool) {
        self.archive_waits.set(f64::from(u8::from(waits)));
    }

    /// Counts a look-up in Redis.
    pub fn shared(&self, outcome: SharedOutcome) {
        self.shared[outcome as usize].increment(1);
    }

    /// Measures one operation.
    pub fn request(&self, operation: Operation, took: Duration, ok: bool) {
        let series = if ok { &self.ok } else { &self.failed };
        series[operation as usize].record(took);
    }

    /// Records a poll: the applied revision, and for how long the store has not answered.
    pub fn polled(&self, applied: i64, cut_off: Duration) {
        self.applied.set(applied as f64);
        self.cut_off.set(cut_off.as_secs_f64());
    }
}

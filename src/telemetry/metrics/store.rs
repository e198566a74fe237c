//! The store, the cache before it and Redis.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::table::{APPLIED, CACHE, CLAIMS, CUT_OFF, REDIS_UP, STORE_DURATION};

/// The store's operations, as labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operation {
    Lookup,
    Claim,
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
    Import,
    Peppers,
    Rotate,
}

impl Operation {
    pub(super) const ALL: [(Self, &'static str); 17] = [
        (Self::Lookup, "lookup"),
        (Self::Claim, "claim"),
        (Self::Apply, "apply"),
        (Self::Poll, "poll"),
        (Self::Keys, "keys"),
        (Self::Find, "find"),
        (Self::AppendAudit, "append_audit"),
        (Self::PruneAudit, "prune_audit"),
        (Self::Expire, "expire"),
        (Self::Audit, "audit"),
        (Self::NoteUses, "note_uses"),
        (Self::Archive, "archive"),
        (Self::Counts, "counts"),
        (Self::Rekey, "rekey"),
        (Self::Import, "import"),
        (Self::Peppers, "peppers"),
        (Self::Rotate, "rotate"),
    ];
}

/// How a claim ended, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ClaimOutcome {
    Won,
    Held,
    Failed,
}

/// Cache and store.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    /// Found in the process's cache.
    pub cache_hit: Counter,
    /// Not found there.
    pub cache_miss: Counter,
    claims: [Counter; 3],
    ok: Vec<Histogram>,
    failed: Vec<Histogram>,
    shared: [Counter; 7],
    /// 1 while Redis answers in time.
    pub redis_up: Gauge,
    applied: Gauge,
    cut_off: Gauge,
}

/// How a look-up in Redis ended, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SharedOutcome {
    /// Nothing there.
    Miss,
    /// Of another version of this program, or under a pepper that is not listed.
    Foreign,
    /// It does not include every change, or has expired.
    Stale,
    /// It counts.
    Hit,
    /// It was not made by any of us.
    Forged,
    /// Not answered in time, or with an error.
    Failed,
    /// Not asked: there is no connection, or it has been too slow.
    Away,
}

impl StoreMetrics {
    pub(super) fn register() -> Self {
        let cache = |outcome| counter!(CACHE, "tier" => "process", "outcome" => outcome);
        let durations = |outcome| {
            let series = move |(_, name)| histogram!(STORE_DURATION, "operation" => name, "outcome" => outcome);
            Operation::ALL.into_iter().map(series).collect()
        };
        Self {
            cache_hit: cache("hit"),
            cache_miss: cache("miss"),
            claims: ["won", "held", "failed"].map(|outcome| counter!(CLAIMS, "outcome" => outcome)),
            ok: durations("ok"),
            failed: durations("error"),
            shared: ["miss", "foreign", "stale", "hit", "forged", "failed", "away"]
                .map(|outcome| counter!(CACHE, "tier" => "redis", "outcome" => outcome)),
            redis_up: gauge!(REDIS_UP),
            applied: gauge!(APPLIED),
            cut_off: gauge!(CUT_OFF),
        }
    }

    /// Counts a claim.
    pub fn claimed(&self, outcome: ClaimOutcome) {
        self.claims[outcome as usize].increment(1);
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

    /// Takes in a poll: what is applied, and for how long the store has been silent.
    pub fn polled(&self, applied: i64, cut_off: Duration) {
        self.applied.set(applied as f64);
        self.cut_off.set(cut_off.as_secs_f64());
    }
}

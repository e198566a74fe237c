//! Every metric, in one table: name, help that says when to worry, closed labels, and the handles that count.
//!
//! Handles are held, never looked up: a held counter costs 14 ns, the `counter!` macro 170.

use std::{convert::Infallible, time::Duration};

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
    with_local_recorder,
};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio::time::{Instant, interval};

use crate::domain::{Mode, Reason};

const CHECKS: &str = "sentinel_checks_total";
const CANCELLED: &str = "sentinel_checks_cancelled_total";
const CHECK_DURATION: &str = "sentinel_check_duration_seconds";
const CLAIMS: &str = "sentinel_claims_total";
const CACHE: &str = "sentinel_cache_requests_total";
const REDIS_UP: &str = "sentinel_redis_up";
const STORE_DURATION: &str = "sentinel_store_request_duration_seconds";
const AUDIT: &str = "sentinel_audit_events_total";
const SPILLED: &str = "sentinel_audit_spill_bytes";
const APPLIED: &str = "sentinel_applied_revision";
const CUT_OFF: &str = "sentinel_store_cut_off_seconds";
const BINDINGS: &str = "sentinel_bindings";

const RELOADS: &str = "sentinel_config_reloads_total";
const RELOAD_OK: &str = "sentinel_config_last_reload_ok";

/// From a cache hit (microseconds) to a check that ran into its deadline, in seconds.
const CHECK_BUCKETS: [f64; 10] = [0.000_02, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.02, 0.05, 0.15, 0.25];
/// From a cached page to a disk that is in trouble, in seconds.
const STORE_BUCKETS: [f64; 10] = [0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];

/// All handles, and the text that `/metrics` serves.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Decisions.
    pub checks: CheckMetrics,
    /// Cache and store.
    pub store: StoreMetrics,
    /// Audit events.
    pub audit: AuditMetrics,
    /// Bindings by state.
    pub bindings: BindingMetrics,
    /// Configurations that were read again.
    pub reload: ReloadMetrics,
    /// Renders the exposition text.
    pub exposition: PrometheusHandle,
}

impl Metrics {
    /// Registers every metric with a recorder of its own: two instances in one process share nothing.
    pub fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(CHECK_DURATION.into()), &CHECK_BUCKETS)?
            .set_buckets_for_metric(Matcher::Full(STORE_DURATION.into()), &STORE_BUCKETS)?
            .build_recorder();
        Ok(Self::register(&recorder))
    }

    fn register(recorder: &PrometheusRecorder) -> Self {
        with_local_recorder(recorder, || {
            describe();
            Self {
                checks: CheckMetrics::register(),
                store: StoreMetrics::register(),
                audit: AuditMetrics {
                    stored: counter!(AUDIT, "outcome" => "stored"),
                    lost: counter!(AUDIT, "outcome" => "lost"),
                    spilled: gauge!(SPILLED),
                },
                bindings: BindingMetrics {
                    provisional: gauge!(BINDINGS, "state" => "provisional"),
                    learned: gauge!(BINDINGS, "state" => "learned"),
                    pinned: gauge!(BINDINGS, "state" => "pinned"),
                    reserved: gauge!(BINDINGS, "state" => "reserved"),
                    observed: gauge!(BINDINGS, "state" => "observed"),
                },
                reload: ReloadMetrics::register(),
                exposition: recorder.handle(),
            }
        })
    }
}

/// Moves recorded samples into their buckets; without it a process that nobody scrapes would keep every sample.
pub async fn drain_histograms(exposition: PrometheusHandle) -> Infallible {
    let mut tick = interval(Duration::from_secs(5));
    loop {
        tick.tick().await;
        exposition.run_upkeep();
    }
}

fn describe() {
    describe_counter!(
        CHECKS,
        "Decisions. Worry when deny/ip_mismatch rises (a leaked key, or an address source that sees the proxy) or when store_unavailable or failsafe_open appear at all."
    );
    describe_counter!(
        CANCELLED,
        "Checks that Envoy dropped before the answer. Worry when it rises: Envoy's timeout is shorter than check_deadline, or this process is starved."
    );
    describe_histogram!(
        CHECK_DURATION,
        "Time from a Check's arrival to its answer, in seconds. Worry when p99 passes 0.005 without first uses."
    );
    describe_counter!(
        CLAIMS,
        "First uses by outcome: won, held (somebody was first), failed (the store did not answer). Worry when failed rises."
    );
    describe_counter!(
        CACHE,
        "Look-ups by tier and outcome. Worry when the process's hits fall below 0.9 of all in steady traffic, and at any forged of redis: somebody else writes there."
    );
    describe_gauge!(
        REDIS_UP,
        "1 while Redis answers in time; 0 where none is set. Worry at 0 where one is: the store does its work."
    );
    describe_histogram!(
        STORE_DURATION,
        "Store operations, in seconds. Worry when claim's p99 nears check_deadline, and when note_uses ends in error for hours: keys in use may be archived."
    );
    describe_counter!(
        AUDIT,
        "Audited events: stored, or lost because neither the store nor the spill took them. Worry at any lost."
    );
    describe_gauge!(
        SPILLED,
        "Bytes of audit records on this disk that wait for the store. Worry when it does not come back to 0; at audit.spill_max records are lost."
    );
    describe_gauge!(
        APPLIED,
        "The revision of the last operator's change that this process decides by. Worry when it differs between replicas for more than a second."
    );
    describe_gauge!(
        CUT_OFF,
        "Seconds since the store last answered a poll; 0 while it does. Worry above 5; at store.stale_grace known keys are refused too (failsafe closed)."
    );
    describe_counter!(
        RELOADS,
        "Configurations read again while running: applied, or refused because they were not valid. Worry at any refused."
    );
    describe_gauge!(
        RELOAD_OK,
        "1 if the last configuration that was read is the one in force. Worry at 0: the next restart would fail."
    );
    describe_gauge!(BINDINGS, "Bindings by state, counted once a minute.");
}

/// Decision counters and latency.
#[derive(Clone, Debug)]
pub struct CheckMetrics {
    /// By mode.
    allowed: [Vec<Counter>; 3],
    denied: [Vec<Counter>; 3],
    cancelled: Counter,
    duration: Histogram,
}

/// Whether this decision can come with this reason in this mode. A series that can never count would only invite alerts
/// on it.
fn can_be(allow: bool, reason: Reason, mode: Mode) -> bool {
    let judged = reason != Reason::ModeOff;
    match mode {
        Mode::Enforce => judged && (reason == Reason::NoKey || reason.allows() == allow),
        Mode::Observe => judged && (allow != reason.binds_in_observe()),
        Mode::Off if allow => reason == Reason::ModeOff,
        Mode::Off => matches!(reason, Reason::MalformedRequest | Reason::CallerRejected),
    }
}

impl CheckMetrics {
    fn register() -> Self {
        let of = |decision, allow, mode: Mode| {
            let series = move |reason: Reason| match can_be(allow, reason, mode) {
                true => {
                    counter!(CHECKS, "decision" => decision, "reason" => reason.as_str(), "mode" => mode.as_str())
                }
                false => Counter::noop(),
            };
            Reason::ALL.into_iter().map(series).collect()
        };
        Self {
            allowed: Mode::ALL.map(|mode| of("allow", true, mode)),
            denied: Mode::ALL.map(|mode| of("deny", false, mode)),
            cancelled: counter!(CANCELLED),
            duration: histogram!(CHECK_DURATION),
        }
    }

    /// Starts to measure one check. Dropped without [`CheckGuard::finish`], the check counts as cancelled, never as
    /// decided.
    pub fn begin(&self, started: Instant) -> CheckGuard<'_> {
        CheckGuard { metrics: Some(self), started }
    }
}

/// One running check.
#[must_use]
pub struct CheckGuard<'a> {
    metrics: Option<&'a CheckMetrics>,
    started: Instant,
}

impl CheckGuard<'_> {
    /// Counts the decision.
    pub fn finish(mut self, allowed: bool, reason: Reason, mode: Mode) {
        if let Some(metrics) = self.metrics.take() {
            let series = if allowed { &metrics.allowed } else { &metrics.denied };
            series[mode as usize][reason as usize].increment(1);
            metrics.duration.record(self.started.elapsed());
        }
    }
}

impl Drop for CheckGuard<'_> {
    fn drop(&mut self) {
        if let Some(metrics) = self.metrics {
            metrics.cancelled.increment(1);
        }
    }
}

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
    const ALL: [(Self, &'static str); 17] = [
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
    fn register() -> Self {
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

/// Audit events (a record that stands for ten denials counts ten).
#[derive(Clone, Debug)]
pub struct AuditMetrics {
    /// Durable.
    pub stored: Counter,
    /// Gone.
    pub lost: Counter,
    /// On the disk, waiting for the store.
    pub spilled: Gauge,
}

/// Configurations that were read again.
#[derive(Clone, Debug)]
pub struct ReloadMetrics {
    outcomes: [Counter; 2],
    ok: Gauge,
}

impl ReloadMetrics {
    fn register() -> Self {
        let ok = gauge!(RELOAD_OK);
        ok.set(1.0);
        Self { outcomes: ["applied", "refused"].map(|outcome| counter!(RELOADS, "outcome" => outcome)), ok }
    }

    /// It is in force.
    pub fn applied(&self) {
        self.outcomes[0].increment(1);
        self.ok.set(1.0);
    }

    /// It is not valid.
    pub fn refused(&self) {
        self.outcomes[1].increment(1);
        self.ok.set(0.0);
    }
}

/// Bindings by state.
#[derive(Clone, Debug)]
pub struct BindingMetrics {
    /// By first use, not yet confirmed.
    pub provisional: Gauge,
    /// By first use.
    pub learned: Gauge,
    /// By an operator.
    pub pinned: Gauge,
    /// Pinned to nobody.
    pub reserved: Gauge,
    /// Seen in observe mode, nobody's.
    pub observed: Gauge,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_check_is_cancelled_and_never_decided() {
        let metrics = Metrics::new().unwrap();
        drop(metrics.checks.begin(Instant::now()));
        metrics.checks.begin(Instant::now()).finish(true, Reason::Bound, Mode::Enforce);
        let text = metrics.exposition.render();
        assert!(text.contains("sentinel_checks_cancelled_total 1"), "{text}");
        assert!(text.contains(r#"sentinel_checks_total{decision="allow",reason="bound",mode="enforce"} 1"#), "{text}");
        assert!(!text.contains(r#"decision="deny",reason="bound""#), "{text}");
        for decision in ["allow", "deny"] {
            assert!(text.contains(&format!(r#"{{decision="{decision}",reason="no_key",mode="enforce"}} 0"#)), "{text}");
        }
    }

    #[test]
    fn operations_are_indexed_by_their_place() {
        for (place, (operation, _)) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, place);
        }
        for (place, mode) in Mode::ALL.into_iter().enumerate() {
            assert_eq!(mode as usize, place);
        }
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
        }
    }
}

//! The table: every metric's name and help.

use metrics::{describe_counter, describe_gauge, describe_histogram};

pub(super) const CHECKS: &str = "sentinel_checks_total";
pub(super) const CANCELLED: &str = "sentinel_checks_cancelled_total";
pub(super) const CHECK_DURATION: &str = "sentinel_check_duration_seconds";
pub(super) const CLAIMS: &str = "sentinel_claims_total";
pub(super) const CACHE: &str = "sentinel_cache_requests_total";
pub(super) const REDIS_UP: &str = "sentinel_redis_up";
pub(super) const STORE_DURATION: &str = "sentinel_store_request_duration_seconds";
pub(super) const AUDIT: &str = "sentinel_audit_events_total";
pub(super) const SPILLED: &str = "sentinel_audit_spill_bytes";
pub(super) const APPLIED: &str = "sentinel_applied_revision";
pub(super) const CUT_OFF: &str = "sentinel_store_cut_off_seconds";
pub(super) const BINDINGS: &str = "sentinel_bindings";

pub(super) const RELOADS: &str = "sentinel_config_reloads_total";
pub(super) const RELOAD_OK: &str = "sentinel_config_last_reload_ok";

/// From a cache hit (microseconds) to a check that ran into its deadline, in seconds.
pub(super) const CHECK_BUCKETS: [f64; 10] =
    [0.000_02, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.02, 0.05, 0.15, 0.25];
/// From a cached page to a disk that is in trouble, in seconds.
pub(super) const STORE_BUCKETS: [f64; 10] = [0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];

/// Registers the help of every metric.
pub(super) fn describe() {
    describe_requests();
    describe_state();
}

/// What requests do.
fn describe_requests() {
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
}

/// What the process keeps.
fn describe_state() {
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

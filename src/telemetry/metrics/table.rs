//! The name and the help of every metric.

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
pub(super) const STORE_WRITABLE: &str = "sentinel_store_writable";
pub(super) const ARCHIVE_WAITS: &str = "sentinel_archive_waits";
pub(super) const BINDINGS: &str = "sentinel_bindings";

pub(super) const RELOADS: &str = "sentinel_config_reloads_total";
pub(super) const RELOAD_OK: &str = "sentinel_config_last_reload_ok";

/// From a cache hit (microseconds) to a check that reached its deadline, in seconds.
pub(super) const CHECK_BUCKETS: [f64; 10] =
    [0.000_02, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.02, 0.05, 0.15, 0.25];
/// From a cached page to a failing disk, in seconds.
pub(super) const STORE_BUCKETS: [f64; 10] = [0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];

/// Registers the help of every metric.
pub(super) fn describe() {
    describe_requests();
    describe_state();
}

/// Metrics of requests.
fn describe_requests() {
    describe_counter!(
        CHECKS,
        "Decisions by decision, reason and mode. Alert when deny/ip_mismatch rises (a leaked key, or a client_ip source that yields the address of a proxy), and on any store_unavailable, deadline_exceeded or failsafe_open."
    );
    describe_counter!(
        CANCELLED,
        "Checks that Envoy cancelled before the answer. Alert when it rises: Envoy's timeout is shorter than check_deadline, or this process lacks CPU time."
    );
    describe_histogram!(
        CHECK_DURATION,
        "Time from the arrival of a Check to its answer, in seconds. Alert when p99 exceeds 0.005 without first uses."
    );
    describe_counter!(
        CLAIMS,
        "Claims that went to the store, by outcome: won, held (the key has an owner, is reserved or banned; in observe mode also a candidate already, or 32 candidates), failed (the store did not answer, or the check ended first). Alert when failed increases for 10 minutes."
    );
    describe_counter!(
        CACHE,
        "Cache look-ups by tier and outcome. Alert when hits of tier process fall below 0.9 of its look-ups in steady traffic, and on any forged of tier redis: another program writes to this Redis."
    );
    describe_gauge!(
        REDIS_UP,
        "1 while Redis answers in time and refuses no command; 0 if none is configured. Alert at 0 if one is configured: the store does its work."
    );
    describe_histogram!(
        STORE_DURATION,
        "Duration of store operations, in seconds. Alert when the p99 of claim is above two thirds of check_deadline, and when note_uses fails for an hour: nothing is archived meanwhile."
    );
}

/// Metrics of the state of the process.
fn describe_state() {
    describe_counter!(
        AUDIT,
        "Audit events: stored, or lost because neither the store nor the spill accepted them. Alert on any lost."
    );
    describe_gauge!(
        SPILLED,
        "Bytes of audit records on the local disk that wait for the store. Alert when it is above 0 for 10 minutes, or above half of audit.spill_max; at audit.spill_max denials are lost."
    );
    describe_gauge!(
        APPLIED,
        "The revision of the last change that is in effect in this process. Alert when it is below the value that another replica had a minute ago."
    );
    describe_gauge!(
        CUT_OFF,
        "Seconds since the store last answered a poll; 0 while it answers. Alert above 5; beyond store.stale_grace known keys are denied too (failsafe closed)."
    );
    describe_gauge!(
        STORE_WRITABLE,
        "1 while the store accepts claims and changes; 0 while its disk is full, or it is read-only. Alert at 0: no new key can be used, and no key can be banned."
    );
    describe_gauge!(
        ARCHIVE_WAITS,
        "1 while no binding is archived because a replica cannot write its times of last use. Alert above 0 for a day: unused keys keep their owners."
    );
    describe_counter!(
        RELOADS,
        "Configuration reloads: applied, or refused because the configuration was not valid. Alert on any refused."
    );
    describe_gauge!(
        RELOAD_OK,
        "1 if the configuration that was read last is in force. Alert at 0: the next restart would fail."
    );
    describe_gauge!(BINDINGS, "Bindings by state, counted once a minute.");
}

//! All metrics: their names, their help with the condition to alert on, their closed labels, and the handles that
//! count.
//!
//! Handles are kept: a held counter costs 14 ns, the `counter!` macro 170.

mod checks;
mod store;
mod table;

use std::{convert::Infallible, time::Duration};

use metrics::{Counter, Gauge, counter, gauge, with_local_recorder};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio::time::interval;

pub use checks::CheckMetrics;
pub use store::{ClaimOutcome, Operation, SharedOutcome, StoreMetrics};

use table::{
    AUDIT, BINDINGS, CHECK_BUCKETS, CHECK_DURATION, RELOAD_OK, RELOADS, SPILLED, STORE_BUCKETS, STORE_DURATION,
    describe,
};

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
    /// Registers every metric with its own recorder, so that two instances in one process share nothing.
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

/// Moves recorded samples into their buckets, because a process that is not scraped would keep every sample.
pub async fn drain_histograms(exposition: PrometheusHandle) -> Infallible {
    let mut tick = interval(Duration::from_secs(5));
    loop {
        tick.tick().await;
        exposition.run_upkeep();
    }
}

/// Audit events; a record of ten denials counts as ten.
#[derive(Clone, Debug)]
pub struct AuditMetrics {
    /// Durable.
    pub stored: Counter,
    /// Lost.
    pub lost: Counter,
    /// Bytes on the disk that wait for the store.
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

    /// The new configuration is in force.
    pub fn applied(&self) {
        self.outcomes[0].increment(1);
        self.ok.set(1.0);
    }

    /// The new configuration is not valid.
    pub fn refused(&self) {
        self.outcomes[1].increment(1);
        self.ok.set(0.0);
    }
}

/// Bindings by state.
#[derive(Clone, Debug)]
pub struct BindingMetrics {
    /// Bound by first use, not yet confirmed.
    pub provisional: Gauge,
    /// Bound by first use.
    pub learned: Gauge,
    /// Bound by an operator.
    pub pinned: Gauge,
    /// Pinned without networks.
    pub reserved: Gauge,
    /// Seen in observe mode, without an owner.
    pub observed: Gauge,
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::domain::{Mode, Reason};

    #[test]
    fn a_cancelled_check_is_not_decided() {
        let metrics = Metrics::new().unwrap();
        metrics.checks.cancelled();
        metrics.checks.finished(Instant::now(), true, Reason::Bound, Mode::Enforce);
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
        for (place, operation) in Operation::ALL.into_iter().enumerate() {
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

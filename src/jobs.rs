//! What runs beside the requests, by the clock.

use std::{convert::Infallible, sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep};
use tracing::{debug, info, warn};

use crate::{
    domain::Timestamp,
    metrics::BindingMetrics,
    store::{Store, StoreError},
};

/// Rows in one transaction: first uses wait behind it.
const STEP: u32 = 1_000;

/// Between two of them, for everyone who waited.
const PAUSE: Duration = Duration::from_millis(100);

/// Counts the bindings once a minute: a count scans, so it must not happen at scrape.
pub async fn count_bindings(store: Arc<dyn Store>, metrics: BindingMetrics) -> Infallible {
    let mut minute = interval(Duration::from_secs(60));
    minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        minute.tick().await;
        match store.counts().await {
            Ok(counts) => {
                metrics.learned.set(counts.learned as f64);
                metrics.pinned.set(counts.pinned as f64);
                metrics.reserved.set(counts.reserved as f64);
            }
            Err(cause) => debug!(%cause, "bindings were not counted"),
        }
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

/// Deletes audit records older than `retention`, once an hour, beginning when the server has come to rest.
pub async fn prune_audit(
    store: Arc<dyn Store>,
    retention: Duration,
    now: impl Fn() -> Option<Timestamp> + Send,
) -> Infallible {
    let mut hour = interval_at(Instant::now() + Duration::from_secs(10), Duration::from_hours(1));
    hour.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        hour.tick().await;
        let Some(now) = now() else { continue };
        let (deleted, done) = prune_audit_once(&*store, now.before(retention)).await;
        if deleted > 0 {
            info!(records = deleted, "old audit records were deleted");
        }
        if let Err(cause) = done {
            warn!(%cause, "old audit records are left for the next run");
        }
    }
}

/// Deletes the audit records of before `before` in small steps, and returns how many it were.
pub async fn prune_audit_once(store: &dyn Store, before: Timestamp) -> (u64, Result<(), StoreError>) {
    let mut deleted = 0;
    loop {
        match store.prune_audit(before, STEP).await {
            Ok(some) => {
                deleted += some;
                if some < u64::from(STEP) {
                    return (deleted, Ok(()));
                }
            }
            Err(cause) => return (deleted, Err(cause)),
        }
        sleep(PAUSE).await;
    }
}

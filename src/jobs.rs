//! What runs beside the requests, by the clock.

use std::{convert::Infallible, sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use crate::{
    metrics::BindingMetrics,
    store::{CountQuery, Store},
};

/// Counts the bindings once a minute: a count scans, so it must not happen at scrape.
pub async fn count_bindings(store: Arc<dyn Store>, metrics: BindingMetrics) -> Infallible {
    let mut minute = interval(Duration::from_secs(60));
    minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        minute.tick().await;
        match store.counts(CountQuery::default()).await {
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

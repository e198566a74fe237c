//! How many bindings there are of each state.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use crate::{
    store::{Operators, ReplicaState, Revision},
    telemetry::metrics::BindingMetrics,
};

/// Counts the bindings once a minute: a count scans, so it must not happen at scrape.
pub async fn run(store: Arc<dyn Operators>, state: Arc<ReplicaState>, metrics: BindingMetrics) -> Infallible {
    // A server that is away at the start would else be counted a minute after it is there.
    state.has_applied(Revision::default()).await;
    let mut minute = interval(Duration::from_secs(60));
    minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        minute.tick().await;
        match store.counts().await {
            Ok(counts) => {
                metrics.provisional.set(counts.provisional as f64);
                metrics.learned.set(counts.learned as f64);
                metrics.pinned.set(counts.pinned as f64);
                metrics.reserved.set(counts.reserved as f64);
                metrics.observed.set(counts.observed as f64);
            }
            Err(cause) => debug!(%cause, "bindings were not counted"),
        }
    }
}

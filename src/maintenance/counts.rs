//! Counts bindings by state.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use crate::{
    store::{Operators, ReplicaState, Revision},
    telemetry::metrics::BindingMetrics,
};

/// Counts the bindings once a minute. A count scans the table, so a scrape must not trigger it.
pub async fn run(store: Arc<dyn Operators>, state: Arc<ReplicaState>, metrics: BindingMetrics) -> Infallible {
    // Otherwise a store that is unreachable at the start would be counted up to a minute after it is reachable.
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
            Err(cause) => debug!(%cause, "cannot count the bindings"),
        }
    }
}

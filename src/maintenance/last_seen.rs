//! Writes the times of last use: collected by the cache, written in batches, never on the path of a request.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::oneshot,
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use crate::store::{Upkeep, Use};

/// How often the times are written. A killed process loses those of this interval.
const BATCH_EVERY: Duration = Duration::from_secs(5);

/// Keys in one transaction. First uses wait for that transaction.
const BATCH: usize = 500;

/// The most keys that wait for a store that does not answer. A key that is dropped is either used again, or was used
/// long ago.
const MAX_WAITING: usize = 1_000_000;

/// Writes what `take` returns until `stop` is sent or dropped, then writes the rest once.
pub async fn write(store: Arc<dyn Upkeep>, take: impl Fn() -> Vec<Use>, mut stop: oneshot::Receiver<()>) {
    let mut tick = interval(BATCH_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut waiting, mut failing) = (Vec::new(), false);
    loop {
        let last = tokio::select! {
            _ = &mut stop => true,
            _ = tick.tick() => false,
        };
        waiting.extend(take());
        if waiting.len() > MAX_WAITING {
            warn!(keys = waiting.len(), "the store does not accept times of last use; they are dropped");
            waiting.clear();
        }
        waiting = store_all(&*store, waiting, &mut failing).await;
        if last {
            return;
        }
    }
}

/// Writes `uses`, and returns those that the store did not accept. `failing` says whether the last call failed.
async fn store_all(store: &dyn Upkeep, mut uses: Vec<Use>, failing: &mut bool) -> Vec<Use> {
    while !uses.is_empty() {
        let batch = uses.split_off(uses.len().saturating_sub(BATCH));
        if let Err(cause) = store.note_uses(batch.clone()).await {
            // Logged once per outage: it is retried every few seconds. The replica that archives by these times may be
            // another one.
            if !std::mem::replace(failing, true) {
                warn!(%cause, "cannot write times of last use; binding.archive_after may archive keys that are in use");
            }
            uses.extend(batch);
            return uses;
        }
    }
    if std::mem::take(failing) {
        info!("times of last use are written again");
    }
    uses
}

//! When keys were last used: collected by the cache, written in batches, never on a request's path.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::oneshot,
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use crate::store::{Upkeep, Use};

/// How often the marks are written. A process that is killed loses so much of them.
const BATCH_EVERY: Duration = Duration::from_secs(5);

/// Keys in one transaction: first uses wait behind it.
const BATCH: usize = 500;

/// The most keys that wait for a store that does not answer. What is beyond is used again, or was used long ago anyway.
const MAX_WAITING: usize = 1_000_000;

/// Writes what `take` returns until `stop` is sent or dropped, and then what is left, once.
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
            warn!(keys = waiting.len(), "the store does not take the times of last use; they are forgotten");
            waiting.clear();
        }
        waiting = store_all(&*store, waiting, &mut failing).await;
        if last {
            return;
        }
    }
}

/// What the store did not take. `failing` is whether something was left the last time.
async fn store_all(store: &dyn Upkeep, mut uses: Vec<Use>, failing: &mut bool) -> Vec<Use> {
    while !uses.is_empty() {
        let batch = uses.split_off(uses.len().saturating_sub(BATCH));
        if let Err(cause) = store.note_uses(batch.clone()).await {
            // Once: it is tried every few seconds, and whoever archives by what is written may be another replica.
            if !std::mem::replace(failing, true) {
                warn!(%cause, "times of last use are not written; binding.archive_after may take keys that are in use");
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

//! Archives bindings that are no longer used.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::{debug, info};

use crate::{
    events::{Event, Events},
    settings::{LiveSettings, Settings},
    store::{ReplicaState, Revision, Upkeep},
};

/// Bindings in one transaction, each of them several rows.
const BATCH: u32 = 200;

/// Between two transactions, for every request that waits for one.
const PAUSE: Duration = Duration::from_millis(100);

/// The job.
pub struct Archive {
    /// Where the bindings are.
    pub store: Arc<dyn Upkeep>,
    /// The store's clock.
    pub state: Arc<ReplicaState>,
    /// Where each archived binding is published.
    pub events: Events,
    /// `binding.archive_after`, where zero is never, and `store.stale_grace`.
    pub settings: Arc<LiveSettings>,
}

impl Archive {
    /// Archives what was neither used nor refused for `archive_after` and `stale_grace`: so long a replica that is cut off
    /// may still allow by what it remembers. Looks once a minute; what a stop leaves is found by the next look.
    pub async fn run(self) -> Infallible {
        let mut minute = interval(Duration::from_secs(60));
        minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            minute.tick().await;
            self.state.has_applied(Revision::default()).await;
            let Settings { archive_after, stale_grace, .. } = *self.settings.load();
            let archived = if archive_after.is_zero() { 0 } else { self.archive_all(archive_after, stale_grace).await };
            if archived > 0 {
                info!(archived, "bindings that were not used for long were archived");
            }
        }
    }

    /// Returns how many were archived.
    async fn archive_all(&self, archive_after: Duration, stale_grace: Duration) -> usize {
        let mut archived = 0;
        while let Some(now) = self.state.time(Instant::now()) {
            let unused_since = now.before(archive_after).before(stale_grace);
            match self.store.archive(unused_since, BATCH, now).await {
                Ok(records) => {
                    records.iter().for_each(|record| self.events.publish(Event::Stored(record)));
                    archived += records.len();
                    if records.len() < BATCH as usize {
                        break;
                    }
                }
                Err(cause) => {
                    debug!(%cause, "nothing more was archived; it is tried again");
                    break;
                }
            }
            sleep(PAUSE).await;
        }
        archived
    }
}

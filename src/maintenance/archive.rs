//! Archives bindings that are no longer used.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{debug, info};

use super::in_steps;
use crate::{
    events::{Event, Events},
    settings::{LiveSettings, Settings},
    store::{ReplicaState, Revision, StoreError, Upkeep},
};

/// Bindings in one transaction, each of them several rows.
const BATCH: u32 = 200;

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
            if archive_after.is_zero() {
                continue;
            }
            let unused_for = archive_after.saturating_add(stale_grace);
            let (archived, done) = in_steps(BATCH, |limit| self.archive_some(unused_for, limit)).await;
            if let Err(cause) = done {
                debug!(%cause, "nothing more was archived; it is tried again");
            }
            if archived > 0 {
                info!(archived, "bindings that were not used for long were archived");
            }
        }
    }

    async fn archive_some(&self, unused_for: Duration, limit: u32) -> Result<u64, StoreError> {
        let Some(now) = self.state.time(Instant::now()) else { return Ok(0) };
        let records = self.store.archive(now.before(unused_for), limit, now).await?;
        records.iter().for_each(|record| self.events.publish(Event::Stored(record)));
        Ok(records.len() as u64)
    }
}

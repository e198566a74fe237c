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

/// Bindings in one transaction; each has several rows.
const BATCH: u32 = 200;

/// The job.
pub struct Archive {
    /// The store of the bindings.
    pub store: Arc<dyn Upkeep>,
    /// The store's clock.
    pub state: Arc<ReplicaState>,
    /// Where each archived binding is published.
    pub events: Events,
    /// `binding.archive_after`, where zero means never, and `store.stale_grace`.
    pub settings: Arc<LiveSettings>,
}

impl Archive {
    /// Archives bindings that were neither used nor denied for `archive_after` plus `stale_grace`, because a replica
    /// that is cut off may use its cached facts for `stale_grace`. Runs once a minute; bindings that a stop leaves over
    /// are archived by a later run.
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
                debug!(%cause, "not all unused bindings were archived; the next run tries again");
            }
            if archived > 0 {
                info!(archived, "unused bindings were archived");
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

//! Archives bindings that are no longer used.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{debug, info};

use super::in_steps;
use crate::{
    domain::{Timestamp, running},
    events::{Event, Events},
    settings::{LiveSettings, Settings},
    store::{ReplicaState, Revision, StoreError, Upkeep},
};

/// Bindings in one transaction; each has several rows.
const BATCH: u32 = 200;

/// Bindings in one run, so that a mistake in the times is noticed before every key is without an owner.
const MOST: u64 = 10_000;

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
    /// Archives bindings that were neither used nor denied while the fleet ran for `archive_after` plus `stale_grace`,
    /// because a replica that is cut off may use its cached facts for `stale_grace`. Runs once a minute; bindings that a
    /// stop leaves over are archived by a later run.
    pub async fn run(self) -> Infallible {
        let mut minute = interval(Duration::from_secs(60));
        minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            minute.tick().await;
            self.state.has_applied(Revision::default()).await;
            let (archived, done) = self.run_once().await;
            if let Err(cause) = done {
                debug!(%cause, "not all unused bindings were archived; the next run tries again");
            }
            if archived > 0 {
                info!(archived, "unused bindings were archived");
            }
        }
    }

    async fn run_once(&self) -> (u64, Result<(), StoreError>) {
        let Some(now) = self.state.time(Instant::now()) else { return (0, Ok(())) };
        // Also while nothing is archived: a later `archive_after` must know when the fleet ran.
        let pauses = match self.store.tick(now).await {
            Ok(pauses) => pauses,
            Err(cause) => return (0, Err(cause)),
        };
        self.state.settle(running::unsettled(now, &pauses));
        let Settings { archive_after, stale_grace, .. } = *self.settings.load();
        if archive_after.is_zero() {
            return (0, Ok(()));
        }
        let unused_since = running::began(now, archive_after.saturating_add(stale_grace), &pauses);
        in_steps(BATCH, MOST, |limit| self.archive_some(unused_since, limit, now)).await
    }

    async fn archive_some(&self, unused_since: Timestamp, limit: u32, now: Timestamp) -> Result<u64, StoreError> {
        let records = self.store.archive(unused_since, limit, now).await?;
        records.iter().for_each(|record| self.events.publish(Event::Stored(record)));
        Ok(records.len() as u64)
    }
}

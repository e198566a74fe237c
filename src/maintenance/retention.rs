//! Deletes what is past its retention.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{info, warn};

use super::in_steps;
use crate::{
    domain::{Timestamp, running},
    store::{ReplicaState, StoreError, Upkeep},
};

/// Rows in one transaction. First uses wait for that transaction.
const BATCH: u32 = 1_000;

/// How long an expired ban is kept, so that operators can still see it.
const EXPIRED_RETENTION: Duration = Duration::from_hours(24 * 30);

/// Deletes once an hour, by the time in which the fleet ran, beginning shortly after the start: audit records older than `retention` (`None` keeps them
/// indefinitely, but the partitions of the next days are still created), and bans and provisional bindings that ended a
/// month ago.
pub async fn run(store: Arc<dyn Upkeep>, state: Arc<ReplicaState>, retention: Option<Duration>) -> Infallible {
    let mut hour = interval_at(Instant::now() + Duration::from_secs(10), Duration::from_hours(1));
    hour.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        hour.tick().await;
        let Some(now) = state.time(Instant::now()) else { continue };
        let pauses = match store.tick(now).await {
            Ok(pauses) => pauses,
            Err(cause) => {
                warn!(%cause, "expired records were not deleted; the next run tries again");
                continue;
            }
        };
        let [audit, ended] =
            [retention.unwrap_or(Duration::MAX), EXPIRED_RETENTION].map(|kept| running::began(now, kept, &pauses));
        let (records, done) = prune_audit_once(&*store, audit).await;
        let (bans, also_done) = in_steps(BATCH, u64::MAX, |limit| store.expire(ended, limit)).await;
        if records + bans > 0 {
            info!(
                records,
                bans, "old audit records, and bans and provisional bindings that ended a month ago, were deleted"
            );
        }
        if let Err(cause) = done.and(also_done) {
            warn!(%cause, "expired records were not all deleted; the next run continues");
        }
    }
}

/// Deletes the audit records before `before` in small steps, and returns how many were deleted.
pub async fn prune_audit_once(store: &dyn Upkeep, before: Timestamp) -> (u64, Result<(), StoreError>) {
    in_steps(BATCH, u64::MAX, |limit| store.prune_audit(before, limit)).await
}

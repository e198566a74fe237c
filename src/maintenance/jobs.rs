//! What runs beside the requests, by the clock.

use std::{convert::Infallible, sync::Arc, time::Duration};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep};
use tracing::{debug, info, warn};

use crate::{
    domain::Timestamp,
    events,
    settings::{LiveSettings, Settings},
    store::{Chore, CountQuery, ReplicaState, Revision, Store, StoreError, Tended},
    telemetry::metrics::BindingMetrics,
};

/// Audit records in one transaction: first uses wait behind it.
const PRUNED: u32 = 1_000;

/// Between two of them, for everyone who waited.
const PAUSE: Duration = Duration::from_millis(100);

/// Counts the bindings once a minute: a count scans, so it must not happen at scrape.
pub async fn count_bindings(store: Arc<dyn Store>, view: Arc<ReplicaState>, metrics: BindingMetrics) -> Infallible {
    // A server that is away at the start would else be counted a minute after it is there.
    view.has_applied(Revision::default()).await;
    let mut minute = interval(Duration::from_secs(60));
    minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        minute.tick().await;
        match store.counts(CountQuery::default()).await {
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

/// Bindings in one transaction, each of them several rows.
const ARCHIVED: u32 = 200;

/// Archives what was neither used nor refused for `archive_after` and `stale_grace`: so long a replica that is cut off
/// may still allow by what it remembers. Looks once a minute; what a stop leaves is found by the next look.
/// Zero is never.
pub async fn archive(store: Arc<dyn Store>, view: Arc<ReplicaState>, settings: Arc<LiveSettings>) -> Infallible {
    let mut minute = interval(Duration::from_secs(60));
    minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        minute.tick().await;
        view.has_applied(Revision::default()).await;
        let (mut archived, settings) = (0, settings.load());
        let Settings { archive_after, stale_grace, .. } = *settings;
        while let Some(now) = view.time(Instant::now()).filter(|_| !archive_after.is_zero()) {
            let unused_since = now.before(archive_after).before(stale_grace);
            match store.tend(Chore::Archive { unused_since, limit: ARCHIVED, now }).await {
                Ok(Tended { records, .. }) => {
                    records.iter().for_each(events::log);
                    archived += records.len();
                    if records.len() < ARCHIVED as usize {
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
        if archived > 0 {
            info!(archived, "bindings that were not used for long were archived");
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

/// How long an operator still sees that a key was banned until some day.
const ENDED_KEPT: Duration = Duration::from_hours(24 * 30);

/// Deletes once an hour, beginning when the server has come to rest: audit records older than `retention`, of which none
/// is for ever (a store that keeps its audit by day still makes the days to come), and what ended a month ago.
pub async fn delete_what_is_over(
    store: Arc<dyn Store>,
    retention: Option<Duration>,
    now: impl Fn() -> Option<Timestamp> + Send,
) -> Infallible {
    let mut hour = interval_at(Instant::now() + Duration::from_secs(10), Duration::from_hours(1));
    hour.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        hour.tick().await;
        let Some(now) = now() else { continue };
        let (audit, ended) = (now.before(retention.unwrap_or(Duration::MAX)), now.before(ENDED_KEPT));
        let (records, done) = prune_audit_once(&*store, audit).await;
        let (bans, also_done) = in_steps(&*store, |limit| Chore::Expire { before: ended, limit }).await;
        if records + bans > 0 {
            info!(records, bans, "old audit records and bans that ended a month ago were deleted");
        }
        if let Err(cause) = done.and(also_done) {
            warn!(%cause, "what is over is left for the next run");
        }
    }
}

/// Deletes the audit records of before `before` in small steps, and returns how many it were.
pub async fn prune_audit_once(store: &dyn Store, before: Timestamp) -> (u64, Result<(), StoreError>) {
    in_steps(store, |limit| Chore::PruneAudit { before, limit }).await
}

async fn in_steps(store: &dyn Store, step: impl Fn(u32) -> Chore) -> (u64, Result<(), StoreError>) {
    let mut deleted = 0;
    loop {
        match store.tend(step(PRUNED)).await {
            Ok(Tended { rows, .. }) => {
                deleted += rows;
                if rows < u64::from(PRUNED) {
                    return (deleted, Ok(()));
                }
            }
            Err(cause) => return (deleted, Err(cause)),
        }
        sleep(PAUSE).await;
    }
}

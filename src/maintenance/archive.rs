//! Archives bindings that are no longer used.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::in_steps;
use crate::{
    domain::{
        Timestamp,
        running::{self, Replica},
    },
    events::{Event, Events},
    settings::{LiveSettings, Settings},
    store::{ReplicaState, Revision, Store, StoreError},
    telemetry::metrics::StoreMetrics,
};

/// Bindings in one transaction; each has several rows. One run archives at least so many.
const BATCH: u32 = 200;

/// All replicas together archive at most a tenth of the learned bindings a minute, or one batch each, so that a mistake in
/// the times is noticed before every key is without an owner.
const SHARE: u64 = 10;

/// A replica that read from the store within this time is running. Rows of ended ones are kept for `archive_after`.
const RUNNING: Duration = Duration::from_secs(180);

/// Bindings in one run, so that it ends before the next one.
const MOST: u64 = 10_000;

/// The job.
pub struct Archive {
    /// The store of the bindings.
    pub store: Arc<dyn Store>,
    /// The store's clock.
    pub state: Arc<ReplicaState>,
    /// Where each archived binding is published.
    pub events: Events,
    /// `binding.archive_after`, where zero means never, and `store.stale_grace`.
    pub settings: Arc<LiveSettings>,
    /// Receives whether the job waits.
    pub metrics: StoreMetrics,
}

impl Archive {
    /// Archives bindings that were neither used nor denied while the fleet ran for `archive_after` plus `stale_grace`,
    /// because a replica that is cut off may use its cached facts for `stale_grace`. Runs once a minute; bindings that a
    /// stop leaves over are archived by a later run.
    pub async fn run(self) -> Infallible {
        let mut minute = interval(Duration::from_secs(60));
        minute.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failed = false;
        loop {
            minute.tick().await;
            self.state.has_applied(Revision::default()).await;
            let (archived, done) = self.run_once().await;
            match done {
                Ok(()) => failed = false,
                // Until a run succeeds, no ban ends at a server that was just started.
                Err(cause) if !std::mem::replace(&mut failed, true) => {
                    warn!(%cause, "not all unused bindings were archived; the next run tries again");
                }
                Err(cause) => debug!(%cause, "not all unused bindings were archived; the next run tries again"),
            }
            if archived > 0 {
                info!(archived, "unused bindings were archived");
            }
        }
    }

    async fn run_once(&self) -> (u64, Result<(), StoreError>) {
        let Some(now) = self.state.time(Instant::now()) else { return (0, Ok(())) };
        let jumps = self.state.jumps();
        // Also while nothing is archived: a later `archive_after` must know when the fleet ran.
        let pauses = match self.store.tick(now).await {
            Ok(pauses) => pauses,
            Err(cause) => return (0, Err(cause)),
        };
        if self.state.jumps() == jumps {
            self.state.set_unsettled(running::unsettled(now, &pauses));
        }
        let Settings { archive_after, stale_grace, .. } = **self.settings.load();
        let unused_since = running::began(now, archive_after.saturating_add(stale_grace), &pauses);
        let replicas = match self.store.replicas(now, unused_since).await {
            Ok(replicas) => replicas,
            Err(cause) => return (0, Err(cause)),
        };
        if archive_after.is_zero() {
            self.waits(None);
            return (0, Ok(()));
        }
        let waits = self.reason_to_wait(&replicas, unused_since);
        let is_waiting = waits.is_some();
        self.waits(waits);
        if is_waiting {
            return (0, Ok(()));
        }
        let archived = match self.archive_some(unused_since, BATCH, now).await {
            Ok(archived) if archived == u64::from(BATCH) => archived,
            Ok(archived) => return (archived, Ok(())),
            Err(cause) => return (0, Err(cause)),
        };
        let share = match self.store.counts().await {
            Ok(counts) => share(counts.learned, &replicas, now),
            Err(cause) => return (archived, Err(cause)),
        };
        if share <= archived {
            return (archived, Ok(()));
        }
        let (more, done) = in_steps(BATCH, share - archived, |limit| self.archive_some(unused_since, limit, now)).await;
        (archived + more, done)
    }

    /// Which times of last use may be missing from the store: a key that is in use there would look unused.
    fn reason_to_wait(&self, replicas: &[Replica], unused_since: Timestamp) -> Option<String> {
        if self.state.writes().are_uses_unwritten() {
            return Some("this server cannot write its times of last use".to_owned());
        }
        let Replica { name, uses_written_at, seen_at } = running::unwritten(replicas, unused_since)?;
        let since = match uses_written_at.as_millis() {
            0 => "has never written its times of last use".to_owned(),
            _ => format!("has not written its times of last use since {uses_written_at}"),
        };
        Some(format!(
            "replica {name} {since}, and read from the store at {seen_at}: keys in use there look unused. Let it write; if \
             it is gone and its keys do not matter, delete its row from the table replicas"
        ))
    }

    fn waits(&self, why: Option<String>) {
        self.metrics.archive_waits(why.is_some());
        let cause = why.clone();
        match (self.state.writes().note_archive_waits(why), cause) {
            (true, Some(cause)) => warn!(cause, "no binding is archived for now"),
            (true, None) => info!("bindings are archived again"),
            (false, _) => {}
        }
    }

    async fn archive_some(&self, unused_since: Timestamp, limit: u32, now: Timestamp) -> Result<u64, StoreError> {
        let records = self.store.archive(unused_since, limit, now).await?;
        records.iter().for_each(|record| self.events.publish(Event::Stored(record)));
        Ok(records.len() as u64)
    }
}

/// The bindings that one run of this server may archive.
fn share(learned: u64, replicas: &[Replica], now: Timestamp) -> u64 {
    let running = replicas.iter().filter(|replica| now.since(replica.seen_at) < RUNNING).count().max(1);
    (learned / SHARE / running as u64).min(MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each start leaves the row of its process for `archive_after`.
    #[test]
    fn only_running_replicas_share_what_may_be_archived() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let seen = |ago: u64| {
            let seen_at = now.before(Duration::from_secs(ago));
            Replica { name: ago.to_string(), uses_written_at: seen_at, seen_at }
        };
        let ended: Vec<_> = (1..50).map(|days| seen(days * 86_400)).collect();
        assert_eq!(share(30_000, &[&ended[..], &[seen(60)]].concat(), now), 3_000);
        assert_eq!(share(30_000, &[&ended[..], &[seen(0), seen(60), seen(100)]].concat(), now), 1_000);
        assert_eq!(share(30_000, &ended, now), 3_000);
        assert_eq!(share(1_000_000, &[], now), MOST);
    }
}

//! The loop that follows the changes of the store.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::{info, warn};

use super::PollSignal;
use crate::{
    cache::Cached,
    domain::{KeyRing, PepperId},
    store::{Decisions, PEPPER_SOURCES, ReplicaState, StoreError},
    telemetry::metrics::StoreMetrics,
};

/// Polls the change log, applies it in order and keeps the clock of the store.
pub struct Follower {
    /// The store.
    pub store: Arc<dyn Decisions>,
    /// The cache to invalidate.
    pub cached: Arc<Cached>,
    /// Receives the clock and the applied revision.
    pub replica_state: Arc<ReplicaState>,
    /// Wakes it before the interval has passed.
    pub signal: PollSignal,
    /// How often to poll without a signal.
    pub poll_interval: Duration,
    /// The peppers that this process lists; the store defines which one is active.
    pub ring: Arc<KeyRing>,
    /// Receives the applied revision and the time since the last poll.
    pub metrics: StoreMetrics,
}

/// Keys of the store are under a pepper that this process does not list. It must not decide anything, because it would
/// take these keys for new ones.
#[derive(Debug, thiserror::Error)]
pub enum WrongPepper {
    /// The active pepper, under which new rows are written.
    #[error("{PEPPER_SOURCES}: the store's active pepper is {active}, but this process lists {ours}")]
    Active {
        /// The active pepper of the store.
        active: PepperId,
        /// The listed peppers.
        ours: String,
    },
    /// A former pepper, or one of an import.
    #[error(
        "{PEPPER_SOURCES}: keys of the store are under pepper {0}, which this process does not list; list it on every replica"
    )]
    InUse(PepperId),
}

impl Follower {
    /// Follows the store until the pepper is wrong. Cancel it by dropping it. `after_poll` runs after every poll,
    /// successful or not, and updates the health.
    pub async fn run(self, after_poll: impl Fn(Instant) + Send) -> WrongPepper {
        let started = Instant::now();
        let mut lost = false;
        loop {
            let began = Instant::now();
            let polled = self.poll().await;
            let answered = polled.is_ok();
            match polled {
                Ok(None) => {
                    if std::mem::take(&mut lost) {
                        info!("the store answers again");
                    }
                }
                Ok(Some(wrong)) => return wrong,
                // A start that waits for the store logs that itself.
                Err(StoreError::Unavailable(_)) if self.replica_state.since_poll(Instant::now()).is_none() => {}
                Err(cause) => {
                    if !std::mem::replace(&mut lost, true) {
                        warn!(%cause, "the store does not answer; known keys are decided from cache");
                    }
                }
            }
            let now = Instant::now();
            let silent = self.replica_state.since_poll(now).unwrap_or_else(|| now - started);
            self.metrics.polled(self.replica_state.applied().0, if answered { Duration::ZERO } else { silent });
            after_poll(now);
            // The interval counts from the beginning of the poll: a poll without an answer has already taken its
            // interval.
            let _ = tokio::time::timeout_at(began + self.poll_interval, self.signal.woken()).await;
        }
    }

    /// Polls once. Returns what is wrong with the peppers, if anything.
    async fn poll(&self) -> Result<Option<WrongPepper>, StoreError> {
        let asked = tokio::time::timeout(
            self.poll_interval.max(MIN_PATIENCE),
            self.store.changes_after(self.replica_state.applied()),
        );
        let changes = asked.await.map_err(|_| StoreError::Unavailable("no answer to the poll in time".into()))??;
        if !self.ring.activate(&changes.active_pepper) {
            let ours = self.ring.peppers().names();
            return Ok(Some(WrongPepper::Active { active: changes.active_pepper, ours }));
        }
        // An import, a rotation, or a restored backup may have brought keys under it while this process ran.
        if let Some(missing) = changes.other_peppers.iter().find(|id| self.ring.peppers().find(id).is_none()) {
            return Ok(Some(WrongPepper::InUse(missing.clone())));
        }
        self.cached.absorb(&changes);
        self.replica_state.polled(&changes, Instant::now());
        Ok(None)
    }
}

/// The timeout of a poll, even if the interval is shorter, as in tests.
const MIN_PATIENCE: Duration = Duration::from_secs(1);

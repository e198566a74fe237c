//! The catch-up loop.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tracing::{info, warn};

use super::PollSignal;
use crate::{
    cache::Cached,
    domain::{KeyRing, PepperId},
    store::{Decisions, ReplicaState, StoreError},
    telemetry::metrics::StoreMetrics,
};

/// Polls the change log, applies it in order and keeps the store's clock.
pub struct Follower {
    /// The authority.
    pub store: Arc<dyn Decisions>,
    /// What is invalidated.
    pub cached: Arc<Cached>,
    /// What learns the clock and the applied revision.
    pub replica_state: Arc<ReplicaState>,
    /// Woken early by.
    pub signal: PollSignal,
    /// How often to poll without a signal.
    pub poll_interval: Duration,
    /// The peppers that this process lists; the store says which of them is active.
    pub ring: Arc<KeyRing>,
    /// Applied revision and time since the last poll.
    pub metrics: StoreMetrics,
}

/// Keys of the store are under a pepper that this process does not have: it must not decide anything, for it would take
/// them for new ones.
#[derive(Debug, thiserror::Error)]
pub enum WrongPepper {
    /// The one that new rows are written with.
    #[error("pepper.secrets: the store's active pepper is {active}, this process has {ours}")]
    Active {
        /// The store's.
        active: PepperId,
        /// What is listed.
        ours: String,
    },
    /// One of before, or of an import.
    #[error(
        "pepper.secrets: keys of the store are under pepper {0}, which is not listed here: list it on every replica"
    )]
    InUse(PepperId),
}

impl Follower {
    /// Follows until the pepper is wrong. Cancel it by dropping it. `after_poll` runs after every poll, successful or
    /// not: health is judged there.
    pub async fn run(self, after_poll: impl Fn(Instant) + Send) -> WrongPepper {
        let started = Instant::now();
        let mut lost = false;
        loop {
            let began = Instant::now();
            let polled = self.poll().await;
            let heard = polled.is_ok();
            match polled {
                Ok(None) => {
                    if std::mem::take(&mut lost) {
                        info!("the store answers again");
                    }
                }
                Ok(Some(wrong)) => return wrong,
                // Who waits for a store that was never there says so himself.
                Err(StoreError::Unavailable(_)) if self.replica_state.since_poll(Instant::now()).is_none() => {}
                Err(cause) => {
                    if !std::mem::replace(&mut lost, true) {
                        warn!(%cause, "the store does not answer; known keys are decided from cache");
                    }
                }
            }
            let now = Instant::now();
            let silent = self.replica_state.since_poll(now).unwrap_or_else(|| now - started);
            self.metrics.polled(self.replica_state.applied().0, if heard { Duration::ZERO } else { silent });
            after_poll(now);
            // From its beginning: one that nobody answered has taken its interval already.
            let _ = tokio::time::timeout_at(began + self.poll_interval, self.signal.woken()).await;
        }
    }

    /// Returns what is wrong with the peppers, if anything.
    async fn poll(&self) -> Result<Option<WrongPepper>, StoreError> {
        let asked =
            tokio::time::timeout(self.poll_interval.max(MIN_PATIENCE), self.store.changes_after(self.replica_state.applied()));
        let changes = asked.await.map_err(|_| StoreError::Unavailable("poll timed out".into()))??;
        if !self.ring.activate(&changes.active_pepper) {
            let ours = self.ring.peppers().names();
            return Ok(Some(WrongPepper::Active { active: changes.active_pepper, ours }));
        }
        // An import, or a rotation there and back, may have brought keys under it while this process ran.
        if let Some(missing) = changes.other_peppers.iter().find(|id| self.ring.peppers().find(id).is_none()) {
            return Ok(Some(WrongPepper::InUse(missing.clone())));
        }
        self.cached.absorb(&changes);
        self.replica_state.polled(&changes, Instant::now());
        Ok(None)
    }
}

/// A poll may take longer than a short interval of a test before the store counts as lost.
const MIN_PATIENCE: Duration = Duration::from_secs(1);

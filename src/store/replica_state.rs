//! The clock of the store, and how far this process is behind the store.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{Changes, Revision, WriteState};
use crate::domain::{Timestamp, running};

/// The last known clock of the store, advanced by the monotonic clock of this process; the time of the last successful
/// poll; and the last applied revision.
///
/// Read on every request: plain atomics, no lock.
#[derive(Debug)]
pub struct ReplicaState {
    /// The origin of the monotonic milliseconds below.
    origin: Instant,
    /// The clock of the store minus the monotonic milliseconds, or [`NEVER`].
    offset: AtomicI64,
    /// Monotonic milliseconds of the last successful poll, or [`NEVER`].
    polled: AtomicI64,
    /// How far the store's clock may be ahead, in milliseconds.
    unsettled: AtomicU64,
    /// `None` before the first successful poll.
    applied: watch::Sender<Option<Revision>>,
    writes: WriteState,
}

const NEVER: i64 = i64::MIN;

impl ReplicaState {
    /// A state before the first poll. `now` is any moment not after the first use.
    pub fn new(now: Instant) -> Self {
        Self {
            origin: now,
            offset: AtomicI64::new(NEVER),
            polled: AtomicI64::new(NEVER),
            unsettled: AtomicU64::new(0),
            applied: watch::Sender::new(None),
            writes: WriteState::default(),
        }
    }

    /// Whether the store accepts writes.
    pub fn writes(&self) -> &WriteState {
        &self.writes
    }

    /// The moment `at` on the clock of the store; `None` before the first successful poll.
    pub fn time(&self, at: Instant) -> Option<Timestamp> {
        match self.offset.load(Ordering::Relaxed) {
            NEVER => None,
            offset => Some(Timestamp::from_millis(offset.saturating_add(self.monotonic(at)))),
        }
    }

    /// How far the store's clock may be ahead: no ban ends by that much of it.
    pub fn unsettled(&self) -> Duration {
        Duration::from_millis(self.unsettled.load(Ordering::Relaxed))
    }

    /// Replaces how far the store's clock may be ahead.
    pub fn settle(&self, unsettled: Duration) {
        self.unsettled.store(u64::try_from(unsettled.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long before `at` the last successful poll was; `None` before the first.
    pub fn since_poll(&self, at: Instant) -> Option<Duration> {
        match self.polled.load(Ordering::Relaxed) {
            NEVER => None,
            polled => Some(Duration::from_millis(u64::try_from(self.monotonic(at) - polled).unwrap_or(0))),
        }
    }

    /// Whether the last successful poll was at most `grace` before `at`.
    pub fn is_fresh(&self, at: Instant, grace: Duration) -> bool {
        self.since_poll(at).is_some_and(|since| since <= grace)
    }

    /// The last revision that this process has applied.
    pub fn applied(&self) -> Revision {
        self.applied.borrow().unwrap_or_default()
    }

    /// Waits until this process has applied `revision`; any first poll satisfies the default one.
    pub async fn has_applied(&self, revision: Revision) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.applied.subscribe().wait_for(|applied| *applied >= Some(revision)).await;
    }

    /// Records a successful poll that was answered at `at`, after the caches have applied its changes.
    pub fn polled(&self, changes: &Changes, at: Instant) {
        let at = self.monotonic(at);
        let offset = changes.now.as_millis().saturating_sub(at);
        let before = self.offset.swap(offset, Ordering::Relaxed);
        let ahead = Duration::from_millis(u64::try_from(offset.saturating_sub(before)).unwrap_or(0));
        if before != NEVER && running::is_jump(ahead) {
            // Until the next tick of the store, which records a pause.
            self.settle(self.unsettled().saturating_add(ahead));
        }
        self.polled.store(at, Ordering::Relaxed);
        // Not the maximum: a restored store goes back, and its next changes take revisions that were used before.
        let revision = Some(changes.revision);
        self.applied.send_if_modified(|applied| std::mem::replace(applied, revision) != revision);
    }

    fn monotonic(&self, at: Instant) -> i64 {
        i64::try_from(at.saturating_duration_since(self.origin).as_millis()).unwrap_or(i64::MAX)
    }
}

//! The one definition of health for every probe: whether this process may decide.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};

/// The last successful poll of the store.
#[derive(Clone, Copy, Debug, Default)]
pub struct LastPoll {
    /// How long ago it was; `None` before the first.
    pub since: Option<Duration>,
    /// Whether that is within `store.stale_grace`.
    pub fresh: bool,
    /// The last revision that is in effect in this process.
    pub applied_revision: i64,
    /// Why the store accepts no writes, if it accepts none. Known keys are still decided, so this does not affect
    /// [`Health::is_serving`].
    pub unwritable: Option<&'static str>,
}

/// SERVING while the last successful poll of the store is at most `store.stale_grace` old; not before the first one, and
/// not after the drain has begun. Redis and notifications never affect it.
pub struct Health {
    last_poll: Box<dyn Fn(Instant) -> LastPoll + Send + Sync>,
    draining: AtomicBool,
    serving: watch::Sender<bool>,
}

impl Health {
    /// Creates the state, not serving yet. `last_poll` returns the last poll as of a moment.
    pub fn new(last_poll: impl Fn(Instant) -> LastPoll + Send + Sync + 'static) -> Self {
        let (draining, serving) = (AtomicBool::new(false), watch::Sender::new(false));
        Self { last_poll: Box::new(last_poll), draining, serving }
    }

    /// Updates the state; called after every poll.
    pub fn update(&self, now: Instant) {
        self.serving.send_if_modified(|was| {
            // Under the lock of the channel, so that a concurrent poll cannot undo a drain.
            let serving = !self.draining.load(Ordering::SeqCst) && (self.last_poll)(now).fresh;
            std::mem::replace(was, serving) != serving
        });
    }

    /// Stops serving, permanently.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.update(Instant::now());
    }

    /// Whether health checks report SERVING.
    pub fn is_serving(&self) -> bool {
        *self.serving.borrow()
    }

    /// Returns a receiver of changes to [`Health::is_serving`].
    pub(super) fn subscribe(&self) -> watch::Receiver<bool> {
        self.serving.subscribe()
    }

    /// Why the store accepts no writes, if it accepts none.
    pub(super) fn unwritable(&self) -> Option<&'static str> {
        (self.last_poll)(Instant::now()).unwritable
    }

    /// The content of `/healthz`.
    pub(super) fn detail(&self) -> Value {
        let LastPoll { since, fresh, applied_revision, unwritable } = (self.last_poll)(Instant::now());
        json!({
            "serving": self.is_serving(),
            "draining": self.draining.load(Ordering::Relaxed),
            "store": {
                "fresh": fresh,
                "since_poll_ms": since.map(|since| since.as_millis() as u64),
                "applied_revision": applied_revision,
                "writable": unwritable.is_none(),
                "unwritable": unwritable,
            },
        })
    }
}

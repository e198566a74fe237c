//! One answer to "may this process decide?", for every probe.

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
    /// The revision that this process decides by.
    pub applied_revision: i64,
}

/// SERVING from the first successful poll of the store until drain begins, or until the store has been silent for
/// longer than `store.stale_grace`. A cache or a hint bus never changes it.
pub struct Health {
    last_poll: Box<dyn Fn(Instant) -> LastPoll + Send + Sync>,
    draining: AtomicBool,
    serving: watch::Sender<bool>,
}

impl Health {
    /// Not serving yet. `last_poll` is asked what is true at a moment.
    pub fn new(last_poll: impl Fn(Instant) -> LastPoll + Send + Sync + 'static) -> Self {
        let (draining, serving) = (AtomicBool::new(false), watch::Sender::new(false));
        Self { last_poll: Box::new(last_poll), draining, serving }
    }

    /// Judges anew; called after every poll.
    pub fn judge(&self, now: Instant) {
        self.serving.send_if_modified(|was| {
            // Under the lock, so that a poll that judges at the same time cannot undo a drain.
            let serving = !self.draining.load(Ordering::SeqCst) && (self.last_poll)(now).fresh;
            std::mem::replace(was, serving) != serving
        });
    }

    /// Stops being ready, for good.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.judge(Instant::now());
    }

    /// What health checks are told.
    pub fn is_serving(&self) -> bool {
        *self.serving.borrow()
    }

    /// What [`Health::is_serving`] says, from now on.
    pub(super) fn subscribe(&self) -> watch::Receiver<bool> {
        self.serving.subscribe()
    }

    /// `/healthz`.
    pub(super) fn detail(&self) -> Value {
        let LastPoll { since, fresh, applied_revision } = (self.last_poll)(Instant::now());
        json!({
            "serving": self.is_serving(),
            "draining": self.draining.load(Ordering::Relaxed),
            "store": {
                "fresh": fresh,
                "since_poll_ms": since.map(|since| since.as_millis() as u64),
                "applied_revision": applied_revision,
            },
        })
    }
}

//! The queue between decisions and the pipeline. A decision never waits: a denial that finds the queue full is lost and
//! counted.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use metrics::Counter;
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    time::Instant,
};
use tracing::error;

use super::Denial;
use crate::domain::{Reason, event::EventKind};

/// The most denials that wait for the pipeline. Its task only coalesces, so the queue absorbs bursts of a few
/// milliseconds.
pub(super) const QUEUE: usize = 65_536;

/// A denial and its time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queued {
    pub(super) kind: EventKind,
    pub(super) denial: Denial,
    pub(super) at: Instant,
}

/// Where decisions put denials. Cheap to clone.
#[derive(Clone)]
pub(super) struct Queue {
    sender: Sender<Queued>,
    lost: Lost,
}

impl Queue {
    pub(super) fn new(lost: Lost) -> (Self, Receiver<Queued>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self { sender, lost }, receiver)
    }

    /// Never waits.
    pub(super) fn put(&self, kind: EventKind, mut denial: Denial) {
        if denial.reason == Reason::ClaimLimited {
            // An attacker can make up any number of keys without a row. A record for each of them would fill the disk,
            // which the claim budget is there to prevent.
            denial.key_id = None;
        }
        if self.sender.try_send(Queued { kind, denial, at: Instant::now() }).is_err() {
            self.lost.add(1);
        }
    }
}

/// Counts denials that no record reports.
#[derive(Clone)]
pub(super) struct Lost {
    counter: Counter,
    unlogged: Arc<AtomicU64>,
}

impl Lost {
    pub(super) fn new(counter: Counter) -> Self {
        Self { counter, unlogged: Arc::default() }
    }

    pub(super) fn add(&self, denials: u64) {
        self.counter.increment(denials);
        self.unlogged.fetch_add(denials, Ordering::Relaxed);
    }

    /// Logs what was lost since the last call. Called at most once a second.
    pub(super) fn log(&self) {
        let denials = self.unlogged.swap(0, Ordering::Relaxed);
        if denials > 0 {
            error!(denials, "denials are missing from the audit");
        }
    }
}

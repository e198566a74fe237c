//! Who was refused, who came first, who changed what: stored, and logged as JSON.
//!
//! Denials pass a bounded queue and are stored by a task of their own; a decision never waits for them. First uses and
//! operators' changes are stored by the transaction that makes them; here is only their log line.

mod log;
mod pipeline;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use metrics::Counter;

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use tracing::error;

pub use log::log;

use crate::{
    domain::{
        ClientIp, KeyId, Reason,
        event::{DecisionId, EventKind},
    },
    metrics::AuditMetrics,
    store::{Store, view::View},
};
use pipeline::Pipeline;

#[derive(Clone, Copy, Debug)]
struct Denial {
    kind: EventKind,
    reason: Reason,
    key_id: Option<KeyId>,
    ip: Option<ClientIp>,
    decision_id: DecisionId,
    at: Instant,
}

/// Where decisions report. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    queue: mpsc::Sender<Denial>,
    lost: Lost,
}

/// Denials that wait for the pipeline's task; it only coalesces, so this absorbs bursts of a few milliseconds.
const QUEUE: usize = 65_536;

impl Audit {
    /// A pipeline into `store`, and the future that drives it. The future ends after `stop` is sent (or dropped) and
    /// what was reported until then is stored, or counted as lost.
    pub fn new(
        store: Arc<dyn Store>,
        view: Arc<View>,
        metrics: AuditMetrics,
        stop: oneshot::Receiver<()>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, denials) = mpsc::channel(QUEUE);
        let lost = Lost { counter: metrics.lost, unlogged: Arc::default() };
        let pipeline = Pipeline::new(store, view, metrics.stored, lost.clone());
        (Self { queue, lost }, pipeline.run(denials, stop))
    }

    /// Reports. Never waits: with the queue full the denial is lost, counted, and logged as lost.
    pub fn denied(&self, reason: Reason, key_id: Option<KeyId>, ip: Option<ClientIp>, decision_id: DecisionId) {
        self.report(Denial { kind: EventKind::Denied, reason, key_id, ip, decision_id, at: Instant::now() });
    }

    /// Reports what passed only because the mode is `observe`, as [`Audit::denied`] does.
    pub fn would_deny(&self, reason: Reason, key_id: Option<KeyId>, ip: Option<ClientIp>, decision_id: DecisionId) {
        self.report(Denial { kind: EventKind::WouldDeny, reason, key_id, ip, decision_id, at: Instant::now() });
    }

    fn report(&self, denial: Denial) {
        if self.queue.try_send(denial).is_err() {
            self.lost.add(1);
        }
    }
}

/// Denials that no record tells of.
#[derive(Clone)]
struct Lost {
    counter: Counter,
    unlogged: Arc<AtomicU64>,
}

impl Lost {
    fn add(&self, denials: u64) {
        self.counter.increment(denials);
        self.unlogged.fetch_add(denials, Ordering::Relaxed);
    }

    /// Once a second at most, however many are lost.
    fn log(&self) {
        let denials = self.unlogged.swap(0, Ordering::Relaxed);
        if denials > 0 {
            error!(denials, "denials were lost to the audit");
        }
    }
}

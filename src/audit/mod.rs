//! Who was refused, who came first, who changed what: stored, and logged as JSON.
//!
//! Denials pass a bounded queue and are stored by a task of their own; a decision never waits for them. First uses and
//! operators' changes are stored by the transaction that makes them, and are only logged here.

mod log;
mod pipeline;

use std::sync::Arc;

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

pub use log::log;

use crate::{
    domain::{ClientIp, KeyId, Reason, event::DecisionId},
    metrics::AuditMetrics,
    store::{Store, view::View},
};
use pipeline::Pipeline;

/// What a decision may report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Happening {
    /// A request was refused.
    Denied(Reason),
    /// A key got its owner; already stored with the claim.
    FirstUse,
}

#[derive(Clone, Copy, Debug)]
struct Event {
    happening: Happening,
    key_id: Option<KeyId>,
    ip: Option<ClientIp>,
    decision_id: DecisionId,
    at: Instant,
}

/// Where decisions report. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    queue: mpsc::Sender<Event>,
    metrics: AuditMetrics,
}

/// Events that wait for the pipeline's task; it only coalesces, so this absorbs bursts of a few milliseconds.
const QUEUE: usize = 65_536;

impl Audit {
    /// A pipeline into `store`, and the future that drives it. The future ends after `stop` is sent (or dropped) and
    /// what was reported until then is stored.
    pub fn new(
        store: Arc<dyn Store>,
        view: Arc<View>,
        metrics: AuditMetrics,
        stop: oneshot::Receiver<()>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, events) = mpsc::channel(QUEUE);
        let pipeline = Pipeline::new(store, view, metrics.clone());
        (Self { queue, metrics }, pipeline.run(events, stop))
    }

    /// Reports. Never waits: with the queue full the event is counted as lost.
    pub fn happened(&self, happening: Happening, key_id: Option<KeyId>, ip: Option<ClientIp>, decision_id: DecisionId) {
        let event = Event { happening, key_id, ip, decision_id, at: Instant::now() };
        if self.queue.try_send(event).is_err() {
            self.metrics.lost.increment(1);
        }
    }
}

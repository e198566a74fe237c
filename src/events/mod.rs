//! Who was refused, who came first, who changed what: stored, and logged as JSON.
//!
//! Denials pass a bounded queue into the pipeline, a task of its own that makes one record of those that are alike and
//! flushes them every second; a decision never waits for it. The audit_writer brings each batch of records to the store, by
//! way of the spill when the store does not take it, and writes down when it did, so that the next start knows what a
//! kill may have taken. First uses and operators' changes are stored by the transaction that makes them; here is only
//! their log line.

mod audit_writer;
mod log;
mod pipeline;
mod run;
mod spill;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
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
    store::{ReplicaState, Upkeep},
    telemetry::metrics::AuditMetrics,
};
use audit_writer::AuditWriter;
use pipeline::Pipeline;

/// How the audit is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// What waits for the store, and the state of the run. Made if it is missing; its parent must exist.
    pub folder: PathBuf,
    /// The most bytes that wait there.
    pub spill_max: u64,
    /// Whether records of denials, in the store and in the log, name the `/24` or `/48` around a client instead of the
    /// client's own network.
    pub mask_addresses: bool,
}

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
    /// what was reported until then is durable, or counted as lost. Fails if the folder is not to be had.
    pub fn new(
        store: Arc<dyn Upkeep>,
        view: Arc<ReplicaState>,
        metrics: AuditMetrics,
        options: &Options,
        stop: oneshot::Receiver<()>,
    ) -> io::Result<(Self, impl Future<Output = ()> + Send + use<>)> {
        let (queue, denials) = mpsc::channel(QUEUE);
        let lost = Lost { counter: metrics.lost.clone(), unlogged: Arc::default() };
        let (audit_writer, before) =
            AuditWriter::begin(&options.folder, options.spill_max, store, metrics, lost.clone())?;
        let pipeline = Pipeline::new(audit_writer, before, view, lost.clone(), options.mask_addresses);
        Ok((Self { queue, lost }, pipeline.run(denials, stop)))
    }

    /// Reports. Never waits: with the queue full the denial is lost, counted, and logged as lost.
    pub fn denied(&self, reason: Reason, key_id: Option<KeyId>, ip: Option<ClientIp>, decision_id: DecisionId) {
        self.report(Denial { kind: EventKind::Denied, reason, key_id, ip, decision_id, at: Instant::now() });
    }

    /// Reports what passed only because the mode is `observe`, as [`Audit::denied`] does.
    pub fn would_deny(&self, reason: Reason, key_id: Option<KeyId>, ip: Option<ClientIp>, decision_id: DecisionId) {
        self.report(Denial { kind: EventKind::WouldDeny, reason, key_id, ip, decision_id, at: Instant::now() });
    }

    fn report(&self, mut denial: Denial) {
        if denial.reason == Reason::ClaimLimited {
            // Keys without a row, as many as somebody cares to make up: a record for each would fill the disk that the
            // budget keeps the bindings from filling.
            denial.key_id = None;
        }
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

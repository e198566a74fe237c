//! What happened (who was refused, who came first, who changed what), published once and brought to all who need it.
//!
//! A denial passes a bounded queue into the pipeline, a task of its own that makes one record of those that are alike
//! and flushes them every second; a decision never waits for it. The `AuditWriter` brings each batch of records to the
//! store, by way of the spill when the store does not take it, and writes down when it did, so that the next start knows
//! what a kill may have taken. First uses and operators' changes are stored by the transaction that makes them.
//!
//! Both reach every [`EventSink`] as the same audit records. Another sink is a type here and a line in `app`.

mod audit_writer;
mod event;
mod pipeline;
mod queue;
mod run;
mod sink;
mod spill;

use std::{io, path::PathBuf, sync::Arc};

use tokio::sync::oneshot;

pub use event::{Denial, Event};
pub use sink::{EventSink, JsonLog};

use crate::{
    domain::event::EventKind,
    store::{ReplicaState, Upkeep},
    telemetry::metrics::AuditMetrics,
};
use audit_writer::AuditWriter;
use pipeline::Pipeline;
use queue::{Lost, Queue};
use sink::Sinks;

/// How the audit is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// What waits for the store, and the state of the run. Made if it is missing; its parent must exist.
    pub directory: PathBuf,
    /// The most bytes that wait there.
    pub spill_max: u64,
    /// Whether records of denials name the `/24` or `/48` around a client instead of the client's own network.
    pub mask_addresses: bool,
}

/// Where everything that happens is published. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    denials: Queue,
    sinks: Sinks,
}

impl Events {
    /// Events that are stored in `store` and brought to `sinks`, and the future that drives the pipeline. The future ends
    /// after `stop` is sent (or dropped) and the denials published until then are durable, or counted as lost. Fails if
    /// the directory cannot be used.
    pub fn new(
        store: Arc<dyn Upkeep>,
        replica_state: Arc<ReplicaState>,
        metrics: AuditMetrics,
        options: &Options,
        sinks: Vec<Box<dyn EventSink>>,
        stop: oneshot::Receiver<()>,
    ) -> io::Result<(Self, impl Future<Output = ()> + Send + use<>)> {
        let (lost, sinks) = (Lost::new(metrics.lost.clone()), Sinks::new(sinks));
        let (denials, queued) = Queue::new(lost.clone());
        let (writer, before) = AuditWriter::begin(&options.directory, options.spill_max, store, metrics, lost.clone())?;
        let pipeline = Pipeline::new(writer, before, replica_state, lost, sinks.clone(), options.mask_addresses);
        Ok((Self { denials, sinks }, pipeline.run(queued, stop)))
    }

    /// Publishes. Never waits: with the queue full a denial is lost, counted, and logged as lost.
    pub fn publish(&self, event: Event<'_>) {
        match event {
            Event::Denied(denial) => self.denials.put(EventKind::Denied, denial),
            Event::WouldDeny(denial) => self.denials.put(EventKind::WouldDeny, denial),
            Event::Stored(record) => self.sinks.receive(record),
        }
    }
}

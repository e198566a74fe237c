//! Publishes events (denials, first uses, changes) once, and delivers them to all sinks.
//!
//! Denials that are alike are coalesced where they are published. The pipeline, a task, flushes them every second; a
//! decision never waits for it. The `AuditWriter` writes each batch of records to the
//! store, or to the spill while the store does not accept it, and persists the time of each flush, so that the next
//! start knows which denials a kill may have lost. First uses and changes by operators are stored by the transactions
//! that make them.
//!
//! Every [`EventSink`] receives both as audit records. A new sink is a type here and a line in `app`.

mod audit_writer;
mod event;
mod pipeline;
mod run;
mod sink;
mod spill;
mod waiting;

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
use sink::Sinks;
use waiting::{Lost, Waiting};

/// How audit records are kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Holds the records that wait for the store, and the state of the run. Created if missing; its parent must exist.
    pub directory: PathBuf,
    /// The most bytes of waiting records.
    pub spill_max: u64,
    /// Whether records of denials name the `/24` or `/48` around a client instead of the client's own network.
    pub mask_addresses: bool,
}

/// Publishes events. Cheap to clone.
#[derive(Clone)]
pub struct Events {
    waiting: Arc<Waiting>,
    sinks: Sinks,
}

impl Events {
    /// Creates the publisher for `store` and `sinks`, and the future that drives the pipeline. The future ends after
    /// `stop` is sent (or dropped) and the denials published until then are durable or counted as lost. Fails if the
    /// directory cannot be used.
    pub fn new(
        store: Arc<dyn Upkeep>,
        replica_state: Arc<ReplicaState>,
        metrics: AuditMetrics,
        options: &Options,
        sinks: Vec<Box<dyn EventSink>>,
        stop: oneshot::Receiver<()>,
    ) -> io::Result<(Self, impl Future<Output = ()> + Send + use<>)> {
        let (lost, sinks) = (Lost::new(metrics.lost.clone()), Sinks::new(sinks));
        let waiting = Arc::new(Waiting::new(lost.clone(), options.mask_addresses));
        let (writer, previous) =
            AuditWriter::begin(&options.directory, options.spill_max, store, metrics, lost.clone())?;
        let pipeline = Pipeline::new(Arc::clone(&waiting), writer, previous, replica_state, lost, sinks.clone());
        Ok((Self { waiting, sinks }, pipeline.run(stop)))
    }

    /// Publishes an event. Never waits: a denial that would be one record too many is lost, counted, and its loss is
    /// logged.
    pub fn publish(&self, event: Event<'_>) {
        match event {
            Event::Denied(denial) => self.waiting.put(EventKind::Denied, denial),
            Event::WouldDeny(denial) => self.waiting.put(EventKind::WouldDeny, denial),
            Event::Stored(record) => self.sinks.receive(record),
        }
    }
}

//! Further receivers of audit records; the log is one.

use std::sync::Arc;

use tracing::info;

use crate::domain::event::Record;

/// Receives every audit record once: the record of a transaction after its commit, and coalesced denials when they are
/// sent to the store.
///
/// The store is not a sink: it must get each denial once, in order and durably, so the pipeline waits for it. Nothing
/// waits for a sink.
pub trait EventSink: Send + Sync + 'static {
    /// Receives `record`. Must not block or wait: the caller may hold up a first use, an operator or the flush of the
    /// audit. A sink with more work has a bounded queue of its own and counts what it drops.
    fn receive(&self, record: &Record);
}

/// Logs every record as a JSON line with target `audit`; absent fields are omitted. Does not block: the log writer
/// drops lines if its buffer is full.
#[derive(Clone, Copy, Debug)]
pub struct JsonLog;

impl EventSink for JsonLog {
    fn receive(&self, record: &Record) {
        let Record { kind, reason, key_id, network, count, first_at, last_at, actor, decision_id, detail, delta: _ } =
            record;
        info!(
            target: "audit",
            kind = kind.as_str(),
            reason = reason.map(|reason| reason.as_str()),
            key_id = key_id.map(tracing::field::display),
            network = network.map(tracing::field::display),
            count,
            first_at = %first_at,
            last_at = %last_at,
            actor = actor.as_deref(),
            decision_id = decision_id.as_deref(),
            detail = detail.as_deref(),
        );
    }
}

/// All sinks. Cheap to clone.
#[derive(Clone)]
pub(super) struct Sinks(Arc<[Box<dyn EventSink>]>);

impl Sinks {
    pub(super) fn new(sinks: Vec<Box<dyn EventSink>>) -> Self {
        Self(sinks.into())
    }

    pub(super) fn receive(&self, record: &Record) {
        self.0.iter().for_each(|sink| sink.receive(record));
    }
}

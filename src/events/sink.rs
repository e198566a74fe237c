//! Who else learns of what the audit holds; the log is one.

use std::sync::Arc;

use tracing::info;

use crate::domain::event::Record;

/// Receives every audit record once: what a transaction stored when it has committed, and denials, coalesced, when they
/// are sent to the store.
///
/// The store itself is no sink: it must get each denial once, in order and durably, so the pipeline waits for it. Nothing
/// waits for a sink.
pub trait EventSink: Send + Sync + 'static {
    /// Takes `record`. Must not block, and must not wait for anything: the caller may hold up a first use, an operator or
    /// the flush of the audit. A sink with more to do has a bounded queue of its own and counts what finds it full.
    fn receive(&self, record: &Record);
}

/// Logs every record as a JSON line, target `audit`; fields that say nothing are absent. Does not block: the log's writer
/// drops lines that it has no room for.
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

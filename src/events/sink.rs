//! Who else learns of what the audit holds.

use std::sync::Arc;

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

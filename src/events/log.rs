//! The audit as JSON log lines, target `audit`.

use tracing::info;

use super::EventSink;
use crate::domain::event::Record;

/// Logs every record; fields that say nothing are absent. Does not block: the log's writer drops lines that it has no
/// room for.
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

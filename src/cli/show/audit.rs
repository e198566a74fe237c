//! What happened.

use super::{columns, or_nothing, text, time};
use crate::admin::api::{AuditRecord, ListAuditResponse};

/// One line a record. `filtered` says that there may be others.
pub(in crate::cli) fn records(answer: &ListAuditResponse, filtered: bool) -> String {
    if answer.records.is_empty() {
        return if filtered { "No audit record matches.\n" } else { "No audit records yet.\n" }.to_owned();
    }
    let rows = answer.records.iter().map(|record| {
        let detail = if record.reason.is_empty() { &record.detail } else { &record.reason };
        [
            time::moment(record.last_at_ms),
            record.kind.clone(),
            or_nothing(&record.key_id).to_owned(),
            or_nothing(&record.network).to_owned(),
            record.count.to_string(),
            or_nothing(&record.actor).to_owned(),
            or_nothing(detail).to_owned(),
        ]
    });
    text(columns(["TIME", "KIND", "KEY", "NETWORK", ">TIMES", "BY", "WHAT"], rows))
}

/// One line, wide enough for what is to come.
pub(in crate::cli) fn record(record: &AuditRecord) -> String {
    let detail = if record.reason.is_empty() { &record.detail } else { &record.reason };
    format!(
        "{}  {:13}  {:34}  {:18}  {:>6}  {:8}  {}\n",
        time::moment(record.last_at_ms),
        record.kind,
        or_nothing(&record.key_id),
        or_nothing(&record.network),
        record.count,
        or_nothing(&record.actor),
        or_nothing(detail),
    )
}

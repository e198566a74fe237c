//! Audit records, and the commands that reverse them.

use super::{
    table::{Cell, table},
    text::{NOTHING, or_nothing},
    time,
};
use crate::{
    admin::api::{AuditRecord, ListAuditResponse},
    cli::screen::{Paint, Screen},
};

/// The width of `pepper_activated`, the longest kind.
const KIND_WIDTH: usize = 16;

/// One line per record. `filtered` selects the text for an empty list.
pub(in crate::cli) fn records(answer: &ListAuditResponse, filtered: bool, screen: Screen) -> String {
    if answer.records.is_empty() {
        return if filtered { "No audit record matches.\n" } else { "No audit records yet.\n" }.to_owned();
    }
    let rows = answer.records.iter().map(|record| {
        [
            record.record.to_string().into(),
            time::moment(record.last_at_ms).into(),
            kind(&record.kind),
            or_nothing(&record.key_id).into(),
            or_nothing(&record.network).into(),
            record.count.to_string().into(),
            or_nothing(&record.actor).into(),
            if record.undoable { undo(record.record) } else { NOTHING.to_owned() }.into(),
            or_nothing(reason_or_detail(record)).into(),
            or_nothing(&record.decision_id).into(),
        ]
    });
    table([">RECORD", "TIME", "KIND", "KEY", "NETWORK", ">TIMES", "BY", "UNDO", "WHAT", "?DECISION"], rows, screen)
}

/// The command that reverses the change of this record.
pub(in crate::cli) fn undo(record: i64) -> String {
    format!("sentinel undo {record}")
}

/// The question before an undo.
pub(in crate::cli) fn undo_question(record: &AuditRecord, now: i64) -> String {
    let AuditRecord { record: number, kind, key_id, actor, .. } = record;
    let age = time::ago(now.saturating_sub(record.last_at_ms));
    format!(
        "Record {number}: {kind} of {key_id} by {}, {age}: {}\nThis change will be reversed.",
        or_nothing(actor),
        reason_or_detail(record)
    )
}

fn reason_or_detail(record: &AuditRecord) -> &str {
    if record.reason.is_empty() { &record.detail } else { &record.reason }
}

fn kind(word: &str) -> Cell {
    match word {
        "denied" => Cell::painted(word, Paint::Denied),
        "first_use" | "network_added" => Cell::painted(word, Paint::Allowed),
        _ => word.into(),
    }
}

/// One line of a stream, with fixed column widths, because later records are not known.
pub(in crate::cli) fn record(record: &AuditRecord, screen: Screen) -> String {
    format!(
        "{:>7}  {}  {}  {:34}  {:18}  {:>6}  {:8}  {}\n",
        record.record,
        time::moment(record.last_at_ms),
        kind(&record.kind).pad(KIND_WIDTH).show(screen),
        or_nothing(&record.key_id),
        or_nothing(&record.network),
        record.count,
        or_nothing(&record.actor),
        or_nothing(reason_or_detail(record)),
    )
}

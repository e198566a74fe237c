//! What happened, and how to take it back.

use super::{columns, or_nothing, time};
use crate::{
    admin::api::{AuditRecord, ListAuditResponse},
    domain::Network,
};

/// One line a record, and below each change the command that reverses it. `filtered` says that there may be others.
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
    let mut lines = columns(["TIME", "KIND", "KEY", "NETWORK", ">TIMES", "BY", "WHAT"], rows).into_iter();
    let mut out = lines.next().unwrap_or_default() + "\n";
    for (line, record) in lines.zip(&answer.records) {
        out.push_str(&line);
        out.push('\n');
        if let Some(command) = undo(record) {
            out.push_str(&format!("  undo: {command}\n"));
        }
    }
    out
}

/// The command that reverses a change, where one does.
fn undo(record: &AuditRecord) -> Option<String> {
    let id = &record.key_id;
    match record.kind.as_str() {
        "ban" => Some(format!("sentinel unban {id}")),
        "unban" => Some(format!("sentinel ban {id}")),
        // `networks 203.0.113.7/32 -> reserved`
        "unbind" => match record.detail.strip_prefix("networks ")?.split_once(" -> ")? {
            // Without a binding there is nothing to unbind, until the next first use.
            (_, "open to the next first use") => None,
            ("reserved", _) => Some(format!("sentinel unbind {id}")),
            // Several networks are no command's argument.
            (former, _) => former.parse::<Network>().ok().map(|owner| format!("sentinel unbind {id} --to {owner}")),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_has_the_command_that_reverses_it() {
        let undo = |kind: &str, detail: &str| {
            undo(&AuditRecord { kind: kind.into(), detail: detail.into(), key_id: "K".into(), ..Default::default() })
        };
        assert_eq!(undo("ban", "for ever").as_deref(), Some("sentinel unban K"));
        assert_eq!(undo("unban", "").as_deref(), Some("sentinel ban K"));
        let to = Some("sentinel unbind K --to 203.0.113.7/32");
        assert_eq!(undo("unbind", "networks 203.0.113.7/32 -> reserved").as_deref(), to);
        assert_eq!(undo("unbind", "networks reserved -> 10.0.0.0/8").as_deref(), Some("sentinel unbind K"));
        assert_eq!(undo("unbind", "networks 10.0.0.0/8, 10.1.0.0/16 -> reserved"), None);
        assert_eq!(undo("unbind", "networks 203.0.113.7/32 -> open to the next first use"), None);
        assert_eq!(undo("unbind", ""), None);
        assert_eq!(undo("denied", ""), None);
    }
}

//! Comma-separated values as RFC 4180 has them, and such that a spreadsheet takes no cell for a formula.

use crate::admin::api::AuditRecord;

use super::json::time;

/// The names of the columns, which are those of the JSON.
pub(super) const HEADER: &str = "kind,reason,key_id,network,count,first_at,last_at,actor,decision_id,detail\r\n";

/// One line.
pub(super) fn record(record: &AuditRecord) -> String {
    let AuditRecord {
        kind, reason, key_id, network, count, first_at_ms, last_at_ms, actor, decision_id, detail, ..
    } = record;
    let cells = [
        text(kind),
        text(reason),
        text(key_id),
        text(network),
        // Numbers and times begin with a digit.
        count.to_string(),
        time(*first_at_ms),
        time(*last_at_ms),
        text(actor),
        text(decision_id),
        text(detail),
    ];
    cells.join(",") + "\r\n"
}

/// An apostrophe tells a spreadsheet that what follows is text, whatever it looks like.
fn text(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells() {
        for (cell, written) in [
            ("", ""),
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"no\"", "\"say \"\"no\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("=HYPERLINK(\"http://x\",\"y\")", "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""),
            ("1-1", "1-1"),
        ] {
            assert_eq!(text(cell), written, "{cell:?}");
        }
    }

    #[test]
    fn numbers_and_times_stay_what_they_are() {
        let line = record(&AuditRecord { kind: "denied".into(), count: 7, ..AuditRecord::default() });
        assert_eq!(line, "denied,,,,7,1970-01-01T00:00:00.000Z,1970-01-01T00:00:00.000Z,,,\r\n");
        assert_eq!(line.matches(',').count(), HEADER.matches(',').count());
    }
}

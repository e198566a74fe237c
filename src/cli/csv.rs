//! Listings as CSV (RFC 4180): a header row, an empty cell for an absent value, times in RFC 3339. The cells are the
//! values of the JSON.

use serde_json::Value;

use crate::admin::api::{AuditRecord, Key, ListAuditResponse, ListKeysResponse};

use super::{
    json,
    show::{Promotion, state},
};

/// Each column, and the JSON pointer of its value in a key.
const KEYS: [(&str, &str); 16] = [
    ("key_id", "/key_id"),
    ("hint", "/hint"),
    ("state", "/state"),
    ("networks", "/binding/networks"),
    ("created_at", "/binding/created_at"),
    ("open_until", "/binding/open_until"),
    ("expires_at", "/binding/expires_at"),
    ("used_at", "/life/used_at"),
    ("refused_at", "/life/refused_at"),
    ("note", "/life/note"),
    ("candidates", "/candidates"),
    ("banned", "/banned"),
    ("ban_until", "/ban/until"),
    ("ban_reason", "/ban/reason"),
    ("ban_actor", "/ban/actor"),
    ("banned_at", "/ban/created_at"),
];

/// The columns, which are the names in a record's JSON.
const RECORDS: [&str; 12] = [
    "record",
    "kind",
    "reason",
    "key_id",
    "network",
    "count",
    "first_at",
    "last_at",
    "actor",
    "decision_id",
    "detail",
    "undo",
];

/// `refused` and `count` are set for keys with an owner: one row for each network that enforcing would deny.
const PROMOTED: [&str; 7] = ["key_id", "hint", "outcome", "networks", "undo", "refused", "count"];

pub(super) fn list(answer: &ListKeysResponse) -> String {
    header(&KEYS.map(|(column, _)| column)) + &answer.keys.iter().map(key).collect::<String>()
}

pub(super) fn records(answer: &ListAuditResponse) -> String {
    records_header() + &answer.records.iter().map(record_line).collect::<String>()
}

/// The header, for records that are streamed.
pub(super) fn records_header() -> String {
    header(&RECORDS)
}

/// The line of one record.
pub(super) fn record_line(record: &AuditRecord) -> String {
    named(&RECORDS, &json::message(record))
}

pub(super) fn promoted(promotion: &Promotion) -> String {
    let let_through = promotion.let_through.iter().flat_map(|it| {
        it.refused.iter().map(move |refused| {
            let mut row = json::let_through_key(it);
            row["outcome"] = "let_through".into();
            row["refused"] = refused.network.as_str().into();
            row["count"] = refused.would_deny.into();
            row
        })
    });
    let rows = promotion.keys.iter().map(json::promoted_key).chain(let_through);
    header(&PROMOTED) + &rows.map(|row| named(&PROMOTED, &row)).collect::<String>()
}

fn key(key: &Key) -> String {
    let mut shown = json::message(key);
    shown["state"] = Some(state(key)).filter(|state| *state != "-").into();
    shown["candidates"] = key.candidates.iter().map(|candidate| candidate.network.as_str()).collect();
    shown["banned"] = key.ban.as_ref().is_some_and(|ban| ban.in_force).into();
    line(KEYS.iter().map(|(_, place)| shown.pointer(place).map(text).unwrap_or_default()))
}

fn named(columns: &[&str], row: &Value) -> String {
    line(columns.iter().map(|column| text(&row[*column])))
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

fn header(columns: &[&str]) -> String {
    line(columns.iter().map(|column| (*column).to_owned()))
}

fn line(cells: impl Iterator<Item = String>) -> String {
    cells.map(|text| cell(&text)).collect::<Vec<_>>().join(",") + "\r\n"
}

/// A text that begins like a formula gets an apostrophe: otherwise a note could run a command in a spreadsheet program.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_formulas_are_escaped() {
        for (text, written) in [
            ("", ""),
            ("plain text", "plain text"),
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
            ("a=1", "a=1"),
            ("1-1", "1-1"),
        ] {
            assert_eq!(cell(text), written, "{text:?}");
        }
    }

    #[test]
    fn numbers_and_times_are_not_escaped() {
        let record = AuditRecord { record: 3, kind: "denied".into(), count: 7, ..AuditRecord::default() };
        let written = record_line(&record);
        assert_eq!(written, "3,denied,,,,7,1970-01-01T00:00:00.000Z,1970-01-01T00:00:00.000Z,,,,\r\n");
        assert_eq!(written.matches(',').count(), records_header().matches(',').count());
        assert_eq!(records(&ListAuditResponse { records: vec![record], now_ms: 0 }), records_header() + &written);
    }
}

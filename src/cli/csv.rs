//! Listings for spreadsheets: RFC 4180, a header row, empty where there is nothing, times in RFC 3339.

use crate::{
    admin::api::{AuditRecord, Key, ListAuditResponse, ListKeysResponse, PromotedKey},
    domain::Timestamp,
};

use super::{
    gathered::Walked,
    show::{state, undo},
};

const KEYS: [&str; 16] = [
    "key_id",
    "hint",
    "state",
    "networks",
    "created_at",
    "open_until",
    "expires_at",
    "used_at",
    "refused_at",
    "note",
    "candidates",
    "banned",
    "ban_until",
    "ban_reason",
    "ban_actor",
    "banned_at",
];

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

/// `refused` and `count` are of the keys that have an owner, a row for each network that would be refused.
const PROMOTED: [&str; 7] = ["key_id", "hint", "outcome", "networks", "undo", "refused", "count"];

pub(super) fn list(answer: &ListKeysResponse) -> String {
    table(KEYS, answer.keys.iter().map(key))
}

pub(super) fn records(answer: &ListAuditResponse) -> String {
    table(RECORDS, answer.records.iter().map(record))
}

/// The header alone, of records that come one by one.
pub(super) fn records_header() -> String {
    line(&RECORDS.map(str::to_owned))
}

/// The line of one record.
pub(super) fn record_line(record: &AuditRecord) -> String {
    line(&self::record(record))
}

pub(super) fn promoted(walked: &Walked) -> String {
    let none = String::new;
    let row = |key: &PromotedKey| {
        let PromotedKey { key_id, hint, outcome, networks, record } = key;
        let undo = if *record > 0 { undo(*record) } else { none() };
        [key_id.clone(), hint.clone(), outcome.clone(), networks.join(" "), undo, none(), none()]
    };
    let let_through = walked.let_through.iter().flat_map(|it| {
        let key = it.key.clone().unwrap_or_default();
        let networks = key.binding.unwrap_or_default().networks.join(" ");
        it.refused.iter().map(move |refused| {
            let (id, hint, outcome) = (key.key_id.clone(), key.hint.clone(), "let_through".to_owned());
            let (network, times) = (refused.network.clone(), refused.would_deny.to_string());
            [id, hint, outcome, networks.clone(), String::new(), network, times]
        })
    });
    table(PROMOTED, walked.keys.iter().map(row).chain(let_through))
}

fn key(key: &Key) -> [String; 16] {
    let binding = key.binding.clone().unwrap_or_default();
    let life = key.life.clone().unwrap_or_default();
    let candidates: Vec<_> = key.candidates.iter().map(|candidate| candidate.network.as_str()).collect();
    let ban = key.ban.as_ref();
    let of_ban = |text: fn(&crate::admin::api::Ban) -> String| ban.map(text).unwrap_or_default();
    [
        key.key_id.clone(),
        key.hint.clone(),
        Some(state(key)).filter(|state| *state != "-").unwrap_or_default().to_owned(),
        binding.networks.join(" "),
        moment(key.binding.as_ref().map(|binding| binding.created_at_ms)),
        moment(binding.open_until_ms),
        moment(binding.expires_at_ms),
        moment(life.used_at_ms),
        moment(life.refused_at_ms),
        life.note,
        candidates.join(" "),
        ban.is_some_and(|ban| ban.in_force).to_string(),
        moment(ban.and_then(|ban| ban.until_ms)),
        of_ban(|ban| ban.reason.clone()),
        of_ban(|ban| ban.actor.clone()),
        moment(ban.map(|ban| ban.created_at_ms)),
    ]
}

fn record(record: &AuditRecord) -> [String; 12] {
    [
        record.record.to_string(),
        record.kind.clone(),
        record.reason.clone(),
        record.key_id.clone(),
        record.network.clone(),
        record.count.to_string(),
        moment(Some(record.first_at_ms)),
        moment(Some(record.last_at_ms)),
        record.actor.clone(),
        record.decision_id.clone(),
        record.detail.clone(),
        if record.undoable { undo(record.record) } else { String::new() },
    ]
}

fn moment(millis: Option<i64>) -> String {
    millis.map(|millis| Timestamp::from_millis(millis).to_string()).unwrap_or_default()
}

fn table<const N: usize>(header: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    std::iter::once(header.map(str::to_owned)).chain(rows).map(|row| line(&row)).collect()
}

fn line(cells: &[String]) -> String {
    cells.iter().map(|text| cell(text)).collect::<Vec<_>>().join(",") + "\r\n"
}

/// What begins like a formula gets an apostrophe, or a note could run a command on the desk of whoever opens the file.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be_and_run_nowhere() {
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
    fn numbers_and_times_stay_what_they_are() {
        let record = AuditRecord { record: 3, kind: "denied".into(), count: 7, ..AuditRecord::default() };
        let written = record_line(&record);
        assert_eq!(written, "3,denied,,,,7,1970-01-01T00:00:00.000Z,1970-01-01T00:00:00.000Z,,,,\r\n");
        assert_eq!(written.matches(',').count(), records_header().matches(',').count());
        assert_eq!(records(&ListAuditResponse { records: vec![record], now_ms: 0 }), records_header() + &written);
    }
}

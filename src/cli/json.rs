//! JSON output: the messages of the proto under its field names, except that a time `x_ms` is `x` in RFC 3339. An
//! absent value is `null`, never omitted.

use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    admin::api::{ChangeResponse, ExplainResponse, LetThroughKey, PromotedKey},
    doctor::{Code, Finding, Report},
    domain::Timestamp,
};

use super::show::{Promotion, undo};

/// Durations keep their unit, milliseconds, and their name.
const DURATIONS: [&str; 2] = ["uptime_ms", "since_poll_ms"];

/// A message of the server. A binding without networks is `reserved`, and an undoable record has the command that
/// reverses it.
pub(super) fn message(message: &impl Serialize) -> Value {
    // Cannot fail: the messages hold only texts and numbers.
    document(serde_json::to_value(message).unwrap_or_default())
}

fn document(value: Value) -> Value {
    match value {
        Value::String(text) if text.is_empty() => Value::Null,
        Value::Array(values) => values.into_iter().map(document).collect(),
        Value::Object(fields) => Value::Object(object(fields)),
        value => value,
    }
}

fn object(fields: Map<String, Value>) -> Map<String, Value> {
    let mut fields: Map<_, _> = fields.into_iter().map(field).collect();
    let is_reserved = fields.get("networks").and_then(Value::as_array).is_some_and(Vec::is_empty);
    if let Some(state) = fields.get_mut("state").filter(|_| is_reserved) {
        *state = "reserved".into();
    }
    if let Some(undoable) = fields.remove("undoable") {
        let record = fields.get("record").and_then(Value::as_i64).filter(|_| undoable == true);
        fields.insert("undo".to_owned(), record.map(undo).into());
    }
    fields
}

fn field((name, value): (String, Value)) -> (String, Value) {
    match name.strip_suffix("_ms").filter(|_| !DURATIONS.contains(&name.as_str())) {
        Some(moment) => (moment.to_owned(), value.as_i64().map(time).into()),
        None => (name, document(value)),
    }
}

pub(super) fn exported(keys: u64, path: &Path) -> Value {
    json!({ "exported": keys, "file": path.display().to_string() })
}

pub(super) fn change(answer: &ChangeResponse) -> Value {
    with(answer, [("undo", undo(answer.record).into())])
}

fn with<const N: usize>(answer: &impl Serialize, more: [(&str, Value); N]) -> Value {
    let mut value = message(answer);
    more.into_iter().for_each(|(name, more)| value[name] = more);
    value
}

pub(super) fn promoted(Promotion { dry_run, keys, let_through, end }: &Promotion) -> Value {
    let keys = keys.iter().map(promoted_key).collect();
    let let_through = let_through.iter().map(let_through_key).collect();
    with(end, [("dry_run", json!(dry_run)), ("keys", keys), ("let_through", let_through)])
}

pub(super) fn let_through_key(it: &LetThroughKey) -> Value {
    let key = it.key.clone().unwrap_or_default();
    json!({
        "key_id": key.key_id,
        "hint": word(&key.hint),
        "networks": key.binding.unwrap_or_default().networks,
        "refused": it.refused.iter().map(message).collect::<Vec<_>>(),
    })
}

pub(super) fn promoted_key(key: &PromotedKey) -> Value {
    json!({
        "key_id": key.key_id,
        "hint": word(&key.hint),
        "outcome": key.outcome,
        "networks": key.networks,
        "undo": (key.record > 0).then(|| undo(key.record)),
    })
}

/// `policy` is `null`: this version has none.
pub(super) fn explained(answer: &ExplainResponse) -> Value {
    json!({
        "address": message(&answer.address),
        "profile": answer.profile,
        "carriers": answer.carriers.iter().map(message).collect::<Vec<_>>(),
        "key": message(&answer.key),
        "looked_up": answer.looked_up,
        "policy": Value::Null,
        "mode": answer.mode,
        "verdict": {
            "allowed": answer.allowed,
            "would_deny": answer.would_deny,
            "reason": answer.reason,
            "would_own": word(&answer.would_own),
        },
        "now": (answer.now_ms > 0).then(|| time(answer.now_ms)),
    })
}

/// Lists the checks as well: a check that did not run has no finding either.
pub(super) fn report(report: &Report) -> Value {
    let finding = |it: &Finding| json!({ "code": it.code.as_str(), "severity": it.severity.as_str(), "seen": it.seen, "fix": it.fix });
    json!({
        "findings": report.findings().iter().map(finding).collect::<Vec<_>>(),
        "checked": report.checked().map(Code::as_str).collect::<Vec<_>>(),
    })
}

fn word(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn time(millis: i64) -> String {
    Timestamp::from_millis(millis).to_string()
}

#[cfg(test)]
mod tests;

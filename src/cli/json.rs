//! Answers for scripts: the proto's messages under the proto's names, except that a time `x_ms` is `x` in RFC 3339.
//! What is absent is `null`, never left out.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    admin::api::{
        AuditRecord, Ban, Binding, Candidate, ChangeResponse, ExplainResponse, ExplainedCarrier, GetKeyResponse,
        GetStatusResponse, Key, LetThroughKey, Life, ListAuditResponse, ListKeysResponse, ListPeppersResponse, Pepper,
        PepperRows, PromotedKey, RefusedNetwork, RotationResponse,
    },
    doctor::{Code, Finding, Report},
    domain::Timestamp,
};

use super::{
    gathered::{Imported, Walked},
    show::{state, undo},
};

pub(super) fn list(answer: &ListKeysResponse) -> Value {
    json!({ "keys": answer.keys.iter().map(key).collect::<Vec<_>>(), "now": time(answer.now_ms) })
}

pub(super) fn one(answer: &GetKeyResponse) -> Value {
    json!({
        "key": answer.key.as_ref().map(key),
        "refused": answer.refused.iter().map(refused).collect::<Vec<_>>(),
        "now": time(answer.now_ms),
    })
}

pub(super) fn exported(keys: u64, path: &Path) -> Value {
    json!({ "exported": keys, "file": path.display().to_string() })
}

pub(super) fn imported(imported: &Imported) -> Value {
    let last = &imported.last;
    json!({
        "keys": last.keys,
        "imported": last.imported,
        "identical": last.identical,
        "skipped": last.skipped,
        "skipped_key_ids": imported.skipped,
        "other_realm": last.other_realm,
    })
}

pub(super) fn change(answer: &ChangeResponse) -> Value {
    json!({
        "key": answer.key.as_ref().map(key),
        "before": answer.before.as_ref().map(key),
        "revision": answer.revision,
        "refused": answer.refused.iter().map(refused).collect::<Vec<_>>(),
        "now": time(answer.now_ms),
        "in_effect": answer.in_effect,
        "record": answer.record,
        "detail": word(&answer.detail),
        "undo": undo(answer.record),
    })
}

pub(super) fn promoted(walked: &Walked) -> Value {
    let Walked { dry_run, keys, let_through, end } = walked;
    json!({
        "dry_run": dry_run,
        "keys": keys.iter().map(promoted_key).collect::<Vec<_>>(),
        "bound": end.bound,
        "reserved": end.reserved,
        "skipped": end.skipped,
        "let_through": let_through.iter().map(let_through_key).collect::<Vec<_>>(),
        "let_through_cut": end.let_through_cut,
        "in_effect": end.in_effect,
        "now": time(end.now_ms),
    })
}

fn let_through_key(it: &LetThroughKey) -> Value {
    let key = it.key.clone().unwrap_or_default();
    json!({
        "key_id": key.key_id,
        "hint": word(&key.hint),
        "networks": key.binding.unwrap_or_default().networks,
        "refused": it.refused.iter().map(refused).collect::<Vec<_>>(),
    })
}

fn promoted_key(key: &PromotedKey) -> Value {
    json!({
        "key_id": key.key_id,
        "hint": word(&key.hint),
        "outcome": key.outcome,
        "networks": key.networks,
        "undo": (key.record > 0).then(|| undo(key.record)),
    })
}

pub(super) fn records(answer: &ListAuditResponse) -> Value {
    json!({ "records": answer.records.iter().map(record).collect::<Vec<_>>(), "now": time(answer.now_ms) })
}

/// Durations stay in milliseconds, as their names say.
pub(super) fn status(answer: &GetStatusResponse) -> Value {
    json!({
        "version": answer.version,
        "pid": answer.pid,
        "uptime_ms": answer.uptime_ms,
        "serving": answer.serving,
        "mode": answer.mode,
        "store": answer.store,
        "applied_revision": answer.applied_revision,
        "since_poll_ms": answer.since_poll_ms,
        "pepper_id": answer.pepper_id,
        "realm": answer.realm,
        "learned": answer.learned,
        "pinned": answer.pinned,
        "reserved": answer.reserved,
        "banned": answer.banned,
        "provisional": answer.provisional,
        "observed": answer.observed,
    })
}

/// `policy` is `null` while there is none.
pub(super) fn explained(answer: &ExplainResponse) -> Value {
    let address = answer.address.clone().unwrap_or_default();
    let carrier = |it: &ExplainedCarrier| json!({ "carrier": it.carrier, "form": word(&it.form), "holds": it.holds });
    json!({
        "address": {
            "source": address.source,
            "client": word(&address.client),
            "written": word(&address.written),
            "how": address.how,
        },
        "profile": answer.profile,
        "carriers": answer.carriers.iter().map(carrier).collect::<Vec<_>>(),
        "key": answer.key.as_ref().map(key),
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

/// What was looked at is told too: a check that was not made found nothing either.
pub(super) fn report(report: &Report) -> Value {
    let finding = |it: &Finding| json!({ "code": it.code.as_str(), "severity": it.severity.as_str(), "seen": it.seen, "fix": it.fix });
    json!({
        "findings": report.findings().iter().map(finding).collect::<Vec<_>>(),
        "checked": report.checked().map(Code::as_str).collect::<Vec<_>>(),
    })
}

pub(super) fn peppers(answer: &ListPeppersResponse) -> Value {
    let pepper = |it: &Pepper| {
        json!({
            "id": it.id,
            "state": it.state,
            "listed": it.listed,
            "left": it.left.map(left),
            "retired_at": it.retired_at_ms.map(time),
        })
    };
    json!({ "peppers": answer.peppers.iter().map(pepper).collect::<Vec<_>>(), "now": time(answer.now_ms) })
}

/// `forgotten` is of the whole command, which may have asked more than once.
pub(super) fn rotation(answer: &RotationResponse) -> Value {
    json!({
        "revision": answer.revision,
        "in_effect": answer.in_effect,
        "done": answer.done,
        "forgotten": answer.forgotten,
        "left": answer.left.map(left),
        "now": time(answer.now_ms),
    })
}

fn left(left: PepperRows) -> Value {
    let PepperRows { bindings, bans, observed, archived } = left;
    json!({ "bindings": bindings, "bans": bans, "observed": observed, "archived": archived })
}

fn key(key: &Key) -> Value {
    json!({
        "key_id": key.key_id,
        "hint": word(&key.hint),
        "binding": key.binding.as_ref().map(|it| binding(it, state(key))),
        "ban": key.ban.as_ref().map(ban),
        "life": key.life.as_ref().map(life),
        "candidates": key.candidates.iter().map(candidate).collect::<Vec<_>>(),
    })
}

fn binding(binding: &Binding, state: &str) -> Value {
    json!({
        "state": state,
        "networks": binding.networks,
        "created_at": time(binding.created_at_ms),
        "open_until": binding.open_until_ms.map(time),
        "expires_at": binding.expires_at_ms.map(time),
    })
}

fn life(life: &Life) -> Value {
    json!({
        "used_at": life.used_at_ms.map(time),
        "refused_at": life.refused_at_ms.map(time),
        "note": word(&life.note),
    })
}

fn candidate(candidate: &Candidate) -> Value {
    json!({ "network": candidate.network, "first_at": time(candidate.first_at_ms) })
}

fn ban(ban: &Ban) -> Value {
    json!({
        "until": ban.until_ms.map(time),
        "reason": word(&ban.reason),
        "actor": ban.actor,
        "created_at": time(ban.created_at_ms),
        "in_force": ban.in_force,
    })
}

fn refused(refused: &RefusedNetwork) -> Value {
    json!({ "network": refused.network, "count": refused.count, "would_deny": refused.would_deny, "last_at": time(refused.last_at_ms) })
}

pub(super) fn record(record: &AuditRecord) -> Value {
    json!({
        "record": record.record,
        "kind": record.kind,
        "reason": word(&record.reason),
        "key_id": word(&record.key_id),
        "network": word(&record.network),
        "count": record.count,
        "first_at": time(record.first_at_ms),
        "last_at": time(record.last_at_ms),
        "actor": word(&record.actor),
        "decision_id": word(&record.decision_id),
        "detail": word(&record.detail),
        "undo": record.undoable.then(|| undo(record.record)),
    })
}

fn word(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn time(millis: i64) -> String {
    Timestamp::from_millis(millis).to_string()
}

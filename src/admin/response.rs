//! From domain values to the wire.

use tonic::{Code, Status};

use super::{Changed, Failure, StatusView, api};
use crate::{
    domain::{Ban, Binding, KeyFacts, KeyId, Timestamp, event::Record},
    store::{Counts, KeyRow, Refusal, RefusedNetwork},
};

/// A status travels in a header, and clients bound those.
const MAX_CANDIDATES: usize = 20;

pub(super) fn key(row: &KeyRow, now: Timestamp) -> api::Key {
    let KeyFacts { binding, ban } = &row.facts;
    api::Key {
        key_id: row.key_id.to_string(),
        hint: row.hint().unwrap_or_default().to_owned(),
        binding: binding.as_ref().map(binding_message),
        ban: ban.as_ref().map(|ban| ban_message(ban, now)),
    }
}

fn binding_message(binding: &Binding) -> api::Binding {
    api::Binding {
        state: binding.state.as_str().to_owned(),
        networks: binding.networks.iter().map(ToString::to_string).collect(),
        created_at_ms: binding.created_at.as_millis(),
    }
}

fn ban_message(ban: &Ban, now: Timestamp) -> api::Ban {
    api::Ban {
        until_ms: ban.until.map(Timestamp::as_millis),
        reason: ban.reason.clone().unwrap_or_default(),
        actor: ban.actor.clone(),
        created_at_ms: ban.created_at.as_millis(),
        in_force: ban.in_force(now),
    }
}

pub(super) fn change(changed: Changed) -> api::ChangeResponse {
    let Changed { applied, in_effect, now } = changed;
    let side = |key_id: KeyId, facts: KeyFacts| key(&KeyRow { key_id, facts }, now);
    api::ChangeResponse {
        key: Some(side(applied.key_id, applied.after)),
        before: Some(side(applied.key_id, applied.before)),
        revision: applied.revision.0,
        refused: applied.refused.iter().map(refused).collect(),
        now_ms: now.as_millis(),
        in_effect,
    }
}

fn refused(refused: &RefusedNetwork) -> api::RefusedNetwork {
    let RefusedNetwork { network, count, last_at } = refused;
    api::RefusedNetwork { network: network.to_string(), count: *count, last_at_ms: last_at.as_millis() }
}

pub(super) fn record(record: Record) -> api::AuditRecord {
    api::AuditRecord {
        kind: record.kind.as_str().to_owned(),
        reason: record.reason.map(|reason| reason.to_string()).unwrap_or_default(),
        key_id: record.key_id.map(|id| id.to_string()).unwrap_or_default(),
        network: record.network.map(|network| network.to_string()).unwrap_or_default(),
        count: record.count,
        first_at_ms: record.first_at.as_millis(),
        last_at_ms: record.last_at.as_millis(),
        actor: record.actor.unwrap_or_default(),
        decision_id: record.decision_id.unwrap_or_default(),
        detail: record.detail.unwrap_or_default(),
    }
}

pub(super) fn status(view: StatusView, counts: Option<Counts>) -> api::GetStatusResponse {
    let millis = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    api::GetStatusResponse {
        version: view.version.to_owned(),
        pid: view.pid,
        uptime_ms: millis(view.uptime),
        serving: view.serving,
        mode: view.mode.to_owned(),
        store: view.store,
        applied_revision: view.applied_revision.0,
        since_poll_ms: view.since_poll.map(millis),
        pepper_id: view.pepper.to_string(),
        realm: view.realm,
        learned: counts.map(|counts| counts.learned),
        pinned: counts.map(|counts| counts.pinned),
        reserved: counts.map(|counts| counts.reserved),
        banned: counts.map(|counts| counts.banned),
    }
}

pub(super) fn failure(failure: Failure) -> Status {
    let code = match &failure {
        Failure::Refused(Refusal::NotFound) => Code::NotFound,
        Failure::Refused(Refusal::Ambiguous(_) | Refusal::NotBound(_) | Refusal::NotBanned(_)) => {
            Code::FailedPrecondition
        }
        Failure::NotReady | Failure::StoreLost => Code::Unavailable,
        Failure::Corrupt => Code::DataLoss,
    };
    let text = match &failure {
        Failure::Refused(Refusal::Ambiguous(candidates)) => {
            let mut ids: Vec<String> = candidates.iter().take(MAX_CANDIDATES).map(ToString::to_string).collect();
            if candidates.len() > MAX_CANDIDATES {
                ids.push("…".to_owned());
            }
            format!("{failure}; give more digits: {}", ids.join(", "))
        }
        _ => failure.to_string(),
    };
    Status::new(code, text)
}

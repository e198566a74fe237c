//! From domain values to the wire.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Status;

use super::{
    Operations, api,
    operations::{Changed, Failure},
};
use crate::{
    domain::{Ban, Binding, Candidate, Hint, KeyFacts, KeyId, Timestamp},
    store::{Counts, KeyRow, Life, Refusal, RefusedNetwork, Stored},
};

pub(super) fn key(row: &KeyRow, now: Timestamp) -> api::Key {
    let life = Some(life(&row.life));
    api::Key { life, ..facts(row.key_id, row.hint.as_ref(), &row.facts, now) }
}

fn facts(key_id: KeyId, hint: Option<&Hint>, facts: &KeyFacts, now: Timestamp) -> api::Key {
    let KeyFacts { binding, ban, candidates } = facts;
    api::Key {
        key_id: key_id.to_string(),
        hint: hint.map(|hint| hint.as_str().to_owned()).unwrap_or_default(),
        binding: binding.as_ref().map(binding_message),
        ban: ban.as_ref().map(|ban| ban_message(ban, now)),
        life: None,
        candidates: candidates.iter().map(candidate).collect(),
    }
}

fn life(life: &Life) -> api::Life {
    api::Life {
        used_at_ms: life.used_at.map(Timestamp::as_millis),
        refused_at_ms: life.refused_at.map(Timestamp::as_millis),
        note: life.note.clone().unwrap_or_default(),
    }
}

fn candidate(candidate: &Candidate) -> api::Candidate {
    api::Candidate { network: candidate.network.to_string(), first_at_ms: candidate.first_at.as_millis() }
}

fn binding_message(binding: &Binding) -> api::Binding {
    api::Binding {
        state: binding.state.as_str().to_owned(),
        networks: binding.networks.iter().map(ToString::to_string).collect(),
        created_at_ms: binding.created_at.as_millis(),
        open_until_ms: binding.open_until.map(Timestamp::as_millis),
        expires_at_ms: binding.expires_at.map(Timestamp::as_millis),
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
    let hint = applied.record.delta.as_ref().and_then(|delta| delta.key.hint.as_ref());
    let side = |known: &KeyFacts| facts(applied.key_id, hint, known, now);
    api::ChangeResponse {
        key: Some(side(&applied.after)),
        before: Some(side(&applied.before)),
        revision: applied.revision.0,
        refused: applied.refused.iter().map(refused).collect(),
        now_ms: now.as_millis(),
        in_effect,
        record: applied.number.0,
        detail: applied.record.detail.unwrap_or_default(),
    }
}

pub(super) fn refused(refused: &RefusedNetwork) -> api::RefusedNetwork {
    let RefusedNetwork { network, count, would_deny, last_at } = refused;
    api::RefusedNetwork {
        network: network.to_string(),
        count: *count,
        would_deny: *would_deny,
        last_at_ms: last_at.as_millis(),
    }
}

pub(super) fn record(Stored { id, record }: Stored) -> api::AuditRecord {
    api::AuditRecord {
        record: id.0,
        undoable: record.delta.is_some(),
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

/// The state of the process, and how full the store is, if it answered: a lost store is when an operator asks.
pub(super) fn status(operations: &Operations, counts: Option<&Counts>) -> api::GetStatusResponse {
    let Operations { view, health, ring, place, started, settings, .. } = operations;
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let now = Instant::now();
    api::GetStatusResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_ms: millis(now - *started),
        serving: health.is_serving(),
        mode: settings.load().mode.to_string(),
        store: place.clone(),
        applied_revision: view.applied().0,
        since_poll_ms: view.since_poll(now).map(millis),
        pepper_id: ring.active().to_string(),
        realm: ring.realm().to_owned(),
        learned: counts.map(|counts| counts.learned),
        pinned: counts.map(|counts| counts.pinned),
        reserved: counts.map(|counts| counts.reserved),
        banned: counts.map(|counts| counts.banned),
        provisional: counts.map(|counts| counts.provisional),
        observed: counts.map(|counts| counts.observed),
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let text = failure.to_string();
        match failure {
            Failure::Refused(Refusal::NotFound | Refusal::UnknownPepper(_)) => Self::not_found(text),
            Failure::Refused(Refusal::Ambiguous(candidates)) => {
                let ids: Vec<String> = candidates.iter().map(ToString::to_string).collect();
                Self::failed_precondition(format!("{text}; give more digits: {}", ids.join(", ")))
            }
            Failure::Refused(_) => Self::failed_precondition(text),
            Failure::Unlisted(_) => Self::failed_precondition(text),
            Failure::NotReady | Failure::StoreLost | Failure::MadeOrNot | Failure::Behind => Self::unavailable(text),
            Failure::Corrupt => Self::data_loss(text),
        }
    }
}

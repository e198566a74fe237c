//! Converts the outcomes that are not about single keys to messages: audit, status, diagnosis, peppers, explanations.

use std::time::Duration;

use super::{api, keys};
use crate::{
    admin::service::{Address, AsOf, Diagnosis, Explanation, Pepper, RotationStep, Status},
    credential::ExplainedCarrier,
    domain::Timestamp,
    store::{CrowdedNetwork, DenialCount, PepperUsage, StoredRecord},
};

fn record(StoredRecord { id, record }: StoredRecord) -> api::AuditRecord {
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

impl From<AsOf<Vec<StoredRecord>>> for api::ListAuditResponse {
    fn from(AsOf { now, value }: AsOf<Vec<StoredRecord>>) -> Self {
        Self { records: value.into_iter().map(record).collect(), now_ms: now.as_millis() }
    }
}

impl From<Vec<StoredRecord>> for api::AuditPage {
    fn from(page: Vec<StoredRecord>) -> Self {
        Self { records: page.into_iter().map(record).collect() }
    }
}

impl From<Status> for api::GetStatusResponse {
    fn from(status: Status) -> Self {
        let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let counts = status.counts.as_ref();
        Self {
            version: status.version.to_owned(),
            pid: status.pid,
            uptime_ms: millis(status.uptime),
            serving: status.serving,
            mode: status.mode.to_string(),
            store: status.store_url,
            applied_revision: status.applied.0,
            since_poll_ms: status.since_poll.map(millis),
            pepper_id: status.pepper.to_string(),
            realm: status.realm,
            learned: counts.map(|counts| counts.learned),
            pinned: counts.map(|counts| counts.pinned),
            reserved: counts.map(|counts| counts.reserved),
            banned: counts.map(|counts| counts.banned),
            provisional: counts.map(|counts| counts.provisional),
            observed: counts.map(|counts| counts.observed),
            unwritable: status.unwritable.unwrap_or_default(),
            archive_waits: status.archive_waits.unwrap_or_default(),
        }
    }
}

impl From<AsOf<Diagnosis>> for api::GetDiagnosisResponse {
    fn from(AsOf { now, value }: AsOf<Diagnosis>) -> Self {
        let Diagnosis { client_ip, profiles, callers, learned, crowded, denied } = value;
        let network = |CrowdedNetwork { network, keys }| api::CrowdedNetwork { network: network.to_string(), keys };
        let denial = |DenialCount { reason, count, last_at }| api::DenialCount {
            reason: reason.to_string(),
            count,
            last_at_ms: last_at.as_millis(),
        };
        Self {
            source: client_ip.source.as_str().to_owned(),
            header: client_ip.header().unwrap_or_default().to_owned(),
            trusted_proxies: client_ip.trusted_proxies.iter().map(ToString::to_string).collect(),
            trusted_hops: client_ip.trusted_hops().iter().map(ToString::to_string).collect(),
            profiles: profiles.into_iter().map(str::to_owned).collect(),
            callers: callers.as_str().to_owned(),
            learned,
            crowded: crowded.into_iter().map(network).collect(),
            denied: denied.into_iter().map(denial).collect(),
            now_ms: now.as_millis(),
        }
    }
}

fn rows(usage: PepperUsage) -> Option<api::PepperRows> {
    let PepperUsage { bindings, bans, observed, archived } = usage;
    Some(api::PepperRows { bindings, bans, observed, archived })
}

fn pepper(pepper: Pepper) -> api::Pepper {
    api::Pepper {
        id: pepper.row.id.to_string(),
        state: pepper.state().to_owned(),
        listed: pepper.listed,
        left: rows(pepper.row.usage),
        retired_at_ms: pepper.row.retired_at.map(Timestamp::as_millis),
    }
}

impl From<AsOf<Vec<Pepper>>> for api::ListPeppersResponse {
    fn from(AsOf { now, value }: AsOf<Vec<Pepper>>) -> Self {
        Self { peppers: value.into_iter().map(pepper).collect(), now_ms: now.as_millis() }
    }
}

impl From<AsOf<RotationStep>> for api::RotationResponse {
    fn from(AsOf { now, value }: AsOf<RotationStep>) -> Self {
        Self {
            forgotten: value.forgotten() as u64,
            revision: value.rotated.revision.0,
            in_effect: value.in_effect,
            done: value.rotated.done,
            left: rows(value.rotated.usage),
            now_ms: now.as_millis(),
        }
    }
}

impl From<Explanation> for api::ExplainResponse {
    fn from(explanation: Explanation) -> Self {
        let Explanation { address, profile, carriers, key, decision, mode, now } = explanation;
        let now = now.unwrap_or(Timestamp::from_millis(0));
        Self {
            address: Some(explained_address(address)),
            profile: profile.to_owned(),
            carriers: carriers.into_iter().map(carrier).collect(),
            key: key.map(|row| keys::key(&row, now)),
            looked_up: decision.facts.is_some(),
            allowed: decision.allowed,
            reason: decision.reason.to_string(),
            would_own: decision.would_own.map(|network| network.to_string()).unwrap_or_default(),
            now_ms: now.as_millis(),
            mode: mode.to_string(),
            would_deny: decision.would_deny,
        }
    }
}

fn explained_address(address: Address) -> api::ExplainedAddress {
    let Address { source, client, written, how } = address;
    let client = client.map(|client| client.to_string()).unwrap_or_default();
    api::ExplainedAddress { source: source.to_owned(), client, written, how }
}

fn carrier(ExplainedCarrier { carrier, form, holds }: ExplainedCarrier) -> api::ExplainedCarrier {
    api::ExplainedCarrier { carrier, form: form.to_owned(), holds: holds.as_str().to_owned() }
}

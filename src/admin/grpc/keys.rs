//! Converts keys and the outcomes of changes to messages.

use super::api;
use crate::{
    admin::service::{AsOf, Changed, Exported, Imported, PromoteEvent, PromotedKey},
    domain::{Ban, Binding, Candidate, Hint, KeyFacts, KeyId, Timestamp},
    store::{BindingDetails, KeyRow, RefusedNetwork},
};

pub(super) fn key(row: &KeyRow, now: Timestamp) -> api::Key {
    let life = Some(life(&row.details));
    api::Key { life, ..facts(row.key_id, row.hint.as_ref(), &row.facts, now) }
}

fn facts(key_id: KeyId, hint: Option<&Hint>, facts: &KeyFacts, now: Timestamp) -> api::Key {
    let KeyFacts { binding, ban, candidates } = facts;
    api::Key {
        key_id: key_id.to_string(),
        hint: hint_text(hint),
        binding: binding.as_ref().map(binding_message),
        ban: ban.as_ref().map(|ban| ban_message(ban, now)),
        life: None,
        candidates: candidates.iter().map(candidate).collect(),
    }
}

fn hint_text(hint: Option<&Hint>) -> String {
    hint.map(|hint| hint.as_str().to_owned()).unwrap_or_default()
}

fn life(details: &BindingDetails) -> api::Life {
    api::Life {
        used_at_ms: details.used_at.map(Timestamp::as_millis),
        refused_at_ms: details.refused_at.map(Timestamp::as_millis),
        note: details.note.clone().unwrap_or_default(),
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

fn refused(refused: &RefusedNetwork) -> api::RefusedNetwork {
    let RefusedNetwork { network, count, would_deny, last_at } = refused;
    api::RefusedNetwork {
        network: network.to_string(),
        count: *count,
        would_deny: *would_deny,
        last_at_ms: last_at.as_millis(),
    }
}

impl From<AsOf<Vec<KeyRow>>> for api::ListKeysResponse {
    fn from(AsOf { now, value }: AsOf<Vec<KeyRow>>) -> Self {
        Self { keys: value.iter().map(|row| key(row, now)).collect(), now_ms: now.as_millis() }
    }
}

impl From<AsOf<KeyRow>> for api::GetKeyResponse {
    fn from(AsOf { now, value }: AsOf<KeyRow>) -> Self {
        let refused = value.refused.iter().map(refused).collect();
        Self { key: Some(key(&value, now)), now_ms: now.as_millis(), refused }
    }
}

impl From<AsOf<Changed>> for api::ChangeResponse {
    fn from(AsOf { now, value: Changed { applied, in_effect } }: AsOf<Changed>) -> Self {
        let hint = applied.record.delta.as_ref().and_then(|delta| delta.key.hint.as_ref());
        let side = |known: &KeyFacts| facts(applied.key_id, hint, known, now);
        Self {
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
}

impl From<PromoteEvent> for api::PromoteResponse {
    fn from(event: PromoteEvent) -> Self {
        use api::promote_response::Event;

        let event = match event {
            PromoteEvent::Start { observed } => Event::Start(api::PromoteStart { observed }),
            PromoteEvent::Key(key) => Event::Key(promoted(key)),
            PromoteEvent::LetThrough(row) => {
                let AsOf { now, value } = *row;
                let refused = value.refused.iter().map(refused).collect();
                Event::LetThrough(Box::new(api::LetThroughKey { key: Some(key(&value, now)), refused }))
            }
            PromoteEvent::End(AsOf { now, value }) => Event::End(api::PromoteEnd {
                bound: value.bound,
                reserved: value.reserved,
                skipped: value.skipped,
                in_effect: value.in_effect,
                now_ms: now.as_millis(),
                let_through_cut: value.let_through_cut,
            }),
        };
        Self { event: Some(event) }
    }
}

fn promoted(key: PromotedKey) -> api::PromotedKey {
    api::PromotedKey {
        key_id: key.key_id.to_string(),
        hint: hint_text(key.hint.as_ref()),
        outcome: key.outcome.to_string(),
        networks: key.networks.iter().map(ToString::to_string).collect(),
        record: key.record.map_or(0, |record| record.0),
    }
}

impl From<Imported> for api::ImportKeysResponse {
    fn from(progress: Imported) -> Self {
        let Imported { keys, imported, identical, skipped, skipped_ids, other_realm } = progress;
        let skipped_key_ids = skipped_ids.iter().map(ToString::to_string).collect();
        Self { keys, imported, identical, skipped, skipped_key_ids, other_realm }
    }
}

/// Bytes in one message. A line may be of any length, and gRPC limits the size of a message.
const CHUNK: usize = 256 * 1024;

/// Splits a part into messages. Only the last one has the number of keys so far; the others have 0.
pub(super) fn chunks(part: &Exported) -> Vec<api::ExportKeysResponse> {
    let chunks = part.text.as_bytes().chunks(CHUNK);
    let last = chunks.len().saturating_sub(1);
    let message = |(nth, chunk): (usize, &[u8])| {
        let keys = if nth == last { part.keys } else { 0 };
        api::ExportKeysResponse { chunk: chunk.to_vec(), keys }
    };
    chunks.enumerate().map(message).collect()
}

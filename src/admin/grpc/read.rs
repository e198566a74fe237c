//! Converts messages to the commands of the service. An empty text or a zero means "not given". Validates nothing: the
//! service does.

use zeroize::Zeroizing;

use super::api::{self, key_reference::Reference, note_request::Note, unbind_request::Mode};
use crate::admin::service::{AuditFilter, ChangeCommand, Explain, KeyAction, KeyReference, ListKeys};

fn text(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn number<T: PartialEq + Default>(number: T) -> Option<T> {
    Some(number).filter(|number| *number != T::default())
}

pub(super) fn key(key: api::KeyReference) -> KeyReference {
    let api::KeyReference { reference, profile } = key;
    let (key_id, api_key) = match reference {
        Some(Reference::KeyId(id)) => (Some(id), None),
        Some(Reference::ApiKey(key)) => (None, Some(Zeroizing::new(key))),
        None => (None, None),
    };
    KeyReference { key_id, api_key, profile: text(profile) }
}

fn action(reference: Option<api::KeyReference>, action: KeyAction) -> ChangeCommand {
    ChangeCommand::Key { key: key(reference.unwrap_or_default()), action }
}

impl From<api::UnbindRequest> for ChangeCommand {
    fn from(message: api::UnbindRequest) -> Self {
        let (to, open) = match message.mode {
            None => (None, None),
            Some(Mode::To(network)) => (Some(network), None),
            Some(Mode::Open(open)) => (None, Some(open)),
        };
        action(message.key, KeyAction::Unbind { to, open })
    }
}

impl From<api::BanRequest> for ChangeCommand {
    fn from(message: api::BanRequest) -> Self {
        let api::BanRequest { key, lasting_ms, reason, until_ms } = message;
        action(key, KeyAction::Ban { lasting_ms: number(lasting_ms), until_ms: number(until_ms), reason })
    }
}

impl From<api::UnbanRequest> for ChangeCommand {
    fn from(message: api::UnbanRequest) -> Self {
        action(message.key, KeyAction::Unban)
    }
}

impl From<api::SetNetworksRequest> for ChangeCommand {
    fn from(message: api::SetNetworksRequest) -> Self {
        let api::SetNetworksRequest { key, networks, reserve } = message;
        action(key, KeyAction::Set { networks, reserve })
    }
}

impl From<api::ClaimKeyRequest> for ChangeCommand {
    fn from(message: api::ClaimKeyRequest) -> Self {
        action(message.key, KeyAction::Claim { networks: message.networks })
    }
}

impl From<api::NoteRequest> for ChangeCommand {
    fn from(message: api::NoteRequest) -> Self {
        let (text, remove) = match message.note {
            None => (None, None),
            Some(Note::Text(text)) => (Some(text), None),
            Some(Note::Remove(remove)) => (None, Some(remove)),
        };
        action(message.key, KeyAction::Note { text, remove })
    }
}

impl From<api::UndoRequest> for ChangeCommand {
    fn from(message: api::UndoRequest) -> Self {
        Self::Undo { record: number(message.record) }
    }
}

impl From<api::ListKeysRequest> for ListKeys {
    fn from(message: api::ListKeysRequest) -> Self {
        let api::ListKeysRequest { state, banned_only, network, limit, offset, observed_only, hint } = message;
        Self {
            state: text(state),
            banned_only,
            network: text(network),
            limit: number(limit),
            offset,
            observed_only,
            hint: text(hint),
        }
    }
}

impl From<api::ListAuditRequest> for AuditFilter {
    fn from(message: api::ListAuditRequest) -> Self {
        let api::ListAuditRequest { kind, key: reference, since_ms, limit, within_ms, record, decision_id } = message;
        Self {
            kind: text(kind),
            key: reference.map(key),
            since_ms: number(since_ms),
            within_ms: number(within_ms),
            record: number(record),
            decision_id: text(decision_id),
            limit: number(limit),
            ..Self::default()
        }
    }
}

impl From<api::ExportAuditRequest> for AuditFilter {
    fn from(message: api::ExportAuditRequest) -> Self {
        let api::ExportAuditRequest { kind, key: reference, since_ms, within_ms, until_ms, until_ago_ms, decision_id } =
            message;
        Self {
            kind: text(kind),
            key: reference.map(key),
            since_ms: number(since_ms),
            within_ms: number(within_ms),
            until_ms: number(until_ms),
            until_ago_ms: number(until_ago_ms),
            decision_id: text(decision_id),
            ..Self::default()
        }
    }
}

impl From<api::TailAuditRequest> for AuditFilter {
    fn from(message: api::TailAuditRequest) -> Self {
        let api::TailAuditRequest { kind, key: reference } = message;
        Self { kind: text(kind), key: reference.map(key), ..Self::default() }
    }
}

impl From<api::ExplainRequest> for Explain {
    fn from(message: api::ExplainRequest) -> Self {
        let api::ExplainRequest { head, peer, metadata, profile, missing, mode } = message;
        Self {
            head: Zeroizing::new(head),
            peer: text(peer),
            metadata: metadata.into_iter().map(|entry| (entry.name, entry.value)).collect(),
            profile: text(profile),
            missing: text(missing),
            mode: text(mode),
        }
    }
}

//! From the wire to values that cannot be invalid. Every refusal names its field, and none repeats what was sent: a
//! key may have been put into the wrong field.

use std::time::Duration;

use tonic::Status;
use zeroize::Zeroizing;

use super::{
    Operations,
    api::{self, key_reference::Reference, note_request::Note, unbind_request::Mode},
};
use crate::{
    credential::Profile,
    domain::{
        KeyIdPrefix, Network, State, Timestamp,
        addr::NetworkError,
        event::{DecisionId, EventKind},
        text::is_control,
    },
    store::{Action, AuditQuery, Change, KeyFilter, KeyQuery, RecordId, StateFilter, Target},
};

const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;
const MAX_LINE: usize = 200;
/// More would say less: whoever has so many means a wider network.
const MAX_NETWORKS: usize = 256;
/// A hundred years: far more than anyone means, far less than a store's or a formatter's last date.
const MAX_LASTING_MS: i64 = 100 * 365 * 24 * 60 * 60 * 1000;

/// INVALID_ARGUMENT, with the field's name first.
pub(super) fn invalid(field: &str, why: impl std::fmt::Display) -> Status {
    Status::invalid_argument(format!("{field}: {why}"))
}

/// Comes first in every request: the key is wiped from memory whatever the other fields hold.
pub(super) fn target(operations: &Operations, key: Option<api::KeyReference>) -> Result<Target, Status> {
    let api::KeyReference { reference, profile } = key.unwrap_or_default();
    match reference {
        Some(Reference::ApiKey(text)) => {
            let text = Zeroizing::new(text);
            let profile = key_profile(operations, &profile)?;
            let key = operations.credentials.bare_key(profile, &text);
            let key = key.ok_or_else(|| {
                invalid("key.api_key", format_args!("the profile {} accepts no such key", profile.name))
            })?;
            Ok(Target::Key(operations.ring.fingerprint(&key)))
        }
        Some(Reference::KeyId(_)) if !profile.is_empty() => {
            Err(invalid("key.profile", "goes with api_key only; a key_id is read by no profile"))
        }
        Some(Reference::KeyId(text)) => key_id("key.key_id", &text).map(Target::Id),
        None => Err(invalid("key", "say which key, by key_id or api_key")),
    }
}

fn key_profile<'a>(operations: &'a Operations, name: &str) -> Result<&'a Profile, Status> {
    let credentials = &operations.credentials;
    if name.is_empty() {
        return Ok(&credentials.profile);
    }
    credentials.for_route(name).ok_or_else(|| {
        let all: Vec<_> = credentials.names().collect();
        let why = "is neither credentials.profile nor one of credentials.route_profiles, which are";
        invalid("key.profile", format_args!("{why} {}", all.join(", ")))
    })
}

/// No state of the store's: a pinned binding without networks.
const RESERVED: &str = "reserved";
const STATES: [&str; State::ALL.len() + 1] =
    [State::Provisional.as_str(), State::Learned.as_str(), State::Pinned.as_str(), RESERVED];

fn hint_part(text: &str) -> Result<Option<String>, Status> {
    match text.chars().count() {
        0 => Ok(None),
        3..=8 => Ok(Some(text.to_owned())),
        _ => Err(invalid("hint", "must be 3 to 8 characters of the key's first or last four")),
    }
}

pub(super) fn keys(request: &api::ListKeysRequest) -> Result<KeyQuery, Status> {
    let api::ListKeysRequest { state, banned_only, network: net, limit: rows, offset, observed_only, hint } = request;
    if *observed_only && (!state.is_empty() || *banned_only || !net.is_empty()) {
        return Err(invalid(
            "observed_only",
            "an observed key has no binding; leave out state, banned_only and network",
        ));
    }
    let state = match state.as_str() {
        RESERVED => Some(StateFilter::Reserved),
        _ => word("state", state, State::from_word, &STATES)?.map(StateFilter::In),
    };
    let hint = hint_part(hint)?;
    let network = if net.is_empty() { None } else { Some(network("network", net)?) };
    let filter = match observed_only {
        true => KeyFilter::Observed,
        false => KeyFilter::BoundOrBanned { state, network, banned_only: *banned_only },
    };
    Ok(KeyQuery { filter, hint, limit: limit(*rows)?, offset: *offset, ..KeyQuery::ALL })
}

pub(super) fn unbind(operations: &Operations, request: api::UnbindRequest) -> Result<Change, Status> {
    let target = target(operations, request.key)?;
    let action = match request.mode {
        None => Action::Reserve,
        Some(Mode::To(text)) => Action::HandOver(network("to", &text)?),
        Some(Mode::Open(true)) => Action::Open,
        // Whoever writes `open = false` means "not open"; whether that is "reserve" is not ours to guess.
        Some(Mode::Open(false)) => return Err(invalid("open", "must be true; leave it out to reserve the key")),
    };
    Ok(Change::Key { target, action })
}

/// The ban ends at the moment that was asked for if it is made at `now`.
pub(super) fn ban(operations: &Operations, request: api::BanRequest, now: Timestamp) -> Result<Change, Status> {
    let api::BanRequest { key, lasting_ms, reason, until_ms } = request;
    let target = target(operations, key)?;
    let millis = match (lasting_ms, until_ms) {
        (_, 0) => lasting_ms,
        (0, until) if until <= now.as_millis() => return Err(invalid("until_ms", "must be in the future")),
        (0, until) if until - now.as_millis() > MAX_LASTING_MS => {
            return Err(invalid("until_ms", "must be within 100 years"));
        }
        (0, until) => until - now.as_millis(),
        _ => return Err(invalid("until_ms", "give this or lasting_ms, not both")),
    };
    let lasting = match millis {
        0 => None,
        1..=MAX_LASTING_MS => Some(Duration::from_millis(millis.unsigned_abs())),
        _ => return Err(invalid("lasting_ms", "must be 0 (for ever) to 100 years")),
    };
    let reason = Some(line("reason", reason)?).filter(|text| !text.is_empty());
    Ok(Change::Key { target, action: Action::Ban { lasting, reason } })
}

pub(super) fn set(operations: &Operations, request: api::SetNetworksRequest) -> Result<Change, Status> {
    let api::SetNetworksRequest { key, networks, reserve } = request;
    let target = target(operations, key)?;
    match (networks.is_empty(), reserve) {
        (true, false) => return Err(invalid("networks", "name at least one, or reserve the key")),
        (false, true) => {
            return Err(invalid("reserve", "a key that has networks is not reserved; leave one of them out"));
        }
        _ => {}
    }
    Ok(Change::Key { target, action: Action::Set(owners(&networks)?) })
}

pub(super) fn claim(operations: &Operations, request: api::ClaimKeyRequest) -> Result<Change, Status> {
    let api::ClaimKeyRequest { key, networks } = request;
    let target = target(operations, key)?;
    if networks.is_empty() {
        return Err(invalid("networks", "name at least one"));
    }
    Ok(Change::Key { target, action: Action::Claim(owners(&networks)?) })
}

pub(super) fn note(operations: &Operations, request: api::NoteRequest) -> Result<Change, Status> {
    let target = target(operations, request.key)?;
    let note = match request.note {
        Some(Note::Text(text)) => Some(line("text", text)?),
        Some(Note::Remove(true)) => None,
        Some(Note::Remove(false)) => return Err(invalid("remove", "must be true; leave it out to write a note")),
        None => return Err(invalid("note", "say what to write, by text, or remove")),
    };
    if note.as_deref() == Some("") {
        return Err(invalid("text", "is empty; remove takes the note away"));
    }
    Ok(Change::Key { target, action: Action::Note(note) })
}

pub(super) fn undo(request: &api::UndoRequest) -> Result<Change, Status> {
    record(request.record)?.map(Change::Undo).ok_or_else(|| invalid("record", "say which, by its number in the audit"))
}

pub(super) fn unban(operations: &Operations, request: api::UnbanRequest) -> Result<Change, Status> {
    Ok(Change::Key { target: target(operations, request.key)?, action: Action::Unban })
}

pub(super) fn audit(
    operations: &Operations,
    request: api::ListAuditRequest,
    now: Timestamp,
) -> Result<AuditQuery, Status> {
    let api::ListAuditRequest { kind, key, since_ms, limit: rows, within_ms, record: number, decision_id } = request;
    let key = key.map(|key| target(operations, Some(key))).transpose()?;
    let since = moment("since_ms", since_ms)?.max(ago("within_ms", within_ms, now)?);
    let (kind, decision) = (event_kind(&kind)?, decision(&decision_id)?);
    Ok(AuditQuery { kind, key, since, record: record(number)?, decision, limit: limit(rows)?, ..AuditQuery::ALL })
}

pub(super) fn export(
    operations: &Operations,
    request: api::ExportAuditRequest,
    now: Timestamp,
) -> Result<AuditQuery, Status> {
    let api::ExportAuditRequest { kind, key, since_ms, within_ms, until_ms, until_ago_ms, decision_id } = request;
    let key = key.map(|key| target(operations, Some(key))).transpose()?;
    let since = moment("since_ms", since_ms)?.max(ago("within_ms", within_ms, now)?);
    let until = [moment("until_ms", until_ms)?, ago("until_ago_ms", until_ago_ms, now)?].into_iter().flatten().min();
    let (kind, decision) = (event_kind(&kind)?, decision(&decision_id)?);
    Ok(AuditQuery { kind, key, since, until, decision, ..AuditQuery::ALL })
}

pub(super) fn tail(operations: &Operations, request: api::TailAuditRequest) -> Result<AuditQuery, Status> {
    let api::TailAuditRequest { kind, key } = request;
    let key = key.map(|key| target(operations, Some(key))).transpose()?;
    Ok(AuditQuery { kind: event_kind(&kind)?, key, ..AuditQuery::ALL })
}

fn event_kind(text: &str) -> Result<Option<EventKind>, Status> {
    word("kind", text, EventKind::from_word, &EventKind::ALL.map(EventKind::as_str))
}

/// 0 is none.
fn moment(field: &str, millis: i64) -> Result<Option<Timestamp>, Status> {
    Ok((non_negative(field, millis)? > 0).then(|| Timestamp::from_millis(millis)))
}

/// So long before `now`; 0 is none.
fn ago(field: &str, millis: i64, now: Timestamp) -> Result<Option<Timestamp>, Status> {
    let millis = non_negative(field, millis)?;
    Ok((millis > 0).then(|| now.before(Duration::from_millis(millis))))
}

fn non_negative(field: &str, millis: i64) -> Result<u64, Status> {
    u64::try_from(millis).map_err(|_| invalid(field, "must not be negative"))
}

fn key_id(field: &str, text: &str) -> Result<KeyIdPrefix, Status> {
    text.parse().map_err(|error| invalid(field, error))
}

fn record(number: i64) -> Result<Option<RecordId>, Status> {
    match number {
        0 => Ok(None),
        1.. => Ok(Some(RecordId(number))),
        _ => Err(invalid("record", "must be the number of an audit record")),
    }
}

fn decision(text: &str) -> Result<Option<String>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse::<DecisionId>().map(|id| Some(id.to_string())).map_err(|error| invalid("decision_id", error))
}

fn owners(texts: &[String]) -> Result<Vec<Network>, Status> {
    if texts.len() > MAX_NETWORKS {
        return Err(invalid("networks", "at most 256; a wider CIDR covers more"));
    }
    texts.iter().map(|text| network("networks", text)).collect()
}

fn network(field: &str, text: &str) -> Result<Network, Status> {
    text.parse().map_err(|error| match error {
        NetworkError::Unparsable(_) => invalid(field, "not an IP address or CIDR"),
        NetworkError::HostBits { .. } | NetworkError::Disguised(_) => invalid(field, error),
    })
}

fn word<T>(field: &str, text: &str, read: fn(&str) -> Option<T>, words: &[&str]) -> Result<Option<T>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    read(text)
        .map(Some)
        .ok_or_else(|| invalid(field, format_args!("must be one of {}, or empty for all", words.join(", "))))
}

fn limit(rows: u32) -> Result<u32, Status> {
    match rows {
        0 => Ok(DEFAULT_LIMIT),
        1..=MAX_LIMIT => Ok(rows),
        _ => Err(invalid("limit", "must be 1 to 1000, or 0 for 100")),
    }
}

fn line(field: &str, text: String) -> Result<String, Status> {
    // It could forge lines in an operator's terminal and in text logs.
    if text.chars().any(is_control) {
        return Err(invalid(field, "must not contain control characters"));
    }
    if text.chars().count() > MAX_LINE {
        return Err(invalid(field, "must have at most 200 characters"));
    }
    Ok(text)
}

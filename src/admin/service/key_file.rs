//! The file format of exported keys: JSON Lines. The first line names the format and the peppers, the last line counts
//! the keys between them. Every version must read the files of all earlier versions, so field names never change.

mod fields;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::FieldError;
use crate::{
    domain::{
        Ban, Binding, Candidate, Fingerprint, Hint, KeyDigest, KeyFacts, KeyId, Network, PepperId, State, Timestamp,
    },
    store::{ArchivedBinding, ExportedKey, KnownPepper, MAX_CANDIDATES},
};

use fields::{End, hint, maybe_moment, maybe_text, moment, pepper_id, text};

const FORMAT: &str = "key-ip-sentinel keys";
const VERSION: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct Header {
    format: String,
    version: u64,
    #[serde(deserialize_with = "moment")]
    exported_at_ms: Timestamp,
    #[serde(default)]
    peppers: Vec<PepperPart>,
    #[serde(flatten, skip_serializing)]
    _end: End,
}

#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct PepperPart {
    active: bool,
    /// 32 bytes, in the format of a digest.
    check_value: KeyDigest,
    #[serde(deserialize_with = "pepper_id")]
    id: PepperId,
    #[serde(flatten, skip_serializing)]
    _end: End,
}

#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct Trailer {
    keys: u64,
    #[serde(flatten, skip_serializing)]
    _end: End,
}

#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct KeyPart {
    key_id: KeyId,
    digest: KeyDigest,
    #[serde(deserialize_with = "pepper_id")]
    pepper: PepperId,
    #[serde(deserialize_with = "text")]
    realm: String,
    #[serde(default, deserialize_with = "hint", skip_serializing_if = "Option::is_none")]
    hint: Option<Hint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binding: Option<BindingPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ban: Option<BanPart>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<CandidatePart>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    archived: Vec<ArchivedPart>,
    #[serde(flatten, skip_serializing)]
    _end: End,
}

#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct BindingPart {
    state: State,
    #[serde(default)]
    networks: Vec<Network>,
    #[serde(deserialize_with = "moment")]
    created_at_ms: Timestamp,
    #[serde(default, deserialize_with = "maybe_moment", skip_serializing_if = "Option::is_none")]
    open_until_ms: Option<Timestamp>,
    #[serde(default, deserialize_with = "maybe_moment", skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<Timestamp>,
    #[serde(default, deserialize_with = "maybe_moment", skip_serializing_if = "Option::is_none")]
    used_at_ms: Option<Timestamp>,
    #[serde(default, deserialize_with = "maybe_moment", skip_serializing_if = "Option::is_none")]
    refused_at_ms: Option<Timestamp>,
    #[serde(default, deserialize_with = "maybe_moment", skip_serializing_if = "Option::is_none")]
    restored_at_ms: Option<Timestamp>,
    #[serde(default, deserialize_with = "maybe_text", skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(flatten, skip_serializing)]
    _end: End,
}

#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct BanPart {
    #[serde(default, deserialize_with = "maybe_moment", skip_serializing_if = "Option::is_none")]
    until_ms: Option<Timestamp>,
    #[serde(default, deserialize_with = "maybe_text", skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(deserialize_with = "text")]
    actor: String,
    #[serde(deserialize_with = "moment")]
    created_at_ms: Timestamp,
    #[serde(flatten, skip_serializing)]
    _end: End,
}

#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct CandidatePart {
    network: Network,
    #[serde(deserialize_with = "moment")]
    first_at_ms: Timestamp,
    #[serde(flatten, skip_serializing)]
    _end: End,
}

#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct ArchivedPart {
    #[serde(default)]
    networks: Vec<Network>,
    #[serde(deserialize_with = "moment")]
    created_at_ms: Timestamp,
    #[serde(deserialize_with = "moment")]
    archived_at_ms: Timestamp,
    #[serde(flatten, skip_serializing)]
    _end: End,
}

fn line(value: &impl Serialize) -> String {
    // Serializing structs of texts and numbers cannot fail.
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line
}

/// The first line. The `bool` of each pepper says whether it is active.
pub(super) fn header(now: Timestamp, peppers: &[(KnownPepper, bool)]) -> String {
    let pepper = |(KnownPepper { id, check_value }, active): &_| PepperPart {
        active: *active,
        check_value: KeyDigest::from_bytes(*check_value),
        id: id.clone(),
        _end: End,
    };
    let peppers = peppers.iter().map(pepper).collect();
    line(&Header { format: FORMAT.to_owned(), version: VERSION, exported_at_ms: now, peppers, _end: End })
}

/// The last line.
pub(super) fn trailer(keys: u64) -> String {
    line(&Trailer { keys, _end: End })
}

/// A key's line.
pub(super) fn key(key: &ExportedKey) -> String {
    let ExportedKey { id, key, facts, used_at, refused_at, restored_at, note, archive } = key.clone();
    let binding = |binding: Binding| BindingPart {
        state: binding.state,
        networks: binding.networks,
        created_at_ms: binding.created_at,
        open_until_ms: binding.open_until,
        expires_at_ms: binding.expires_at,
        used_at_ms: used_at,
        refused_at_ms: refused_at,
        restored_at_ms: restored_at,
        note,
        _end: End,
    };
    let ban = |Ban { until, reason, actor, created_at, .. }| BanPart {
        until_ms: until,
        reason,
        actor,
        created_at_ms: created_at,
        _end: End,
    };
    let candidate = |Candidate { network, first_at }| CandidatePart { network, first_at_ms: first_at, _end: End };
    let archived = |ArchivedBinding { networks, created_at, archived_at }| ArchivedPart {
        networks,
        created_at_ms: created_at,
        archived_at_ms: archived_at,
        _end: End,
    };
    line(&KeyPart {
        key_id: id,
        digest: key.digest,
        pepper: key.pepper,
        realm: key.realm,
        hint: key.hint,
        binding: facts.binding.map(binding),
        ban: facts.ban.map(ban),
        candidates: facts.candidates.into_iter().map(candidate).collect(),
        archived: archive.into_iter().map(archived).collect(),
        _end: End,
    })
}

/// A line after the first.
pub(super) enum Line {
    Key(Box<ExportedKey>),
    /// The number of keys.
    End(u64),
}

/// The peppers that the first line names.
pub(super) fn read_header(line: &[u8]) -> Result<Vec<KnownPepper>, FieldError> {
    const OTHER_FILE: &str = "this is not a file of `sentinel bindings export`";
    let value = fields::parse(line).ok().filter(Value::is_object).ok_or_else(|| FieldError::new("", OTHER_FILE))?;
    if value["format"] != FORMAT {
        return Err(FieldError::new("format", OTHER_FILE));
    }
    // Checked before the other fields, because another version may have other fields.
    if let Some(other) = value["version"].as_u64().filter(|version| *version != VERSION) {
        let why = format_args!("is {other}, but this server reads version {VERSION}; use a server that reads {other}");
        return Err(FieldError::new("version", why));
    }
    let Header { peppers, .. } = fields::read(value)?;
    let known = |it: PepperPart| KnownPepper { id: it.id, check_value: *it.check_value.as_bytes() };
    Ok(peppers.into_iter().map(known).collect())
}

/// Reads a line after the first. Its key must be under one of `peppers`.
pub(super) fn read(line: &[u8], peppers: &[KnownPepper]) -> Result<Line, FieldError> {
    let value = fields::parse(line)?;
    if value.get("keys").is_some() {
        return fields::read(value).map(|Trailer { keys, .. }| Line::End(keys));
    }
    let KeyPart { key_id: id, digest, pepper, realm, hint, binding, ban, candidates, archived, .. } =
        fields::read(value)?;
    if peppers.iter().all(|known| known.id != pepper) {
        return Err(FieldError::new("pepper", "is not one of the peppers in the first line"));
    }
    if binding.is_none() && ban.is_none() && candidates.is_empty() && archived.is_empty() {
        return Err(FieldError::new("", "has neither binding nor ban, candidates or archived"));
    }
    let (used_at, refused_at, restored_at, note) = binding.as_ref().map_or_else(Default::default, |part| {
        (part.used_at_ms, part.refused_at_ms, part.restored_at_ms, part.note.clone())
    });
    let binding = binding.map(|part| part.read(id, hint.clone())).transpose()?;
    let ban = ban.map(|part| part.read(id, hint.clone()));
    let archived = archived.into_iter().enumerate().map(|(nth, part)| part.read(nth));
    let archive = archived.collect::<Result<_, _>>()?;
    let facts = KeyFacts { binding, ban, candidates: read_candidates(candidates)? };
    let key = Fingerprint { digest, pepper, realm, hint, others: Vec::new() };
    Ok(Line::Key(Box::new(ExportedKey { id, key, facts, used_at, refused_at, restored_at, note, archive })))
}

impl BindingPart {
    fn read(self, id: KeyId, hint: Option<Hint>) -> Result<Binding, FieldError> {
        let Self { state, networks, created_at_ms, open_until_ms, expires_at_ms, .. } = self;
        let networks = sorted(networks, "binding")?;
        if networks.is_empty() && state != State::Pinned {
            return Err(FieldError::new("binding.networks", "is empty, which is allowed only if state is pinned"));
        }
        if open_until_ms.is_some() && state == State::Pinned {
            return Err(FieldError::new("binding.open_until_ms", "is not allowed if state is pinned"));
        }
        if expires_at_ms.is_some() != (state == State::Provisional) {
            let why = "is required if state is provisional, and not allowed otherwise";
            return Err(FieldError::new("binding.expires_at_ms", why));
        }
        let (created_at, open_until, expires_at) = (created_at_ms, open_until_ms, expires_at_ms);
        Ok(Binding { id, hint, state, networks, created_at, open_until, expires_at })
    }
}

impl BanPart {
    fn read(self, id: KeyId, hint: Option<Hint>) -> Ban {
        let Self { until_ms: until, reason, actor, created_at_ms: created_at, .. } = self;
        Ban { id, hint, until, reason, actor, created_at }
    }
}

impl ArchivedPart {
    fn read(self, nth: usize) -> Result<ArchivedBinding, FieldError> {
        let Self { networks, created_at_ms: created_at, archived_at_ms: archived_at, .. } = self;
        Ok(ArchivedBinding { networks: sorted(networks, &format!("archived[{nth}]"))?, created_at, archived_at })
    }
}

fn read_candidates(parts: Vec<CandidatePart>) -> Result<Vec<Candidate>, FieldError> {
    if parts.len() > MAX_CANDIDATES {
        return Err(FieldError::new("candidates", format_args!("has more than {MAX_CANDIDATES} entries")));
    }
    let candidates = parts.iter().map(|part| Candidate { network: part.network, first_at: part.first_at_ms });
    each_once(parts.iter().map(|part| part.network), |nth| format!("candidates[{nth}].network"))?;
    Ok(candidates.collect())
}

/// Sorts the networks as the stores do.
fn sorted(mut networks: Vec<Network>, of: &str) -> Result<Vec<Network>, FieldError> {
    each_once(networks.iter().copied(), |nth| format!("{of}.networks[{nth}]"))?;
    networks.sort_by_cached_key(Network::to_string);
    Ok(networks)
}

fn each_once(networks: impl Iterator<Item = Network>, name: impl Fn(usize) -> String) -> Result<(), FieldError> {
    let mut earlier = HashSet::new();
    match networks.enumerate().find(|(_, network)| !earlier.insert(*network)) {
        Some((nth, _)) => Err(FieldError::new(name(nth), "is a duplicate")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;

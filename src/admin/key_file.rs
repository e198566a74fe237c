//! The file that keys are moved in: JSON Lines, the first of which names the format and the peppers, and the last counts
//! the keys between. The names are a file format: files of every earlier version must be read by every later one.

use serde::Serialize;
use serde_json::json;

use super::fields::{Fault, Fields};
use crate::{
    domain::{
        Ban, Binding, Candidate, Fingerprint, Hint, KeyDigest, KeyFacts, KeyId, Network, PepperId, State, Timestamp,
        addr::NetworkError,
    },
    store::{ArchivedBinding, ExportedKey, KnownPepper, MAX_CANDIDATES},
};

const FORMAT: &str = "key-ip-sentinel keys";
const VERSION: u64 = 1;

/// The first line: when, and which peppers the keys are under; the active one is marked.
pub(super) fn header(now: Timestamp, peppers: &[(KnownPepper, bool)]) -> String {
    let pepper = |(pepper, active): &(KnownPepper, bool)| json!({ "id": pepper.id.as_str(), "check_value": hex::encode(pepper.check_value), "active": active });
    let peppers: Vec<_> = peppers.iter().map(pepper).collect();
    let header = Header { format: FORMAT, version: VERSION, exported_at_ms: now.as_millis(), peppers };
    line(&header)
}

/// The last line.
pub(super) fn trailer(keys: u64) -> String {
    line(&json!({ "keys": keys }))
}

/// A key's line.
pub(super) fn key(exported: &ExportedKey) -> String {
    let ExportedKey { id, key, facts: KeyFacts { binding, ban, candidates }, .. } = exported;
    line(&KeyLine {
        key_id: id.to_string(),
        digest: key.digest.to_string(),
        pepper: key.pepper.as_str(),
        realm: &key.realm,
        hint: key.hint.as_ref().map(Hint::as_str),
        binding: binding.as_ref().map(|binding| BindingPart {
            state: binding.state.as_str(),
            networks: texts(&binding.networks),
            created_at_ms: binding.created_at.as_millis(),
            open_until_ms: millis(binding.open_until),
            expires_at_ms: millis(binding.expires_at),
            used_at_ms: millis(exported.used_at),
            refused_at_ms: millis(exported.refused_at),
            restored_at_ms: millis(exported.restored_at),
            note: exported.note.as_deref(),
        }),
        ban: ban.as_ref().map(|ban| BanPart {
            until_ms: millis(ban.until),
            reason: ban.reason.as_deref(),
            actor: &ban.actor,
            created_at_ms: ban.created_at.as_millis(),
        }),
        candidates: candidates
            .iter()
            .map(|it| CandidatePart { network: it.network.to_string(), first_at_ms: it.first_at.as_millis() })
            .collect(),
        archived: exported
            .archive
            .iter()
            .map(|former| FormerPart {
                networks: texts(&former.networks),
                created_at_ms: former.created_at.as_millis(),
                archived_at_ms: former.archived_at.as_millis(),
            })
            .collect(),
    })
}

#[derive(Serialize)]
struct Header<'a> {
    format: &'a str,
    version: u64,
    exported_at_ms: i64,
    peppers: Vec<serde_json::Value>,
}

#[derive(Serialize)]
struct KeyLine<'a> {
    key_id: String,
    digest: String,
    pepper: &'a str,
    realm: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binding: Option<BindingPart<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ban: Option<BanPart<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<CandidatePart>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    archived: Vec<FormerPart>,
}

#[derive(Serialize)]
struct BindingPart<'a> {
    state: &'a str,
    networks: Vec<String>,
    created_at_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_until_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    used_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restored_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

#[derive(Serialize)]
struct BanPart<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    until_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    actor: &'a str,
    created_at_ms: i64,
}

#[derive(Serialize)]
struct CandidatePart {
    network: String,
    first_at_ms: i64,
}

#[derive(Serialize)]
struct FormerPart {
    networks: Vec<String>,
    created_at_ms: i64,
    archived_at_ms: i64,
}

fn line(value: &impl Serialize) -> String {
    // Texts and numbers under names of ours: nothing of it can fail.
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line
}

fn texts(networks: &[Network]) -> Vec<String> {
    networks.iter().map(Network::to_string).collect()
}

fn millis(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::as_millis)
}

/// A line after the first.
pub(super) enum Line {
    Key(Box<ExportedKey>),
    /// How many keys there were.
    End(u64),
}

/// The peppers that the first line names.
pub(super) fn read_header(line: &[u8]) -> Result<Vec<KnownPepper>, Fault> {
    const NONE: &str = "this is no file of `sentinel bindings export`";
    let mut fields = Fields::of_line(line).map_err(|_| Fault::new("", NONE))?;
    if !fields.text("format").is_ok_and(|format| format == FORMAT) {
        return Err(Fault::new("format", NONE));
    }
    match fields.number("version")? {
        VERSION => {}
        other => {
            let why = format_args!("is {other}, but this server reads {VERSION}; use one of the file's version");
            return Err(Fault::new("version", why));
        }
    }
    fields.moment("exported_at_ms")?;
    let mut peppers = Vec::new();
    for mut pepper in fields.objects("peppers")? {
        let id = pepper_id(&mut pepper, "id")?;
        let check_value = pepper.bytes("check_value")?;
        pepper.flag("active")?;
        pepper.end()?;
        peppers.push(KnownPepper { id, check_value });
    }
    fields.end()?;
    Ok(peppers)
}

/// A line after the first, whose key must be under one of `peppers`.
pub(super) fn read(line: &[u8], peppers: &[KnownPepper]) -> Result<Line, Fault> {
    let mut fields = Fields::of_line(line)?;
    if fields.has("keys") {
        let keys = fields.number("keys")?;
        fields.end()?;
        return Ok(Line::End(keys));
    }
    let id = fields.parsed("key_id", "must be k_ and 32 lower-case hex digits")?;
    let digest = KeyDigest::from_bytes(fields.bytes("digest")?);
    let pepper = pepper_id(&mut fields, "pepper")?;
    if peppers.iter().all(|known| known.id != pepper) {
        return Err(Fault::new("pepper", "is none of those that the first line names"));
    }
    let realm = fields.text("realm")?;
    let hint = hint(&mut fields)?;
    let (mut used_at, mut refused_at, mut restored_at, mut note) = (None, None, None, None);
    let binding = match fields.maybe_object("binding")? {
        Some(mut part) => {
            used_at = part.maybe_moment("used_at_ms")?;
            refused_at = part.maybe_moment("refused_at_ms")?;
            note = part.maybe_text("note")?;
            restored_at = part.maybe_moment("restored_at_ms")?;
            Some(binding(part, id, hint.clone())?)
        }
        None => None,
    };
    let ban = fields.maybe_object("ban")?.map(|part| ban(part, id, hint.clone())).transpose()?;
    let candidates = candidates(&mut fields)?;
    let archive = fields.objects("archived")?.into_iter().map(former).collect::<Result<Vec<_>, _>>()?;
    if binding.is_none() && ban.is_none() && candidates.is_empty() && archive.is_empty() {
        return Err(Fault::new("", "holds a key of which nothing is known: no binding, ban, candidates or archived"));
    }
    fields.end()?;
    let key = Fingerprint { digest, pepper, realm, hint, others: Vec::new() };
    let facts = KeyFacts { binding, ban, candidates };
    Ok(Line::Key(Box::new(ExportedKey { id, key, facts, used_at, refused_at, restored_at, note, archive })))
}

fn pepper_id(fields: &mut Fields, name: &str) -> Result<PepperId, Fault> {
    fields.parsed(name, "must be 8 lower-case hex digits")
}

/// Checked, for it is shown: whoever writes such files by hand must not have keys shown.
fn hint(fields: &mut Fields) -> Result<Option<Hint>, Fault> {
    let Some(text) = fields.maybe_text("hint")? else { return Ok(None) };
    let fits = text.chars().count() == 9 && text.chars().enumerate().all(|(nth, c)| (nth == 4) == (c == '…'));
    if fits {
        Ok(Some(Hint::from_stored(text)))
    } else {
        Err(Fault::new("hint", "must be 4 characters, … and 4 more"))
    }
}

fn binding(mut part: Fields, id: KeyId, hint: Option<Hint>) -> Result<Binding, Fault> {
    let state = part.text("state")?;
    let state = State::from_word(&state)
        .ok_or_else(|| Fault::new(part.name("state"), "must be provisional, learned or pinned"))?;
    let networks = networks(&mut part)?;
    if networks.is_empty() && state != State::Pinned {
        return Err(Fault::new(part.name("networks"), "has none; only a pinned key is reserved so"));
    }
    let created_at = part.moment("created_at_ms")?;
    let open_until = part.maybe_moment("open_until_ms")?;
    let expires_at = part.maybe_moment("expires_at_ms")?;
    if open_until.is_some() && state == State::Pinned {
        return Err(Fault::new(part.name("open_until_ms"), "does not belong to a pinned binding, which nobody joins"));
    }
    if expires_at.is_some() != (state == State::Provisional) {
        return Err(Fault::new(part.name("expires_at_ms"), "belongs to provisional bindings, to each of them"));
    }
    part.end()?;
    Ok(Binding { id, hint, state, networks, created_at, open_until, expires_at })
}

fn ban(mut part: Fields, id: KeyId, hint: Option<Hint>) -> Result<Ban, Fault> {
    let (until, reason) = (part.maybe_moment("until_ms")?, part.maybe_text("reason")?);
    let (actor, created_at) = (part.text("actor")?, part.moment("created_at_ms")?);
    part.end()?;
    Ok(Ban { id, hint, until, reason, actor, created_at })
}

fn candidates(fields: &mut Fields) -> Result<Vec<Candidate>, Fault> {
    let mut candidates: Vec<Candidate> = Vec::new();
    for mut part in fields.objects("candidates")? {
        let (name, text) = (part.name("network"), part.text("network")?);
        let (network, first_at) = (network(&name, &text)?, part.moment("first_at_ms")?);
        part.end()?;
        if candidates.iter().any(|earlier| earlier.network == network) {
            return Err(Fault::new(name, "is there twice"));
        }
        candidates.push(Candidate { network, first_at });
    }
    match candidates.len() {
        0..=MAX_CANDIDATES => Ok(candidates),
        _ => Err(Fault::new("candidates", format_args!("are more than {MAX_CANDIDATES}"))),
    }
}

fn former(mut part: Fields) -> Result<ArchivedBinding, Fault> {
    let networks = networks(&mut part)?;
    let (created_at, archived_at) = (part.moment("created_at_ms")?, part.moment("archived_at_ms")?);
    part.end()?;
    Ok(ArchivedBinding { networks, created_at, archived_at })
}

/// In the order that stores give them in.
fn networks(part: &mut Fields) -> Result<Vec<Network>, Fault> {
    let mut found: Vec<(String, Network)> = Vec::new();
    for (name, text) in part.texts("networks")? {
        let network = network(&name, &text)?;
        if found.iter().any(|(_, earlier)| *earlier == network) {
            return Err(Fault::new(name, "is there twice"));
        }
        found.push((network.to_string(), network));
    }
    found.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    Ok(found.into_iter().map(|(_, network)| network).collect())
}

fn network(name: &str, text: &str) -> Result<Network, Fault> {
    text.parse().map_err(|error| match error {
        NetworkError::Unparsable(_) => Fault::new(name, "not an IP address or CIDR"),
        NetworkError::HostBits { .. } | NetworkError::Disguised(_) => Fault::new(name, error),
    })
}

#[cfg(test)]
mod tests;

//! The format of a fact in Redis, and its authentication.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the version of this format, 1 |
//! | 8 | the id of the pepper whose key the MAC is made with |
//! | 8 | `as_of`, the revision of the statement that read the fact; big-endian |
//! | 32 | HMAC-SHA-256, under a key derived from that pepper, of version, history, realm, digest, `as_of` and body |
//! | the rest | the body: JSON with the names of [`snapshot`](crate::store::snapshot) |
//!
//! The MAC covers everything that says where the value belongs, so a value that was moved to another key, realm or
//! store history counts as forged. An attacker that can write to Redis can delete values or restore old ones, which are
//! judged by their revision; it cannot make a value.
//!
//! A change of the body needs no new version: a body is rejected unless this version would write exactly the same
//! bytes. So old and new processes can share a Redis, and each misses what it does not know.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::{
    domain::{KeyDigest, KeyFacts, KeyId, KeyRing, PepperId},
    store::{
        HistoryId, Reading, Revision,
        snapshot::{BanRow, BindingRow},
    },
};

const VERSION: u8 = 1;
const PURPOSE: &str = "shared cache 1";

/// Encodes values, and decodes those that were made with one of the listed peppers.
pub(super) struct Codec {
    realm: String,
    keyed: Vec<(PepperId, Hmac<Sha256>)>,
}

/// Why a value was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecodeError {
    /// It has another version, or its pepper is not listed.
    Foreign,
    /// It is truncated, or its MAC is not that of its pepper for this key, realm and store history.
    Forged,
}

#[derive(Serialize, Deserialize)]
struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    binding: Option<(KeyId, BindingRow)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ban: Option<(KeyId, BanRow)>,
}

struct Parts<'a> {
    pepper: &'a [u8; 8],
    as_of: [u8; 8],
    mac: &'a [u8; 32],
    body: &'a [u8],
}

impl Codec {
    pub(super) fn new(ring: &KeyRing) -> Self {
        let keyed = ring.peppers().iter().filter_map(|pepper| {
            // HMAC accepts a key of any length, so no pepper is left out.
            let mac = Hmac::<Sha256>::new_from_slice(&*pepper.derive(PURPOSE)).ok()?;
            Some((pepper.id(), mac))
        });
        Self { realm: ring.realm().to_owned(), keyed: keyed.collect() }
    }

    /// Returns the value of `reading`, made with the pepper `active`, or `None` for a key without owner and ban, which
    /// is not shared: the next claim takes no revision that would invalidate it.
    pub(super) fn encode(&self, active: &PepperId, history: HistoryId, reading: &Reading) -> Option<Vec<u8>> {
        let KeyFacts { binding, ban, candidates } = &reading.facts;
        let shared = (binding.is_some() || ban.is_some()) && candidates.is_empty();
        let (id, mac) = self.keyed.iter().find(|(id, _)| id == active).filter(|_| shared)?;
        let pepper: &[u8; 8] = id.as_str().as_bytes().try_into().ok()?;
        let body = Body {
            binding: binding.as_ref().map(|binding| (binding.id, binding.clone().into())),
            ban: ban.as_ref().map(|ban| (ban.id, ban.clone().into())),
        };
        let body = serde_json::to_vec(&body).ok()?;
        let as_of = reading.as_of.0.to_be_bytes();
        let mac = self.input(mac, history, &reading.digest, as_of, &body).finalize().into_bytes();
        Some([&[VERSION], pepper.as_slice(), &as_of, &mac, &body].concat())
    }

    /// Returns the reading of a value that was found under `digest`. Its facts have no hints: hints are not written to
    /// Redis, and no decision needs them.
    pub(super) fn decode(&self, history: HistoryId, digest: KeyDigest, value: &[u8]) -> Result<Reading, DecodeError> {
        let (version, rest) = value.split_first().ok_or(DecodeError::Forged)?;
        if *version != VERSION {
            return Err(DecodeError::Foreign);
        }
        let Parts { pepper, as_of, mac, body } = parts(rest).ok_or(DecodeError::Forged)?;
        let keyed = self.keyed.iter().find(|(id, _)| id.as_str().as_bytes() == pepper);
        let (_, keyed) = keyed.ok_or(DecodeError::Foreign)?;
        // Compares in constant time.
        self.input(keyed, history, &digest, as_of, body).verify_slice(mac).map_err(|_| DecodeError::Forged)?;
        let facts = facts(body).ok_or(DecodeError::Foreign)?;
        Ok(Reading { facts, as_of: Revision(i64::from_be_bytes(as_of)), digest })
    }

    /// Every part has a fixed length or a length prefix, so that no two inputs collide.
    fn input(
        &self,
        keyed: &Hmac<Sha256>,
        history: HistoryId,
        digest: &KeyDigest,
        as_of: [u8; 8],
        body: &[u8],
    ) -> Hmac<Sha256> {
        let realm = self.realm.as_bytes();
        keyed
            .clone()
            .chain_update([VERSION])
            .chain_update(history.0.to_be_bytes())
            .chain_update((realm.len() as u64).to_be_bytes())
            .chain_update(realm)
            .chain_update(digest.as_bytes())
            .chain_update(as_of)
            .chain_update(body)
    }
}

fn parts(rest: &[u8]) -> Option<Parts<'_>> {
    let (pepper, rest) = rest.split_first_chunk()?;
    let (as_of, rest) = rest.split_first_chunk()?;
    let (mac, body) = rest.split_first_chunk()?;
    Some(Parts { pepper, as_of: *as_of, mac, body })
}

fn facts(body: &[u8]) -> Option<KeyFacts> {
    let read: Body = serde_json::from_slice(body).ok()?;
    // A field that this version does not know may change the meaning of the others.
    if serde_json::to_vec(&read).ok()? != body {
        return None;
    }
    let binding = read.binding.map(|(id, row)| row.read(id, None));
    let ban = read.ban.map(|(id, row)| row.read(id, None));
    Some(KeyFacts { binding, ban, candidates: Vec::new() })
}

#[cfg(test)]
mod tests;

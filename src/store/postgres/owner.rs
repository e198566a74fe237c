//! Writes what the rules have decided for a key.

use super::rows::{Step, step, texts, time};
use crate::store::rules::{Named, Write};

pub(super) fn steps(key: &Named, writes: &[Write]) -> Vec<Step> {
    writes.iter().flat_map(|write| write_of(key, write)).collect()
}

fn write_of(key: &Named, write: &Write) -> Vec<Step> {
    let id = key.id.to_string();
    let fingerprint = &key.fingerprint;
    let (digest, pepper) = (fingerprint.digest.as_bytes().to_vec(), fingerprint.pepper.to_string());
    let realm = fingerprint.realm.clone();
    match write {
        Write::Bind(binding) => {
            let hint = binding.hint.as_ref().map(|hint| hint.as_str().to_owned());
            let networks = texts(&binding.networks);
            vec![
                // First, because a statement does not see what another part of itself has deleted.
                step!("DELETE FROM binding_networks WHERE key_id = $1", id.clone()),
                step!(
                    "WITH bound AS (
                         INSERT INTO bindings
                             (key_id, digest, pepper, realm, hint, state, created_at, open_until, expires_at)
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                         ON CONFLICT (key_id) DO UPDATE SET state = excluded.state, created_at = excluded.created_at,
                             open_until = excluded.open_until, expires_at = excluded.expires_at
                         RETURNING key_id)
                     INSERT INTO binding_networks (key_id, network)
                         SELECT key_id, network::cidr FROM bound, unnest($10::text[]) AS network",
                    id,
                    digest,
                    pepper,
                    realm,
                    hint,
                    binding.state.as_str(),
                    time(binding.created_at),
                    binding.open_until.map(time),
                    binding.expires_at.map(time),
                    networks,
                ),
            ]
        }
        Write::Unbind => vec![step!("DELETE FROM bindings WHERE key_id = $1", id)],
        Write::Join(network) => vec![step!(
            "INSERT INTO binding_networks (key_id, network) VALUES ($1, $2::text::cidr)",
            id,
            network.to_string()
        )],
        Write::Seal => vec![step!("UPDATE bindings SET open_until = NULL WHERE key_id = $1", id)],
        Write::Restored(at) => {
            vec![step!("UPDATE bindings SET restored_at = $2 WHERE key_id = $1", id, time(*at))]
        }
        Write::Note(note) => vec![step!("UPDATE bindings SET note = $2 WHERE key_id = $1", id, note.clone())],
        Write::Ban(ban) => vec![step!(
            "INSERT INTO bans (key_id, digest, pepper, realm, hint, until, reason, actor, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (key_id) DO UPDATE SET until = excluded.until, reason = excluded.reason,
                 actor = excluded.actor, created_at = excluded.created_at",
            id,
            digest,
            pepper,
            realm,
            ban.hint.as_ref().map(|hint| hint.as_str().to_owned()),
            ban.until.map(time),
            ban.reason.clone(),
            ban.actor.clone(),
            time(ban.created_at),
        )],
        Write::Unban => vec![step!("DELETE FROM bans WHERE key_id = $1", id)],
        Write::Observed(candidate) => vec![step!(
            "INSERT INTO candidates (key_id, digest, pepper, realm, hint, network, first_at)
             VALUES ($1, $2, $3, $4, $5, $6::text::cidr, $7)",
            id,
            digest,
            pepper,
            realm,
            fingerprint.hint.as_ref().map(|hint| hint.as_str().to_owned()),
            candidate.network.to_string(),
            time(candidate.first_at),
        )],
        Write::Archived(former) => vec![step!(
            "INSERT INTO archive (key_id, digest, pepper, realm, hint, networks, created_at, archived_at)
             VALUES ($1, $2, $3, $4, $5, $6::text[]::cidr[], $7, $8)",
            id,
            digest,
            pepper,
            realm,
            fingerprint.hint.as_ref().map(|hint| hint.as_str().to_owned()),
            texts(&former.networks),
            time(former.created_at),
            time(former.archived_at),
        )],
        Write::ForgetCandidates => vec![step!("DELETE FROM candidates WHERE key_id = $1", id)],
    }
}

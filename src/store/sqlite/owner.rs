//! Writes what the rules have decided for a key.

use rusqlite::{Connection, params};

use crate::{
    domain::{Ban, Binding, Candidate, KeyId, Network, Timestamp},
    store::{
        ArchivedBinding, StoreError,
        rules::{Named, Write},
    },
};

pub(super) fn write(conn: &Connection, key: &Named, writes: &[Write]) -> Result<(), StoreError> {
    writes.iter().try_for_each(|write| match write {
        Write::Bind(binding) => put(conn, key, binding),
        Write::Unbind => remove(conn, key.id),
        Write::Join(network) => add(conn, key.id, *network),
        Write::Seal => of_key(conn, "UPDATE bindings SET open_until = NULL WHERE key_id = ?1", key.id),
        Write::Restored(at) => {
            conn.prepare_cached("UPDATE bindings SET restored_at = ?2 WHERE key_id = ?1")?
                .execute((key.id.to_string(), at.as_millis()))?;
            Ok(())
        }
        Write::Note(note) => {
            conn.prepare_cached("UPDATE bindings SET note = ?2 WHERE key_id = ?1")?
                .execute((key.id.to_string(), note))?;
            Ok(())
        }
        Write::Ban(ban) => put_ban(conn, key, ban),
        Write::Unban => of_key(conn, "DELETE FROM bans WHERE key_id = ?1", key.id),
        Write::Observed(candidate) => observed(conn, key, candidate),
        Write::Archived(former) => archived(conn, key, former),
        Write::ForgetCandidates => of_key(conn, "DELETE FROM candidates WHERE key_id = ?1", key.id),
    })
}

fn put(conn: &Connection, key: &Named, binding: &Binding) -> Result<(), StoreError> {
    let id = key.id.to_string();
    conn.prepare_cached(
        "INSERT INTO bindings (key_id, digest, pepper, realm, hint, state, created_at, open_until, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (key_id) DO UPDATE SET state = excluded.state, created_at = excluded.created_at,
             open_until = excluded.open_until, expires_at = excluded.expires_at",
    )?
    .execute(params![
        id,
        key.fingerprint.digest.as_bytes(),
        key.fingerprint.pepper.as_str(),
        key.fingerprint.realm,
        binding.hint.as_ref().map(|hint| hint.as_str()),
        binding.state.as_str(),
        binding.created_at.as_millis(),
        binding.open_until.map(Timestamp::as_millis),
        binding.expires_at.map(Timestamp::as_millis),
    ])?;
    conn.prepare_cached("DELETE FROM binding_networks WHERE key_id = ?1")?.execute([&id])?;
    binding.networks.iter().try_for_each(|network| add(conn, key.id, *network))
}

/// Forgets the owner and everything beside it.
pub(super) fn remove(conn: &Connection, id: KeyId) -> Result<(), StoreError> {
    of_key(conn, "DELETE FROM bindings WHERE key_id = ?1", id)
}

fn add(conn: &Connection, id: KeyId, network: Network) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT INTO binding_networks (key_id, network) VALUES (?1, ?2)")?
        .execute((id.to_string(), network.to_string()))?;
    Ok(())
}

fn put_ban(conn: &Connection, key: &Named, ban: &Ban) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO bans (key_id, digest, pepper, realm, hint, until, reason, actor, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (key_id) DO UPDATE SET until = excluded.until, reason = excluded.reason,
             actor = excluded.actor, created_at = excluded.created_at",
    )?
    .execute(params![
        key.id.to_string(),
        key.fingerprint.digest.as_bytes(),
        key.fingerprint.pepper.as_str(),
        key.fingerprint.realm,
        ban.hint.as_ref().map(|hint| hint.as_str()),
        ban.until.map(Timestamp::as_millis),
        ban.reason,
        ban.actor,
        ban.created_at.as_millis(),
    ])?;
    Ok(())
}

fn observed(conn: &Connection, key: &Named, candidate: &Candidate) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO candidates (key_id, digest, pepper, realm, hint, network, first_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        key.id.to_string(),
        key.fingerprint.digest.as_bytes(),
        key.fingerprint.pepper.as_str(),
        key.fingerprint.realm,
        key.fingerprint.hint.as_ref().map(|hint| hint.as_str()),
        candidate.network.to_string(),
        candidate.first_at.as_millis(),
    ])?;
    Ok(())
}

/// A binding that was archived, in words that [`super::life`] reads.
pub(super) fn archived(conn: &Connection, key: &Named, former: &ArchivedBinding) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO archive (key_id, digest, pepper, realm, hint, networks, created_at, archived_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        key.id.to_string(),
        key.fingerprint.digest.as_bytes(),
        key.fingerprint.pepper.as_str(),
        key.fingerprint.realm,
        key.fingerprint.hint.as_ref().map(|hint| hint.as_str()),
        former.networks.iter().map(Network::to_string).collect::<Vec<_>>().join(" "),
        former.created_at.as_millis(),
        former.archived_at.as_millis(),
    ])?;
    Ok(())
}

fn of_key(conn: &Connection, sql: &str, id: KeyId) -> Result<(), StoreError> {
    conn.prepare_cached(sql)?.execute([id.to_string()])?;
    Ok(())
}

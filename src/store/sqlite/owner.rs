//! Writes who owns a key.

use rusqlite::{Connection, params};

use super::names::Named;
use crate::{
    domain::{Binding, KeyId, Network, Timestamp},
    store::StoreError,
};

/// Makes `binding` the key's, whatever was there. What the key was used for and the note stay with the row.
pub(super) fn put(conn: &Connection, key: &Named, binding: &Binding) -> Result<(), StoreError> {
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

/// An operator brought the binding back at `now`.
pub(super) fn restored(conn: &Connection, id: KeyId, now: Timestamp) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE bindings SET restored_at = ?2 WHERE key_id = ?1")?
        .execute((id.to_string(), now.as_millis()))?;
    Ok(())
}

/// One more network.
pub(super) fn add(conn: &Connection, id: KeyId, network: Network) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT INTO binding_networks (key_id, network) VALUES (?1, ?2)")?
        .execute((id.to_string(), network.to_string()))?;
    Ok(())
}

/// Nobody joins any more.
pub(super) fn seal(conn: &Connection, id: KeyId) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE bindings SET open_until = NULL WHERE key_id = ?1")?.execute([id.to_string()])?;
    Ok(())
}

/// Forgets the owner and everything beside it.
pub(super) fn remove(conn: &Connection, id: KeyId) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM bindings WHERE key_id = ?1")?.execute([id.to_string()])?;
    Ok(())
}

/// The candidates of a key that has an owner now.
pub(super) fn forget_candidates(conn: &Connection, id: KeyId) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM candidates WHERE key_id = ?1")?.execute([id.to_string()])?;
    Ok(())
}

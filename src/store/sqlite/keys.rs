//! Finds the key of an id, a prefix or a digest.

use rusqlite::Connection;

use super::rows::{all, first};
use crate::{
    domain::{Fingerprint, KeyDigest, KeyId, KeyIdPrefix},
    store::{
        ChangeError, Refusal, StoreError, Target, columns,
        rules::{KeyIdentity, MAX_AMBIGUOUS, only},
        selection::end_of,
    },
};

/// Returns the key that `target` names among bindings, bans, candidates and archived rows.
pub(super) fn resolve(conn: &Connection, target: &Target) -> Result<KeyIdentity, ChangeError> {
    let named = match target {
        Target::Id(prefix) => by_id(conn, only_id(conn, prefix)?)?,
        Target::Key(key) => by_key(conn, key)?,
    };
    named.ok_or(ChangeError::Refused(Refusal::NotFound))
}

/// Returns the id that the rows of a key have, or would get.
pub(super) fn id_of(conn: &Connection, key: &Fingerprint) -> Result<KeyId, StoreError> {
    Ok(by_key(conn, key)?.map_or_else(|| key.digest.new_id(), |named| named.id))
}

fn only_id(conn: &Connection, prefix: &KeyIdPrefix) -> Result<KeyId, ChangeError> {
    let sql = "SELECT DISTINCT key_id FROM known_keys WHERE key_id >= ?1 AND key_id < ?2 ORDER BY key_id LIMIT ?3";
    Ok(only(all(conn, sql, (prefix.as_str(), end_of(prefix), MAX_AMBIGUOUS), |row| columns::key_id(row))?)?)
}

/// Returns the key whose rows have this id.
pub(super) fn by_id(conn: &Connection, id: KeyId) -> Result<Option<KeyIdentity>, StoreError> {
    let sql = "SELECT key_id, digest, pepper, realm, hint FROM known_keys WHERE key_id = ?1 ORDER BY source LIMIT 1";
    first(conn, sql, [id.to_string()], |row| columns::identity(row))
}

/// Returns the key, under whichever pepper its row is.
fn by_key(conn: &Connection, key: &Fingerprint) -> Result<Option<KeyIdentity>, StoreError> {
    for digest in key.digests().iter() {
        if let Some(named) = by_digest(conn, &digest)? {
            return Ok(Some(named));
        }
    }
    Ok(None)
}

/// Returns the key with this digest. The id of a re-keyed row is not derived from its digest.
pub(super) fn by_digest(conn: &Connection, key: &KeyDigest) -> Result<Option<KeyIdentity>, StoreError> {
    let sql = "SELECT key_id, digest, pepper, realm, hint FROM known_keys WHERE digest = ?1 ORDER BY source LIMIT 1";
    first(conn, sql, [key.as_bytes()], |row| columns::identity(row))
}

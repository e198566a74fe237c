//! From what an operator or a request calls a key to the key.

use rusqlite::Connection;

use super::rows::{column, digest, parsed};
use crate::{
    domain::{Fingerprint, Hint, KeyDigest, KeyId, KeyIdPrefix, PepperId},
    store::{
        ChangeError, Refusal, StoreError, Target,
        rules::{AMBIGUOUS, Named},
    },
};

/// The one key that `target` names among bindings, bans and archived rows.
pub(super) fn resolve(conn: &Connection, target: &Target) -> Result<Named, ChangeError> {
    let named = match target {
        Target::Id(prefix) => by_id(conn, only_id(conn, prefix)?)?,
        Target::Key(key) => by_key(conn, key)?,
    };
    named.ok_or(ChangeError::Refused(Refusal::NotFound))
}

/// The id that a key's row has, or would get.
pub(super) fn id_of(conn: &Connection, key: &Fingerprint) -> Result<KeyId, StoreError> {
    Ok(by_key(conn, key)?.map_or_else(|| key.digest.new_id(), |named| named.id))
}

/// The texts that begin with `prefix` are those from it up to the answer, which is the shape that an index can
/// search: `g` comes after every hex digit.
pub(super) fn end_of(prefix: &KeyIdPrefix) -> String {
    format!("{}g", prefix.as_str())
}

fn only_id(conn: &Connection, prefix: &KeyIdPrefix) -> Result<KeyId, ChangeError> {
    let sql = "SELECT DISTINCT key_id FROM known_keys WHERE key_id >= ?1 AND key_id < ?2 ORDER BY key_id LIMIT ?3";
    let ids = conn
        .prepare_cached(sql)?
        .query_and_then((prefix.as_str(), end_of(prefix), AMBIGUOUS), |row| parsed(row, 0, "known_keys.key_id"))?
        .collect::<Result<Vec<KeyId>, StoreError>>()?;
    match ids[..] {
        [] => Err(Refusal::NotFound.into()),
        [id] => Ok(id),
        _ => Err(Refusal::Ambiguous(ids).into()),
    }
}

/// The key whose rows have this id.
pub(super) fn by_id(conn: &Connection, id: KeyId) -> Result<Option<Named>, StoreError> {
    let sql = "SELECT key_id, digest, pepper, realm, hint FROM known_keys WHERE key_id = ?1 ORDER BY source LIMIT 1";
    first(conn.prepare_cached(sql)?.query([id.to_string()])?)
}

/// The key itself, whichever pepper its row is under.
fn by_key(conn: &Connection, key: &Fingerprint) -> Result<Option<Named>, StoreError> {
    for digest in key.digests().iter() {
        if let Some(named) = by_digest(conn, &digest)? {
            return Ok(Some(named));
        }
    }
    Ok(None)
}

/// The key with this digest, whichever id its row was given.
pub(super) fn by_digest(conn: &Connection, key: &KeyDigest) -> Result<Option<Named>, StoreError> {
    let sql = "SELECT key_id, digest, pepper, realm, hint FROM known_keys WHERE digest = ?1 ORDER BY source LIMIT 1";
    first(conn.prepare_cached(sql)?.query([key.as_bytes()])?)
}

fn first(mut rows: rusqlite::Rows<'_>) -> Result<Option<Named>, StoreError> {
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(Named {
        id: parsed(row, 0, "known_keys.key_id")?,
        fingerprint: Fingerprint {
            digest: digest(row, 1, "known_keys.digest")?,
            pepper: PepperId::from_stored(column(row, 2, "known_keys.pepper")?),
            realm: column(row, 3, "known_keys.realm")?,
            hint: column::<Option<String>>(row, 4, "known_keys.hint")?.map(Hint::from_stored),
            others: Vec::new(),
        },
    }))
}

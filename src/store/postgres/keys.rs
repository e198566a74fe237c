//! Finds the key of an id, a prefix or a digest, and locks keys.

use super::{
    rows::{Step, ids, step},
    session::Session,
};
use crate::{
    domain::{Fingerprint, KeyDigest, KeyId, KeyIdPrefix},
    store::{
        ChangeError, StoreError,
        columns::{self, Columns},
        rules::{KeyIdentity, MAX_AMBIGUOUS, only},
        selection::end_of,
    },
};

/// The first number of the advisory locks of Sentinel with two numbers: `SNTL`. Locks with one number are keys.
const LOCK_CLASS: i32 = 0x534E_544C;

/// The second number of an advisory lock with [`LOCK_CLASS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// Shared by transactions that write keys or audit records. Exclusive for the activation of a pepper, so that no
    /// row under the previous pepper can be committed after it.
    Writers = 1,
    /// Migration of the schema.
    Migration = 2,
    /// The archive job.
    Archive = 3,
    /// Retention of the audit.
    Retention = 4,
    /// Deletion of expired rows.
    Expiry = 5,
}

impl Lock {
    /// The two numbers of the lock.
    pub(super) fn numbers(self) -> (i32, i32) {
        (LOCK_CLASS, self as i32)
    }

    /// Shared, until the end of the transaction.
    pub(super) fn share(self) -> Step {
        step!("SELECT pg_advisory_xact_lock_shared($1, $2)", LOCK_CLASS, self as i32)
    }

    /// Exclusive, until the end of the transaction.
    pub(super) fn take(self) -> Step {
        step!("SELECT pg_advisory_xact_lock($1, $2)", LOCK_CLASS, self as i32)
    }

    /// Exclusive, or not at all if another process holds the lock.
    pub(super) async fn try_take(self, session: &mut Session) -> Result<bool, StoreError> {
        let row = session.row(step!("SELECT pg_try_advisory_xact_lock($1, $2)", LOCK_CLASS, self as i32)).await?;
        row.map_or(Ok(false), |row| row.flag(0, "pg_try_advisory_xact_lock"))
    }
}

/// Locks these digests for writing until the end of the transaction. In ascending order, which prevents deadlocks, and
/// before the revision, which every transaction takes last.
pub(super) fn lock(digests: impl IntoIterator<Item = KeyDigest>) -> Step {
    let mut numbers: Vec<i64> = digests.into_iter().map(number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    step!("SELECT pg_advisory_xact_lock(key) FROM unnest($1::bigint[]) AS key", numbers)
}

/// Two keys with the same number wait for each other, which is harmless.
fn number(digest: KeyDigest) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Returns the only id with this prefix, among bindings, bans, candidates and archived rows.
pub(super) async fn only_id(session: &mut Session, prefix: &KeyIdPrefix) -> Result<KeyId, ChangeError> {
    let sql = "SELECT DISTINCT key_id FROM known_keys WHERE key_id >= $1 AND key_id < $2 ORDER BY key_id LIMIT $3";
    let rows = session.rows(step!(sql, prefix.as_str().to_owned(), end_of(prefix), MAX_AMBIGUOUS)).await?;
    Ok(only(ids(&rows)?)?)
}

/// Returns the key whose rows have this id.
pub(super) async fn by_id(session: &mut Session, id: KeyId) -> Result<Option<KeyIdentity>, StoreError> {
    let sql = "SELECT key_id, digest, pepper, realm, hint FROM known_keys WHERE key_id = $1 ORDER BY source LIMIT 1";
    session.row(step!(sql, id.to_string())).await?.as_ref().map(columns::identity).transpose()
}

/// Returns the key, under whichever pepper its row is.
pub(super) async fn by_key(session: &mut Session, key: &Fingerprint) -> Result<Option<KeyIdentity>, StoreError> {
    let sql = "SELECT key_id, known.digest, pepper, realm, hint
        FROM unnest($1::bytea[]) WITH ORDINALITY AS asked (digest, place) JOIN known_keys AS known USING (digest)
        ORDER BY place, source LIMIT 1";
    let digests: Vec<_> = key.digests().iter().map(|digest| digest.as_bytes().to_vec()).collect();
    session.row(step!(sql, digests)).await?.as_ref().map(columns::identity).transpose()
}

/// Returns the id that the rows of a key have, or would get.
pub(super) async fn id_of(session: &mut Session, key: &Fingerprint) -> Result<KeyId, StoreError> {
    Ok(by_key(session, key).await?.map_or_else(|| key.digest.new_id(), |named| named.id))
}

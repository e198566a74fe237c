//! From what an operator or a request calls a key to the key, and the lock on it.

use super::{
    rows::{Step, ids, step},
    session::Session,
};
use crate::{
    domain::{Fingerprint, KeyDigest, KeyId, KeyIdPrefix},
    store::{
        ChangeError, StoreError,
        columns::{self, Columns},
        rules::{MAX_AMBIGUOUS, KeyIdentity, only},
        selection::end_of,
    },
};

/// The first half of our advisory locks of two numbers: `SNTL`. Those of one number are keys.
const OURS: i32 = 0x534E_544C;

/// What an advisory lock of [`OURS`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// Shared by whoever writes about keys or to the audit. Exclusive for whoever activates a pepper, so that no row of
    /// yesterday's can be committed after it.
    Writers = 1,
    /// The schema.
    Migration = 2,
    /// The archiving job.
    Archive = 3,
    /// Retention of the audit.
    Retention = 4,
    /// The end of what has expired.
    Expiry = 5,
}

impl Lock {
    /// As PostgreSQL names it.
    pub(super) fn numbers(self) -> (i32, i32) {
        (OURS, self as i32)
    }

    /// Beside others who share it.
    pub(super) fn share(self) -> Step {
        step!("SELECT pg_advisory_xact_lock_shared($1, $2)", OURS, self as i32)
    }

    /// Alone.
    pub(super) fn take(self) -> Step {
        step!("SELECT pg_advisory_xact_lock($1, $2)", OURS, self as i32)
    }

    /// Alone, or not at all: then somebody else is at it.
    pub(super) async fn try_take(self, session: &mut Session) -> Result<bool, StoreError> {
        let row = session.row(step!("SELECT pg_try_advisory_xact_lock($1, $2)", OURS, self as i32)).await?;
        row.map_or(Ok(false), |row| row.flag(0, "pg_try_advisory_xact_lock"))
    }
}

/// Locks what is written about keys under these digests to the end of the transaction. In one order for everyone, so
/// that nobody waits for somebody who waits for him; and before the revision, which everyone takes last.
pub(super) fn lock(digests: impl IntoIterator<Item = KeyDigest>) -> Step {
    let mut numbers: Vec<i64> = digests.into_iter().map(number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    step!("SELECT pg_advisory_xact_lock(key) FROM unnest($1::bigint[]) AS key", numbers)
}

/// Two keys that share it wait for each other, no more.
fn number(digest: KeyDigest) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The one id that begins so, among bindings, bans, candidates and archived rows.
pub(super) async fn only_id(session: &mut Session, prefix: &KeyIdPrefix) -> Result<KeyId, ChangeError> {
    let sql = "SELECT DISTINCT key_id FROM known_keys WHERE key_id >= $1 AND key_id < $2 ORDER BY key_id LIMIT $3";
    let rows = session.rows(step!(sql, prefix.as_str().to_owned(), end_of(prefix), MAX_AMBIGUOUS)).await?;
    Ok(only(ids(&rows)?)?)
}

/// The key whose rows have this id.
pub(super) async fn by_id(session: &mut Session, id: KeyId) -> Result<Option<KeyIdentity>, StoreError> {
    let sql = "SELECT key_id, digest, pepper, realm, hint FROM known_keys WHERE key_id = $1 ORDER BY source LIMIT 1";
    session.row(step!(sql, id.to_string())).await?.as_ref().map(columns::identity).transpose()
}

/// The key itself, whichever pepper its row is under.
pub(super) async fn by_key(session: &mut Session, key: &Fingerprint) -> Result<Option<KeyIdentity>, StoreError> {
    let sql = "SELECT key_id, known.digest, pepper, realm, hint
        FROM unnest($1::bytea[]) WITH ORDINALITY AS asked (digest, place) JOIN known_keys AS known USING (digest)
        ORDER BY place, source LIMIT 1";
    let digests: Vec<_> = key.digests().iter().map(|digest| digest.as_bytes().to_vec()).collect();
    session.row(step!(sql, digests)).await?.as_ref().map(columns::identity).transpose()
}

/// The id that a key's row has, or would get.
pub(super) async fn id_of(session: &mut Session, key: &Fingerprint) -> Result<KeyId, StoreError> {
    Ok(by_key(session, key).await?.map_or_else(|| key.digest.new_id(), |named| named.id))
}

//! Changes by operators.

use rusqlite::Connection;

use super::{
    audit, facts,
    keys::{self, resolve},
    pepper,
    revision::advance,
    rows::first,
    writes,
};
use crate::{
    domain::{
        Fingerprint, KeyId, Timestamp,
        event::{Delta, Part},
    },
    store::{
        Action, Applied, Change, ChangeError, RecordId, Refusal, StoreError, Target,
        columns::Columns,
        rules::{
            KeyIdentity,
            change::{self, Planned, Subject},
        },
    },
};

pub(super) fn apply(conn: &Connection, change: &Change, actor: &str, now: Timestamp) -> Result<Applied, ChangeError> {
    match change {
        Change::Key { target, action } => {
            let key = subject(conn, target, action, now)?;
            write_change(conn, &key, actor, now, |subject| Ok(change::plan(subject, action)?))
        }
        Change::Undo(record) => {
            let (id, Delta { key, part }) = audit::delta(conn, *record)?;
            let key = match keys::by_id(conn, id)? {
                Some(key) => key,
                None => key_without_row(conn, *record, id, key, &part)?,
            };
            write_change(conn, &key, actor, now, |subject| match change::undo(subject, *record, &part)? {
                Some(planned) => Ok(planned),
                None => Err(Refusal::ChangedSince(id, audit::later(conn, *record, id, &part)?).into()),
            })
        }
    }
}

/// Returns the identity of a key without rows from the record of its change. Refused if the key may have a row under
/// another digest: it may have been used under another pepper since, also one that was replaced again, and its record
/// does not have that digest.
fn key_without_row(
    conn: &Connection,
    record: RecordId,
    id: KeyId,
    key: Fingerprint,
    part: &Part,
) -> Result<KeyIdentity, ChangeError> {
    if facts::active_pepper(conn)? != key.pepper || pepper::rotated_since(conn, record)? {
        return Err(Refusal::OtherPepper(id, key.pepper).into());
    }
    match keys::by_digest(conn, &key.digest)? {
        Some(_) => Err(Refusal::ChangedSince(id, audit::later(conn, record, id, part)?).into()),
        None => Ok(KeyIdentity { id, fingerprint: key }),
    }
}

/// Resolves the key to change, which may be new to the store.
fn subject(conn: &Connection, target: &Target, action: &Action, now: Timestamp) -> Result<KeyIdentity, ChangeError> {
    if let Target::Key(key) = target {
        // Before the look-up: a ban under a pepper that is no longer active would not apply to claims.
        pepper::adopt(conn, key, now)?;
    }
    match (resolve(conn, target), target) {
        (Err(ChangeError::Refused(Refusal::NotFound)), Target::Key(key)) => Ok(change::new_key(action, key)?),
        (resolved, _) => resolved,
    }
}

fn write_change(
    conn: &Connection,
    key: &KeyIdentity,
    actor: &str,
    now: Timestamp,
    rule: impl FnOnce(&Subject<'_>) -> Result<Planned, ChangeError>,
) -> Result<Applied, ChangeError> {
    let digest = &key.fingerprint.digest;
    let before = facts::facts_of_digest(conn, digest)?;
    let subject = Subject { key, before: &before, note: note(conn, key.id)?, actor, now };
    let planned = rule(&subject)?;
    writes::apply(conn, key, &planned.writes)?;
    let record = planned.record(&subject);
    let number = audit::append(conn, &record)?;
    Ok(Applied {
        revision: advance(conn, digest, now)?,
        key_id: key.id,
        number,
        after: facts::facts_of_digest(conn, digest)?,
        before,
        refused: Vec::new(),
        record,
    })
}

fn note(conn: &Connection, id: KeyId) -> Result<Option<String>, StoreError> {
    let sql = "SELECT note FROM bindings WHERE key_id = ?1";
    Ok(first(conn, sql, [id.to_string()], |row| row.owned_or_null(0, "bindings.note"))?.flatten())
}

//! An operator's change: who may be changed, the audit record.

use rusqlite::Connection;

use super::{
    audit, facts,
    names::{self, resolve},
    owner, pepper,
    revision::advance,
    rows::first,
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
            change::{self, Done, Subject},
        },
    },
};

pub(super) fn apply(conn: &Connection, change: &Change, actor: &str, now: Timestamp) -> Result<Applied, ChangeError> {
    match change {
        Change::Key { target, action } => {
            let key = subject(conn, target, action, now)?;
            made(conn, &key, actor, now, |subject| Ok(change::perform(subject, action)?))
        }
        Change::Undo(record) => {
            let (id, Delta { key, part }) = audit::delta(conn, *record)?;
            let key = match names::by_id(conn, id)? {
                Some(key) => key,
                None => opened(conn, *record, id, key, &part)?,
            };
            made(conn, &key, actor, now, |subject| match change::undo(subject, *record, &part)? {
                Some(done) => Ok(done),
                None => Err(Refusal::ChangedSince(id, audit::later(conn, *record, id, &part)?).into()),
            })
        }
    }
}

/// A key that was opened has no row left; its record knows it, unless it may have come back by another name since: under
/// another pepper, which no digest of the record tells, not even once that pepper is replaced in its turn.
fn opened(conn: &Connection, record: RecordId, id: KeyId, key: Fingerprint, part: &Part) -> Result<KeyIdentity, ChangeError> {
    if facts::active_pepper(conn)? != key.pepper || pepper::rotated_since(conn, record)? {
        return Err(Refusal::OtherPepper(id, key.pepper).into());
    }
    match names::by_digest(conn, &key.digest)? {
        Some(_) => Err(Refusal::ChangedSince(id, audit::later(conn, record, id, part)?).into()),
        None => Ok(KeyIdentity { id, fingerprint: key }),
    }
}

/// The key to change. What an operator gives or forbids may be the first that the store hears of a key.
fn subject(conn: &Connection, target: &Target, action: &Action, now: Timestamp) -> Result<KeyIdentity, ChangeError> {
    if let Target::Key(key) = target {
        // Before anything is found: a ban under a pepper of yesterday would not be seen by today's claims.
        pepper::adopt(conn, key, now)?;
    }
    match (resolve(conn, target), target) {
        (Err(ChangeError::Refused(Refusal::NotFound)), Target::Key(key)) => Ok(change::unseen(action, key)?),
        (resolved, _) => resolved,
    }
}

fn made(
    conn: &Connection,
    key: &KeyIdentity,
    actor: &str,
    now: Timestamp,
    rule: impl FnOnce(&Subject<'_>) -> Result<Done, ChangeError>,
) -> Result<Applied, ChangeError> {
    let digest = &key.fingerprint.digest;
    let before = facts::facts_of_digest(conn, digest)?;
    let subject = Subject { key, before: &before, note: note(conn, key.id)?, actor, now };
    let done = rule(&subject)?;
    owner::write(conn, key, &done.writes)?;
    let record = done.record(&subject);
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

//! An operator's change: who may be changed, the audit record, the change log.

use std::time::Duration;

use rusqlite::Connection;

use super::{
    act::{self, Done},
    audit, facts,
    names::{self, Named, resolve},
    pepper, rekey,
};
use crate::{
    domain::{
        Fingerprint, KeyDigest, KeyId, Timestamp,
        event::{Delta, Part, Record},
    },
    store::{Action, Applied, Change, ChangeError, RecordId, Refusal, Revision, StoreError, Target},
};

/// A cache may trust a fact for 24 h if it knows every change since; an hour more for clocks that differ.
const LOG_KEPT: Duration = Duration::from_hours(25);

/// How far back refusals are reported.
pub(super) const REFUSED_SINCE: Duration = Duration::from_hours(24);

pub(super) fn apply(conn: &Connection, change: &Change, actor: &str, now: Timestamp) -> Result<Applied, ChangeError> {
    match change {
        Change::Key { target, action } => {
            let key = subject(conn, target, action, now)?;
            made(conn, &key, actor, now, |subject| act::perform(subject, action))
        }
        Change::Undo(record) => {
            let (id, Delta { key, part }) = audit::delta(conn, *record)?;
            let key = match names::by_id(conn, id)? {
                Some(key) => key,
                None => opened(conn, *record, id, key, &part)?,
            };
            made(conn, &key, actor, now, |subject| act::undo(subject, *record, &part))
        }
    }
}

/// A key that was opened has no row left; its record knows it, unless it may have come back by another name since: under
/// another pepper, which no digest of the record tells, not even once that pepper is replaced in its turn.
fn opened(conn: &Connection, record: RecordId, id: KeyId, key: Fingerprint, part: &Part) -> Result<Named, ChangeError> {
    if pepper::active(conn)? != key.pepper || audit::rotated_since(conn, record)? {
        return Err(Refusal::OtherPepper(id, key.pepper).into());
    }
    match names::by_digest(conn, &key.digest)? {
        Some(_) => Err(Refusal::ChangedSince(id, audit::later(conn, record, id, part)?).into()),
        None => Ok(Named { id, fingerprint: key }),
    }
}

/// The key to change. What an operator gives or forbids may be the first that the store hears of a key.
fn subject(conn: &Connection, target: &Target, action: &Action, now: Timestamp) -> Result<Named, ChangeError> {
    if let Target::Key(key) = target {
        // Before anything is found: a ban under a pepper of yesterday would not be seen by today's claims.
        pepper::must_be_active(conn, &key.pepper)?;
        rekey::adopt(conn, key, now)?;
    }
    let may_be_new = matches!(action, Action::Ban { .. } | Action::Set(_) | Action::Claim(_));
    match (resolve(conn, target), target) {
        (Err(ChangeError::Refused(Refusal::NotFound)), Target::Key(key)) if may_be_new => {
            let fingerprint = Fingerprint { others: Vec::new(), ..key.clone() };
            Ok(Named { id: key.digest.new_id(), fingerprint })
        }
        (resolved, _) => resolved,
    }
}

fn made(
    conn: &Connection,
    key: &Named,
    actor: &str,
    now: Timestamp,
    act: impl FnOnce(&act::Subject<'_>) -> Result<Done, ChangeError>,
) -> Result<Applied, ChangeError> {
    let digest = &key.fingerprint.digest;
    let before = facts::facts_of_digest(conn, digest)?;
    let Done { kind, detail, part } = act(&act::Subject { conn, key, before: &before, actor, now })?;
    let record = Record {
        key_id: Some(key.id),
        actor: Some(actor.to_owned()),
        detail: Some(detail),
        delta: Some(Box::new(Delta { key: key.fingerprint.clone(), part })),
        ..Record::new(kind, now)
    };
    let number = audit::append(conn, &record)?;
    Ok(Applied {
        revision: advance(conn, digest, now)?,
        key_id: key.id,
        number,
        before,
        after: facts::facts_of_digest(conn, digest)?,
        refused: audit::refused(conn, key.id, now.before(REFUSED_SINCE))?,
        record,
    })
}

/// Takes the next revision, logs the change, and forgets what every cache has long seen.
pub(super) fn advance(conn: &Connection, key: &KeyDigest, now: Timestamp) -> Result<Revision, StoreError> {
    let revision = conn
        .prepare_cached("UPDATE revision SET value = value + 1 RETURNING value")?
        .query_row([], |row| row.get(0))?;
    conn.prepare_cached("INSERT INTO changes (revision, digest, at) VALUES (?1, ?2, ?3)")?.execute((
        revision,
        key.as_bytes(),
        now.as_millis(),
    ))?;
    // Only what is older than everything kept goes, so that the log has no holes even when a clock was set back.
    conn.prepare_cached(
        "UPDATE revision SET floor =
             max(floor, (SELECT min(revision) - 1 FROM changes WHERE at >= ?1 AND revision > revision.floor))",
    )?
    .execute([now.before(LOG_KEPT).as_millis()])?;
    // A few for each that comes: an archive of thousands must not be deleted in one go while a claim waits.
    conn.prepare_cached(
        "DELETE FROM changes WHERE revision IN
             (SELECT revision FROM changes WHERE revision <= (SELECT floor FROM revision) ORDER BY revision LIMIT 100)",
    )?
    .execute([])?;
    Ok(Revision(revision))
}

//! Changes by operators.

use super::{
    audit, facts,
    keys::{self, Lock, lock},
    pepper,
    revision::{advance, revision},
    session::Session,
    writes,
};
use crate::{
    domain::{
        Fingerprint, KeyFacts, KeyId, Timestamp,
        event::{Delta, Part},
    },
    store::{
        Action, Applied, Change, ChangeError, RecordId, Refusal, StoreError, Target,
        rules::{
            KeyIdentity,
            change::{self, Planned, Subject},
        },
    },
};

pub(super) async fn apply(
    session: &mut Session,
    change: &Change,
    actor: &str,
    now: Timestamp,
) -> Result<Applied, ChangeError> {
    let (target, action) = match change {
        Change::Key { target, action } => (target, action),
        Change::Undo(record) => return undo(session, *record, actor, now).await,
    };
    let locked = match target {
        Target::Id(prefix) => {
            let id = keys::only_id(session, prefix).await?;
            let key = lock_id(session, id).await?.ok_or(Refusal::NotFound)?;
            Locked::read(session, key).await?
        }
        Target::Key(key) => lock_key(session, key, action, now).await?,
    };
    let planned = change::plan(&locked.subject(actor, now), action)?;
    write_change(session, locked, planned, actor, now).await
}

async fn undo(session: &mut Session, record: RecordId, actor: &str, now: Timestamp) -> Result<Applied, ChangeError> {
    let (id, Delta { key, part }) = audit::delta(session, record).await?;
    let key = match lock_id(session, id).await? {
        Some(key) => key,
        None => key_without_row(session, record, id, key, &part).await?,
    };
    let locked = Locked::read(session, key).await?;
    match change::undo(&locked.subject(actor, now), record, &part)? {
        Some(planned) => write_change(session, locked, planned, actor, now).await,
        None => Err(Refusal::ChangedSince(id, audit::later(session, record, id, &part).await?).into()),
    }
}

/// Begins the transaction and locks the key with this id; returns `None`, without a transaction, if there is no such
/// key. The key may be re-keyed while this waits for the lock; then the new digest is locked instead.
async fn lock_id(session: &mut Session, id: KeyId) -> Result<Option<KeyIdentity>, StoreError> {
    loop {
        let Some(seen) = keys::by_id(session, id).await? else { return Ok(None) };
        session.begin(vec![Lock::Writers.share(), lock([seen.fingerprint.digest])]).await?;
        match keys::by_id(session, id).await? {
            Some(key) if key.fingerprint.digest == seen.fingerprint.digest => return Ok(Some(key)),
            _ => drop(session.roll_back().await),
        }
    }
}

/// Returns the identity of a key without rows from the record of its change. Refused if the key may have a row under
/// another digest: it may have been used under another pepper since, also one that was replaced again, and its record
/// does not have that digest.
async fn key_without_row(
    session: &mut Session,
    record: RecordId,
    id: KeyId,
    key: Fingerprint,
    part: &Part,
) -> Result<KeyIdentity, ChangeError> {
    session.begin(vec![Lock::Writers.share(), lock([key.digest])]).await?;
    if pepper::active(session).await? != key.pepper || pepper::rotated_since(session, record).await? {
        return Err(Refusal::OtherPepper(id, key.pepper).into());
    }
    match keys::by_key(session, &key).await? {
        Some(_) => Err(Refusal::ChangedSince(id, audit::later(session, record, id, part).await?).into()),
        None => Ok(KeyIdentity { id, fingerprint: key }),
    }
}

/// A locked key, and its state.
struct Locked {
    key: KeyIdentity,
    before: KeyFacts,
    note: Option<String>,
}

impl Locked {
    async fn read(session: &mut Session, key: KeyIdentity) -> Result<Self, StoreError> {
        let found = facts::read(session, [key.fingerprint.digest]).await?.into_iter().next();
        let (before, note) = found.map(|found| (found.facts, found.note)).unwrap_or_default();
        Ok(Self { key, before, note })
    }

    fn subject<'a>(&'a self, actor: &'a str, now: Timestamp) -> Subject<'a> {
        Subject { key: &self.key, before: &self.before, note: self.note.clone(), actor, now }
    }
}

async fn lock_key(
    session: &mut Session,
    key: &Fingerprint,
    action: &Action,
    now: Timestamp,
) -> Result<Locked, ChangeError> {
    // Before the look-up: a ban under a pepper that is no longer active would not apply to claims.
    pepper::adopt(session, key, now).await?;
    let named = match keys::by_key(session, key).await? {
        Some(named) => named,
        None => change::new_key(action, key)?,
    };
    Ok(Locked::read(session, named).await?)
}

/// Writes and commits the change, in one round trip.
async fn write_change(
    session: &mut Session,
    locked: Locked,
    planned: Planned,
    actor: &str,
    now: Timestamp,
) -> Result<Applied, ChangeError> {
    let digest = locked.key.fingerprint.digest;
    let record = planned.record(&locked.subject(actor, now));
    let mut steps = writes::steps(&locked.key, &planned.writes);
    let written = steps.len();
    steps.push(audit::append(&record)?);
    steps.extend(advance([digest], now));
    let last = steps.len();
    steps.push(facts::step_of([digest]));
    let answers = session.commit(steps).await?;
    let after = facts::found(&answers[last])?.into_iter().next().map(|found| found.facts);
    Ok(Applied {
        revision: revision(answers.get(written + 1))?,
        key_id: locked.key.id,
        number: audit::number(answers.get(written))?,
        before: locked.before,
        after: after.unwrap_or_default(),
        refused: Vec::new(),
        record,
    })
}

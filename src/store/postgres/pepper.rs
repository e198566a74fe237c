//! Peppers: what is under each, rotation, and re-keying.

use std::collections::HashSet;

use super::{
    audit,
    facts::{self, Found},
    keys::{self, Lock},
    revision::{advance, next, revision},
    rows::{Step, ids, step, time},
    session::Session,
};
use crate::{
    domain::{Fingerprint, KeyDigest, KeyId, PepperId, Timestamp, event::Record},
    store::{
        ChangeError, FORGOTTEN_AT_ONCE, KnownPepper, PepperRow, PepperUsage, RecordId, Rekey, Rotated, Rotation,
        StoreError,
        columns::{self, Columns, no_active_pepper},
        rules::rotation::{self, StoredPepper},
    },
};

/// Returns the active pepper.
pub(super) async fn active(session: &mut Session) -> Result<PepperId, StoreError> {
    let row = session.row(step!("SELECT id FROM peppers WHERE active")).await?;
    row.ok_or_else(no_active_pepper)?.pepper_id(0, "peppers.id")
}

pub(super) async fn peppers(session: &mut Session) -> Result<Vec<PepperRow>, StoreError> {
    let mut peppers = Vec::new();
    for row in session.rows(step!("SELECT id, active, retired_at FROM peppers ORDER BY active DESC, id")).await? {
        let id = row.pepper_id(0, "peppers.id")?;
        let (active, retired_at) = (row.flag(1, "peppers.active")?, row.moment_or_null(2, "peppers.retired_at")?);
        peppers.push(PepperRow { active, retired_at, usage: usage(session, &id).await?, id });
    }
    Ok(peppers)
}

async fn usage(session: &mut Session, id: &PepperId) -> Result<PepperUsage, StoreError> {
    let sql = "SELECT (SELECT count(*) FROM bindings WHERE pepper = $1), (SELECT count(*) FROM bans WHERE pepper = $1),
        (SELECT count(DISTINCT key_id) FROM candidates WHERE pepper = $1),
        (SELECT count(*) FROM archive WHERE pepper = $1)";
    let row = session.row(step!(sql, id.to_string())).await?;
    Ok(row.as_ref().map(columns::usage).transpose()?.unwrap_or_default())
}

pub(super) async fn rotate(
    session: &mut Session,
    step: &Rotation,
    actor: &str,
    now: Timestamp,
) -> Result<Rotated, ChangeError> {
    // Every transaction that writes keys shares this lock, so no other does until the commit.
    session.begin(vec![Lock::Writers.take()]).await?;
    match step {
        Rotation::Activate { id, check_value } => activate(session, id, check_value, actor, now).await,
        Rotation::Retire { id, forget } => retire(session, id, *forget, actor, now).await,
    }
}

async fn activate(
    session: &mut Session,
    id: &PepperId,
    check_value: &[u8; 32],
    actor: &str,
    now: Timestamp,
) -> Result<Rotated, ChangeError> {
    let before = active(session).await?;
    rotation::may_activate(id, check_value, stored(session, id).await?.as_ref(), &before)?;
    let record = rotation::activated(&before, id, actor, now);
    let usage = usage(session, id).await?;
    let mut steps = vec![
        audit::append(&record)?,
        step!("UPDATE peppers SET active = false WHERE active"),
        step!(
            "INSERT INTO peppers (id, check_value, active, activated_by) VALUES ($1, $2, true, currval('audit_id'))
             ON CONFLICT (id) DO UPDATE SET active = true, activated_by = excluded.activated_by, retired_at = NULL",
            id.to_string(),
            check_value.to_vec()
        ),
    ];
    let taken = steps.len();
    steps.extend(next());
    let answers = session.commit(steps).await?;
    Ok(Rotated { revision: revision(answers.get(taken))?, records: vec![record], done: true, usage })
}

async fn retire(
    session: &mut Session,
    id: &PepperId,
    forget: bool,
    actor: &str,
    now: Timestamp,
) -> Result<Rotated, ChangeError> {
    let before = usage(session, id).await?;
    rotation::may_retire(id, stored(session, id).await?.as_ref(), before, forget)?;
    let mut records = Vec::new();
    for key in keys_under(session, id).await? {
        records.push(self::forget(session, id, key, actor, now).await?);
    }
    let usage = usage(session, id).await?;
    if usage.is_needed() {
        let mut answers = session.commit(vec![step!("SELECT value FROM revision")]).await?;
        return Ok(Rotated { revision: revision(answers.pop().as_ref())?, records, done: false, usage });
    }
    let retired = rotation::retired(id, usage, actor, now);
    let mut steps = vec![
        step!("DELETE FROM archive WHERE pepper = $1", id.to_string()),
        step!("UPDATE peppers SET retired_at = $2 WHERE id = $1", id.to_string(), time(now)),
        audit::append(&retired)?,
    ];
    let taken = steps.len();
    steps.extend(next());
    let answers = session.commit(steps).await?;
    records.push(retired);
    Ok(Rotated { revision: revision(answers.get(taken))?, records, done: true, usage: PepperUsage::default() })
}

/// Returns the active pepper with its check value.
pub(super) async fn recorded(session: &mut Session) -> Result<KnownPepper, StoreError> {
    let id = active(session).await?;
    let known = stored(session, &id).await?;
    known.map(|known| KnownPepper { id, check_value: known.check_value }).ok_or_else(no_active_pepper)
}

pub(super) async fn stored(session: &mut Session, id: &PepperId) -> Result<Option<StoredPepper>, StoreError> {
    let sql = "SELECT check_value, active, retired_at IS NOT NULL FROM peppers WHERE id = $1";
    session.row(step!(sql, id.to_string())).await?.as_ref().map(columns::known_pepper).transpose()
}

/// Whether a pepper was activated after `record` was written.
pub(super) async fn rotated_since(session: &mut Session, RecordId(id): RecordId) -> Result<bool, StoreError> {
    Ok(session.row(step!("SELECT 1 FROM peppers WHERE activated_by > $1", id)).await?.is_some())
}

async fn keys_under(session: &mut Session, id: &PepperId) -> Result<Vec<KeyId>, StoreError> {
    let sql = "SELECT key_id FROM bindings WHERE pepper = $1 UNION SELECT key_id FROM bans WHERE pepper = $1
        UNION SELECT key_id FROM candidates WHERE pepper = $1 ORDER BY key_id LIMIT $2";
    ids(&session.rows(step!(sql, id.to_string(), i64::from(FORGOTTEN_AT_ONCE))).await?)
}

async fn forget(
    session: &mut Session,
    pepper: &PepperId,
    key: KeyId,
    actor: &str,
    now: Timestamp,
) -> Result<Record, StoreError> {
    let digest = keys::by_id(session, key).await?.map(|named| named.fingerprint.digest);
    let known = facts::read(session, digest).await?.into_iter().next();
    let facts = known.map(|found| found.facts).unwrap_or_default();
    let record = rotation::forgotten(pepper, key, &facts, actor, now);
    let mut steps = vec![
        step!("DELETE FROM bindings WHERE key_id = $1", key.to_string()),
        step!("DELETE FROM bans WHERE key_id = $1", key.to_string()),
        step!("DELETE FROM candidates WHERE key_id = $1", key.to_string()),
        step!("DELETE FROM archive WHERE key_id = $1", key.to_string()),
        audit::append(&record)?,
    ];
    steps.extend(digest.into_iter().flat_map(|digest| advance([digest], now)));
    session.send(steps).await?;
    Ok(record)
}

pub(super) async fn rekey(session: &mut Session, moves: &[Rekey], now: Timestamp) -> Result<u64, StoreError> {
    let digests = moves.iter().flat_map(|Rekey { from, to }| [*from, to.digest]);
    let found = facts::read_locked(session, digests.collect()).await?;
    let (mut sound, mut taken) = (Vec::new(), HashSet::new());
    for (Rekey { from, to }, pair) in moves.iter().zip(found.chunks_exact(2)) {
        let [old, new] = pair else { continue };
        let Some(id) = old.id.filter(|_| new.id.is_none() && to.pepper == new.active) else { continue };
        if taken.insert(to.digest) && from != &to.digest {
            sound.push(Move { id, from: *from, to: to.digest });
        }
    }
    let active = found.into_iter().next().map(|found| found.active);
    if let Some(active) = active.filter(|_| !sound.is_empty()) {
        session.send(moving(&sound, &active, now)).await?;
    }
    Ok(sound.len() as u64)
}

/// Begins a transaction that locks `key`, and fails with `Behind` if `key` is not under the active pepper. Re-keys the
/// row of `key` if it is under another of its digests, before anything is written for the key: so all rows of a key are
/// under one digest at any time. Returns the state under each of its digests.
pub(super) async fn adopt(session: &mut Session, key: &Fingerprint, now: Timestamp) -> Result<Vec<Found>, StoreError> {
    let digests = key.digests();
    let found = facts::read_locked(session, digests.iter().collect()).await?;
    if let Some(behind) = found.first().filter(|found| found.active != key.pepper) {
        return Err(StoreError::Behind(behind.active.clone()));
    }
    let elsewhere = match &found[..] {
        [first, others @ ..] if first.id.is_none() => others.iter().find_map(|found| Some((found.id?, found.digest))),
        _ => None,
    };
    let Some((id, from)) = elsewhere else { return Ok(found) };
    session.send(moving(&[Move { id, from, to: key.digest }], &key.pepper, now)).await?;
    facts::read(session, digests.iter()).await
}

struct Move {
    id: KeyId,
    from: KeyDigest,
    to: KeyDigest,
}

/// Returns the steps that re-key these rows to the active pepper.
fn moving(moves: &[Move], pepper: &PepperId, now: Timestamp) -> Vec<Step> {
    let ids: Vec<_> = moves.iter().map(|it| it.id.to_string()).collect();
    let digests: Vec<_> = moves.iter().map(|it| it.to.as_bytes().to_vec()).collect();
    let of = |sql| step!(sql, ids.clone(), digests.clone(), pepper.to_string());
    let mut steps = vec![
        // In the order of a batch of uses, which takes no lock on keys.
        step!("SELECT FROM bindings WHERE key_id = ANY ($1) ORDER BY key_id FOR UPDATE", ids.clone()),
        of("UPDATE bindings SET digest = moved.digest, pepper = $3
            FROM unnest($1::text[], $2::bytea[]) AS moved (key_id, digest) WHERE bindings.key_id = moved.key_id"),
        of("UPDATE bans SET digest = moved.digest, pepper = $3
            FROM unnest($1::text[], $2::bytea[]) AS moved (key_id, digest) WHERE bans.key_id = moved.key_id"),
        of("UPDATE candidates SET digest = moved.digest, pepper = $3
            FROM unnest($1::text[], $2::bytea[]) AS moved (key_id, digest) WHERE candidates.key_id = moved.key_id"),
        of("UPDATE archive SET digest = moved.digest, pepper = $3
            FROM unnest($1::text[], $2::bytea[]) AS moved (key_id, digest) WHERE archive.key_id = moved.key_id"),
    ];
    // Caches know the key by its old digest.
    steps.extend(advance(moves.iter().map(|it| it.from), now));
    steps
}

//! Which pepper is active, what is under the others, and the steps from one to the next.

use super::{
    audit, facts,
    keys::{self, Lock},
    revision::{advance, next, revision},
    rows::{column, count, moment_or_null, step, time},
    session::Session,
};
use crate::{
    domain::{KeyId, PepperId, Timestamp, event::Record},
    store::{
        ChangeError, FORGOTTEN_AT_ONCE, PepperRow, PepperUsage, RecordId, Rotated, Rotation, StoreError,
        rules::rotation::{self, Known},
    },
};

/// The pepper that new rows are written with.
pub(super) async fn active(session: &mut Session) -> Result<PepperId, StoreError> {
    match session.row(step!("SELECT id FROM peppers WHERE active")).await? {
        Some(row) => Ok(PepperId::from_stored(column(&row, 0, "peppers.id")?)),
        None => Err(StoreError::Corrupt("peppers: none is active".to_owned())),
    }
}

pub(super) async fn peppers(session: &mut Session) -> Result<Vec<PepperRow>, StoreError> {
    let mut peppers = Vec::new();
    for row in session.rows(step!("SELECT id, active, retired_at FROM peppers ORDER BY active DESC, id")).await? {
        let id = PepperId::from_stored(column(&row, 0, "peppers.id")?);
        let retired_at = moment_or_null(&row, 2, "peppers.retired_at")?;
        let left = left(session, &id).await?;
        peppers.push(PepperRow { active: column(&row, 1, "peppers.active")?, retired_at, left, id });
    }
    Ok(peppers)
}

async fn left(session: &mut Session, id: &PepperId) -> Result<PepperUsage, StoreError> {
    let sql = "SELECT (SELECT count(*) FROM bindings WHERE pepper = $1), (SELECT count(*) FROM bans WHERE pepper = $1),
        (SELECT count(DISTINCT key_id) FROM candidates WHERE pepper = $1),
        (SELECT count(*) FROM archive WHERE pepper = $1)";
    let Some(row) = session.row(step!(sql, id.to_string())).await? else { return Ok(PepperUsage::default()) };
    Ok(PepperUsage {
        bindings: count(&row, 0, "bindings.pepper")?,
        bans: count(&row, 1, "bans.pepper")?,
        observed: count(&row, 2, "candidates.pepper")?,
        archived: count(&row, 3, "archive.pepper")?,
    })
}

pub(super) async fn rotate(
    session: &mut Session,
    step: &Rotation,
    actor: &str,
    now: Timestamp,
) -> Result<Rotated, ChangeError> {
    // Everyone who writes about a key shares it, so from here to the commit nobody does.
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
    rotation::may_activate(id, check_value, known(session, id).await?.as_ref(), &before)?;
    let record = rotation::activated(&before, id, actor, now);
    let left = left(session, id).await?;
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
    Ok(Rotated { revision: revision(answers.get(taken))?, records: vec![record], done: true, left })
}

async fn retire(
    session: &mut Session,
    id: &PepperId,
    forget: bool,
    actor: &str,
    now: Timestamp,
) -> Result<Rotated, ChangeError> {
    let before = left(session, id).await?;
    rotation::may_retire(id, known(session, id).await?.as_ref(), before, forget)?;
    let mut records = Vec::new();
    for key in some_under(session, id).await? {
        records.push(self::forget(session, id, key, actor, now).await?);
    }
    let left = left(session, id).await?;
    if left.lives() {
        let mut answers = session.commit(vec![step!("SELECT value FROM revision")]).await?;
        return Ok(Rotated { revision: revision(answers.pop().as_ref())?, records, done: false, left });
    }
    let retired = rotation::retired(id, left, actor, now);
    let mut steps = vec![
        step!("DELETE FROM archive WHERE pepper = $1", id.to_string()),
        step!("UPDATE peppers SET retired_at = $2 WHERE id = $1", id.to_string(), time(now)),
        audit::append(&retired)?,
    ];
    let taken = steps.len();
    steps.extend(next());
    let answers = session.commit(steps).await?;
    records.push(retired);
    Ok(Rotated { revision: revision(answers.get(taken))?, records, done: true, left: PepperUsage::default() })
}

/// The active pepper and its check value.
pub(super) async fn recorded(session: &mut Session) -> Result<(PepperId, [u8; 32]), StoreError> {
    let active = active(session).await?;
    let known = known(session, &active).await?;
    known.map(|known| (active, known.check_value)).ok_or_else(|| StoreError::Corrupt("peppers".to_owned()))
}

pub(super) async fn known(session: &mut Session, id: &PepperId) -> Result<Option<Known>, StoreError> {
    let sql = "SELECT check_value, active, retired_at IS NOT NULL FROM peppers WHERE id = $1";
    let Some(row) = session.row(step!(sql, id.to_string())).await? else { return Ok(None) };
    let check_value: &[u8] = column(&row, 0, "peppers.check_value")?;
    Ok(Some(Known {
        check_value: check_value.try_into().map_err(|_| StoreError::Corrupt("peppers.check_value".to_owned()))?,
        active: column(&row, 1, "peppers.active")?,
        retired: column(&row, 2, "peppers.retired_at")?,
    }))
}

/// Whether a pepper was activated after `record` was written.
pub(super) async fn rotated_since(session: &mut Session, RecordId(id): RecordId) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM peppers WHERE activated_by > $1)";
    let row = session.row(step!(sql, id)).await?;
    row.map_or(Ok(false), |row| column(&row, 0, "peppers.activated_by"))
}

async fn some_under(session: &mut Session, id: &PepperId) -> Result<Vec<KeyId>, StoreError> {
    let sql = "SELECT key_id FROM bindings WHERE pepper = $1 UNION SELECT key_id FROM bans WHERE pepper = $1
        UNION SELECT key_id FROM candidates WHERE pepper = $1 ORDER BY key_id LIMIT $2";
    facts::ids(&session.rows(step!(sql, id.to_string(), i64::from(FORGOTTEN_AT_ONCE))).await?)
}

async fn forget(
    session: &mut Session,
    pepper: &PepperId,
    key: KeyId,
    actor: &str,
    now: Timestamp,
) -> Result<Record, StoreError> {
    let digest = keys::by_id(session, key).await?.map(|named| named.fingerprint.digest);
    let known = match digest {
        Some(digest) => facts::found(&session.rows(facts::step_of([digest])).await?)?.into_iter().next(),
        None => None,
    };
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

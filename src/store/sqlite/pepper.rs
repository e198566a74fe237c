//! Which pepper is active, what is under the others, and the steps from one to the next.

use rusqlite::{Connection, OptionalExtension};

use super::{
    audit,
    change::advance,
    facts, names,
    rows::{column, count, in_words, moment_or_null, parsed},
};
use crate::{
    domain::{
        KeyFacts, KeyId, PepperId, Timestamp,
        event::{EventKind, Record},
    },
    store::{ChangeError, FORGOTTEN_AT_ONCE, Left, PepperRow, Refusal, Revision, Rotated, Rotation, StoreError},
};

/// The pepper that new rows are written with.
pub(super) fn active(conn: &Connection) -> Result<PepperId, StoreError> {
    let mut statement = conn.prepare_cached("SELECT id FROM peppers WHERE active = 1")?;
    let found: Option<String> = statement.query_row([], |row| row.get(0)).optional()?;
    found.map(PepperId::from_stored).ok_or_else(|| StoreError::Corrupt("peppers: none is active".to_owned()))
}

/// Refuses what is made with another pepper than the active one. SQLite has one writer at a time, so what holds here
/// holds until the commit.
pub(super) fn must_be_active(conn: &Connection, pepper: &PepperId) -> Result<(), StoreError> {
    let active = active(conn)?;
    if active == *pepper { Ok(()) } else { Err(StoreError::Behind(active)) }
}

pub(super) fn peppers(conn: &Connection) -> Result<Vec<PepperRow>, StoreError> {
    conn.prepare_cached("SELECT id, active, retired_at FROM peppers ORDER BY active DESC, id")?
        .query_and_then([], |row| {
            let id = PepperId::from_stored(column(row, 0, "peppers.id")?);
            let left = left(conn, &id)?;
            let retired_at = moment_or_null(row, 2, "peppers.retired_at")?;
            Ok(PepperRow { active: column(row, 1, "peppers.active")?, retired_at, left, id })
        })?
        .collect()
}

fn left(conn: &Connection, id: &PepperId) -> Result<Left, StoreError> {
    let sql = "SELECT (SELECT count(*) FROM bindings WHERE pepper = ?1), (SELECT count(*) FROM bans WHERE pepper = ?1),
        (SELECT count(DISTINCT key_id) FROM candidates WHERE pepper = ?1),
        (SELECT count(*) FROM archive WHERE pepper = ?1)";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([id.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(Left::default()) };
    Ok(Left {
        bindings: count(row, 0, "bindings.pepper")?,
        bans: count(row, 1, "bans.pepper")?,
        observed: count(row, 2, "candidates.pepper")?,
        archived: count(row, 3, "archive.pepper")?,
    })
}

pub(super) fn rotate(conn: &Connection, step: &Rotation, actor: &str, now: Timestamp) -> Result<Rotated, ChangeError> {
    match step {
        Rotation::Activate { id, check_value } => activate(conn, id, check_value, actor, now),
        Rotation::Retire { id, forget } => retire(conn, id, *forget, actor, now),
    }
}

fn activate(
    conn: &Connection,
    id: &PepperId,
    check_value: &[u8; 32],
    actor: &str,
    now: Timestamp,
) -> Result<Rotated, ChangeError> {
    let before = active(conn)?;
    let known = conn
        .prepare_cached("SELECT check_value FROM peppers WHERE id = ?1")?
        .query_row([id.as_str()], |row| row.get::<_, [u8; 32]>(0))
        .optional()?;
    if known.is_some_and(|known| known != *check_value) {
        return Err(Refusal::AnotherSecret(id.clone()).into());
    }
    if before == *id {
        return Err(Refusal::AlreadyActive(before).into());
    }
    conn.prepare_cached("UPDATE peppers SET active = 0 WHERE active = 1")?.execute([])?;
    conn.prepare_cached(
        "INSERT INTO peppers (id, check_value, active) VALUES (?1, ?2, 1)
         ON CONFLICT (id) DO UPDATE SET active = 1, retired_at = NULL",
    )?
    .execute((id.as_str(), check_value))?;
    let record = record(EventKind::PepperActivated, None, format!("pepper {before} -> {id}"), actor, now);
    audit::append(conn, &record)?;
    Ok(Rotated { revision: next(conn)?, records: vec![record], done: true, left: left(conn, id)? })
}

fn retire(conn: &Connection, id: &PepperId, forget: bool, actor: &str, now: Timestamp) -> Result<Rotated, ChangeError> {
    let known = conn
        .prepare_cached("SELECT active, retired_at IS NOT NULL FROM peppers WHERE id = ?1")?
        .query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match known {
        None => return Err(Refusal::UnknownPepper(id.clone()).into()),
        Some((true, _)) => return Err(Refusal::ActivePepper(id.clone()).into()),
        Some((false, true)) => return Err(Refusal::AlreadyRetired(id.clone()).into()),
        Some((false, false)) => {}
    }
    let before = left(conn, id)?;
    if before.lives() && !forget {
        return Err(Refusal::StillInUse(id.clone(), before).into());
    }
    let mut records = Vec::new();
    for key in some_under(conn, id)? {
        records.push(self::forget(conn, id, key, actor, now)?);
    }
    let left = left(conn, id)?;
    if left.lives() {
        return Ok(Rotated { revision: facts::revision(conn)?.0, records, done: false, left });
    }
    conn.prepare_cached("DELETE FROM archive WHERE pepper = ?1")?.execute([id.as_str()])?;
    conn.prepare_cached("UPDATE peppers SET retired_at = ?2 WHERE id = ?1")?.execute((id.as_str(), now.as_millis()))?;
    let detail = format!("pepper {id}; {} archived rows went with it", left.archived);
    let retired = record(EventKind::PepperRetired, None, detail, actor, now);
    audit::append(conn, &retired)?;
    records.push(retired);
    Ok(Rotated { revision: next(conn)?, records, done: true, left: self::left(conn, id)? })
}

fn some_under(conn: &Connection, id: &PepperId) -> Result<Vec<KeyId>, StoreError> {
    let sql = "SELECT key_id FROM bindings WHERE pepper = ?1 UNION SELECT key_id FROM bans WHERE pepper = ?1
        UNION SELECT key_id FROM candidates WHERE pepper = ?1 LIMIT ?2";
    conn.prepare_cached(sql)?
        .query_and_then((id.as_str(), FORGOTTEN_AT_ONCE), |row| parsed(row, 0, "known_keys.key_id"))?
        .collect()
}

fn forget(conn: &Connection, pepper: &PepperId, key: KeyId, actor: &str, now: Timestamp) -> Result<Record, StoreError> {
    let detail = format!("pepper {pepper} retired; {}", told(&facts::facts_of_id(conn, key)?));
    let digest = names::by_id(conn, key)?.map(|named| named.fingerprint.digest);
    for table in ["bindings", "bans", "candidates", "archive"] {
        conn.prepare_cached(&format!("DELETE FROM {table} WHERE key_id = ?1"))?.execute([key.to_string()])?;
    }
    if let Some(digest) = digest {
        advance(conn, &digest, now)?;
    }
    let record = record(EventKind::Forgotten, Some(key), detail, actor, now);
    audit::append(conn, &record)?;
    Ok(record)
}

fn told(KeyFacts { binding, ban, candidates }: &KeyFacts) -> String {
    let networks = binding.as_ref().map(|binding| format!("networks {}", in_words(&binding.networks)));
    let ban = ban.as_ref().map(|ban| match ban.until {
        Some(until) => format!("banned until {until}"),
        None => "banned for ever".to_owned(),
    });
    let seen: Vec<_> = candidates.iter().map(|candidate| candidate.network).collect();
    let seen = (!seen.is_empty()).then(|| format!("observed {}", in_words(&seen)));
    [networks, ban, seen].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A revision without a changed key: no cached fact is wrong, but every replica has to look.
fn next(conn: &Connection) -> Result<Revision, StoreError> {
    let sql = "UPDATE revision SET value = value + 1 RETURNING value";
    Ok(Revision(conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?))
}

fn record(kind: EventKind, key_id: Option<KeyId>, detail: String, actor: &str, now: Timestamp) -> Record {
    Record { key_id, actor: Some(actor.to_owned()), detail: Some(detail), ..Record::new(kind, now) }
}

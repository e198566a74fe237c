//! What is known of one key, and what changed since.

use tokio_postgres::Row;

use super::{
    rows::{Step, column, digest, moment, moment_or_null, networks, parsed, parsed_or_null, step, word},
    session::Session,
};
use crate::{
    domain::{Ban, Binding, Candidate, Hint, KeyDigest, KeyDigests, KeyFacts, KeyId, PepperId, State, Timestamp},
    store::{Archived, Changes, Reading, Revision, StoreError, StoreLife, rules::POLLED},
};

/// One row for each digest in `$1`, in their order, all of one snapshot: so a reading includes every change up to its
/// revision, without a transaction around it. The revision is no table of the join: before it was ever analysed, its one
/// row counts as 1,810.
const FACTS: &str = "
    SELECT (SELECT value FROM revision), (SELECT id FROM peppers WHERE active), asked.digest,
        binding.key_id, binding.hint, binding.state, binding.created_at, binding.open_until, binding.expires_at,
        (SELECT array_agg(owner.network::text ORDER BY owner.network::text COLLATE \"C\")
         FROM binding_networks AS owner WHERE owner.key_id = binding.key_id),
        binding.note,
        ban.key_id, ban.hint, ban.until, ban.reason, ban.actor, ban.created_at,
        seen.networks, seen.times, seen.key_id,
        gone.key_id, gone.networks, gone.archived_at
    FROM unnest($1::bytea[]) WITH ORDINALITY AS asked (digest, place)
        LEFT JOIN bindings AS binding ON binding.digest = asked.digest
        LEFT JOIN bans AS ban ON ban.digest = asked.digest
        LEFT JOIN LATERAL
            (SELECT array_agg(network::text ORDER BY id) AS networks, array_agg(first_at ORDER BY id) AS times,
                 min(key_id) AS key_id
             FROM candidates WHERE digest = asked.digest) AS seen ON true
        LEFT JOIN LATERAL
            (SELECT key_id, networks::text[] AS networks, archived_at FROM archive WHERE digest = asked.digest
             ORDER BY id DESC LIMIT 1) AS gone ON true
    ORDER BY asked.place";

/// A key under one of the digests that were asked for.
pub(super) struct Found {
    pub(super) as_of: Revision,
    pub(super) active: PepperId,
    pub(super) digest: KeyDigest,
    pub(super) facts: KeyFacts,
    /// The id of its rows, if it has any, archived ones included.
    pub(super) id: Option<KeyId>,
    pub(super) note: Option<String>,
    pub(super) archived: Option<Archived>,
}

pub(super) fn step_of(digests: impl IntoIterator<Item = KeyDigest>) -> Step {
    step!(FACTS, digests.into_iter().map(|digest| digest.as_bytes().to_vec()).collect::<Vec<_>>())
}

/// The answer to [`step_of`], one for each digest.
pub(super) fn found(rows: &[Row]) -> Result<Vec<Found>, StoreError> {
    rows.iter().map(one).collect()
}

pub(super) async fn reading(session: &mut Session, key: &KeyDigests) -> Result<Reading, StoreError> {
    let rows = session.rows(step_of(key.iter())).await?;
    Ok(first(found(&rows)?, key.first()))
}

/// What is known under the first digest that anything is known under.
pub(super) fn first(found: Vec<Found>, asked: KeyDigest) -> Reading {
    let as_of = found.first().map_or(Revision::default(), |found| found.as_of);
    match found.into_iter().find(|found| !found.facts.is_empty()) {
        Some(Found { digest, facts, as_of, .. }) => Reading { facts, as_of, digest },
        None => Reading { facts: KeyFacts::default(), as_of, digest: asked },
    }
}

fn one(row: &Row) -> Result<Found, StoreError> {
    let missing = |what: &str| StoreError::Corrupt(what.to_owned());
    let as_of = column::<Option<i64>>(row, 0, "revision.value")?;
    let active = column::<Option<String>>(row, 1, "peppers.id")?;
    let binding: Option<KeyId> = parsed_or_null(row, 3, "bindings.key_id")?;
    let ban: Option<KeyId> = parsed_or_null(row, 11, "bans.key_id")?;
    let archived: Option<KeyId> = parsed_or_null(row, 20, "archive.key_id")?;
    let id = binding.or(ban).or(parsed_or_null(row, 19, "candidates.key_id")?).or(archived);
    Ok(Found {
        as_of: Revision(as_of.ok_or_else(|| missing("revision: its row is missing"))?),
        active: PepperId::from_stored(active.ok_or_else(|| missing("peppers: none is active"))?),
        digest: digest(row, 2, "bindings.digest")?,
        facts: read_facts(row, binding, ban).map_err(|fault| match id {
            Some(id) => fault.of(id),
            None => fault,
        })?,
        id,
        note: column(row, 10, "bindings.note")?,
        archived: match archived {
            Some(_) => Some(Archived {
                at: moment(row, 22, "archive.archived_at")?,
                networks: networks(row, 21, "archive.networks")?,
            }),
            None => None,
        },
    })
}

fn read_facts(row: &Row, binding: Option<KeyId>, ban: Option<KeyId>) -> Result<KeyFacts, StoreError> {
    Ok(KeyFacts {
        binding: binding.map(|id| read_binding(row, id)).transpose()?,
        ban: ban.map(|id| read_ban(row, id)).transpose()?,
        candidates: candidates(row)?,
    })
}

fn read_binding(row: &Row, id: KeyId) -> Result<Binding, StoreError> {
    Ok(Binding {
        id,
        hint: column::<Option<String>>(row, 4, "bindings.hint")?.map(Hint::from_stored),
        state: word(row, 5, "bindings.state", State::from_word)?,
        networks: networks(row, 9, "binding_networks.network")?,
        created_at: moment(row, 6, "bindings.created_at")?,
        open_until: moment_or_null(row, 7, "bindings.open_until")?,
        expires_at: moment_or_null(row, 8, "bindings.expires_at")?,
    })
}

fn read_ban(row: &Row, id: KeyId) -> Result<Ban, StoreError> {
    Ok(Ban {
        id,
        hint: column::<Option<String>>(row, 12, "bans.hint")?.map(Hint::from_stored),
        until: moment_or_null(row, 13, "bans.until")?,
        reason: column(row, 14, "bans.reason")?,
        actor: column(row, 15, "bans.actor")?,
        created_at: moment(row, 16, "bans.created_at")?,
    })
}

fn candidates(row: &Row) -> Result<Vec<Candidate>, StoreError> {
    let times: Option<Vec<std::time::SystemTime>> = column(row, 18, "candidates.first_at")?;
    let seen = networks(row, 17, "candidates.network")?.into_iter().zip(times.unwrap_or_default());
    Ok(seen.map(|(network, at)| Candidate { network, first_at: super::rows::from_time(at) }).collect())
}

/// One statement, so one snapshot. The newest first, because where there are too many these are the ones to keep. A
/// caller ahead of the store has seen a life of it that a restored backup does not know.
///
/// A life: the server's identity, its timeline, which every promotion and recovery to a moment begins anew, and the table
/// itself, which a restored dump makes anew.
const CHANGES: &str = "
    SELECT value, first, (SELECT id FROM peppers WHERE active), clock_timestamp(),
        (SELECT system_identifier FROM pg_control_system()),
        ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int,
        'revision'::regclass::oid,
        change.revision, change.digest,
        (SELECT array_agg(id) FROM peppers WHERE NOT active AND retired_at IS NULL)
    FROM (SELECT value, CASE WHEN $1 BETWEEN floor AND value THEN $1 ELSE floor END AS first FROM revision) AS log
        LEFT JOIN LATERAL
            (SELECT revision, digest FROM changes WHERE changes.revision > log.first
             ORDER BY changes.revision DESC LIMIT $2) AS change ON true
    ORDER BY change.revision DESC";

pub(super) async fn changes_after(session: &mut Session, applied: Revision) -> Result<Changes, StoreError> {
    let rows = session.rows(step!(CHANGES, applied.0, POLLED as i64 + 1)).await?;
    let Some(state) = rows.first() else {
        return Err(StoreError::Corrupt("revision: its row is missing".to_owned()));
    };
    let active = column::<Option<String>>(state, 2, "peppers.id")?;
    let mut changed = Vec::new();
    for row in &rows {
        if let Some(revision) = column::<Option<i64>>(row, 7, "changes.revision")? {
            changed.push((Revision(revision), digest(row, 8, "changes.digest")?));
        }
    }
    let mut complete_from = Revision(column(state, 1, "revision.floor")?);
    if changed.len() > POLLED
        && let Some((left_out, _)) = changed.pop()
    {
        complete_from = left_out;
    }
    changed.reverse();
    let others: Option<Vec<String>> = column(state, 9, "peppers.id")?;
    Ok(Changes {
        now: moment(state, 3, "clock_timestamp")?,
        revision: Revision(column(state, 0, "revision.value")?),
        changed,
        complete_from,
        life: life(state)?,
        active_pepper: active
            .map(PepperId::from_stored)
            .ok_or_else(|| StoreError::Corrupt("peppers: none is active".to_owned()))?,
        other_peppers: in_use(session, others.unwrap_or_default()).await?,
    })
}

/// Those of the peppers that keys are under. A statement of its own, and none at all between rotations: the poll must not
/// wait because somebody locked a table of keys.
async fn in_use(session: &mut Session, peppers: Vec<String>) -> Result<Vec<PepperId>, StoreError> {
    if peppers.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT name FROM unnest($1::text[]) AS asked (name)
        WHERE EXISTS (SELECT FROM bindings WHERE pepper = name) OR EXISTS (SELECT FROM bans WHERE pepper = name)
            OR EXISTS (SELECT FROM candidates WHERE pepper = name) OR EXISTS (SELECT FROM archive WHERE pepper = name)";
    let rows = session.rows(step!(sql, peppers)).await?;
    rows.iter().map(|row| column(row, 0, "peppers.id").map(PepperId::from_stored)).collect()
}

fn life(row: &Row) -> Result<StoreLife, StoreError> {
    let system: i64 = column(row, 4, "pg_control_system")?;
    let timeline: i32 = column(row, 5, "pg_walfile_name")?;
    let table: u32 = column(row, 6, "revision")?;
    let [system, timeline, table] = [system as u64, timeline as u32 as u64, table.into()].map(u128::from);
    Ok(StoreLife(system << 64 | timeline << 32 | table))
}

/// The store's clock.
pub(super) async fn now(session: &mut Session) -> Result<Timestamp, StoreError> {
    match session.row(step!("SELECT clock_timestamp()")).await? {
        Some(row) => moment(&row, 0, "clock_timestamp"),
        None => Err(StoreError::Corrupt("clock_timestamp: no answer".to_owned())),
    }
}

/// The ids in a column of that name.
pub(super) fn ids(rows: &[Row]) -> Result<Vec<KeyId>, StoreError> {
    rows.iter().map(|row| parsed(row, 0, "known_keys.key_id")).collect()
}

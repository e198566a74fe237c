//! The facts of a key.

use std::time::SystemTime;

use tokio_postgres::Row;

use super::{
    keys::{Lock, lock},
    rows::{Step, column, from_time, networks, step},
    session::Session,
};
use crate::{
    domain::{Candidate, KeyDigest, KeyDigests, KeyFacts, KeyId, PepperId, Timestamp},
    store::{
        ArchivedBinding, Reading, Revision, StoreError,
        columns::{self, Columns, no_active_pepper, no_revision, unreadable},
    },
};

/// One row for each digest in `$1`, in their order, all of one snapshot: so a reading includes every change up to its
/// revision, without a transaction around it. The revision is a subquery, not a joined table: before its first ANALYZE
/// the planner would estimate 1,810 rows for it.
const FACTS: &str = "
    SELECT (SELECT value FROM revision), (SELECT id FROM peppers WHERE active), asked.digest,
        binding.key_id, binding.hint, binding.state, binding.created_at, binding.open_until, binding.expires_at,
        (SELECT array_agg(owner.network::text ORDER BY owner.network::text COLLATE \"C\")
         FROM binding_networks AS owner WHERE owner.key_id = binding.key_id),
        binding.note,
        ban.key_id, ban.hint, ban.until, ban.reason, ban.actor, ban.created_at,
        seen.networks, seen.times, seen.key_id,
        gone.key_id, gone.networks, gone.created_at, gone.archived_at
    FROM unnest($1::bytea[]) WITH ORDINALITY AS asked (digest, place)
        LEFT JOIN bindings AS binding ON binding.digest = asked.digest
        LEFT JOIN bans AS ban ON ban.digest = asked.digest
        LEFT JOIN LATERAL
            (SELECT array_agg(network::text ORDER BY id) AS networks, array_agg(first_at ORDER BY id) AS times,
                 min(key_id) AS key_id
             FROM candidates WHERE digest = asked.digest) AS seen ON true
        LEFT JOIN LATERAL
            (SELECT key_id, networks::text[] AS networks, created_at, archived_at FROM archive
             WHERE digest = asked.digest ORDER BY id DESC LIMIT 1) AS gone ON true
    ORDER BY asked.place";

/// The state of a key under one of the digests that were looked up.
pub(super) struct Found {
    pub(super) as_of: Revision,
    pub(super) active: PepperId,
    pub(super) digest: KeyDigest,
    pub(super) facts: KeyFacts,
    /// The id of its rows, if it has any, including archived ones.
    pub(super) id: Option<KeyId>,
    pub(super) note: Option<String>,
    pub(super) archived: Option<ArchivedBinding>,
}

/// Returns the step whose answer [`found`] reads.
pub(super) fn step_of(digests: impl IntoIterator<Item = KeyDigest>) -> Step {
    step!(FACTS, digests.into_iter().map(|digest| digest.as_bytes().to_vec()).collect::<Vec<_>>())
}

/// Reads one entry for each digest.
pub(super) fn found(rows: &[Row]) -> Result<Vec<Found>, StoreError> {
    rows.iter().map(one).collect()
}

pub(super) async fn read(
    session: &mut Session,
    digests: impl IntoIterator<Item = KeyDigest>,
) -> Result<Vec<Found>, StoreError> {
    found(&session.rows(step_of(digests)).await?)
}

/// As [`read`], but begins a transaction that locks these digests: the facts stay valid until the commit.
pub(super) async fn read_locked(session: &mut Session, digests: Vec<KeyDigest>) -> Result<Vec<Found>, StoreError> {
    let asked = vec![Lock::Writers.share(), lock(digests.iter().copied()), step_of(digests)];
    found(session.begin(asked).await?.last().map_or(&[], Vec::as_slice))
}

pub(super) async fn reading(session: &mut Session, key: &KeyDigests) -> Result<Reading, StoreError> {
    Ok(first(read(session, key.iter()).await?, key.first()))
}

/// Returns the facts under the first digest that has any.
pub(super) fn first(found: Vec<Found>, asked: KeyDigest) -> Reading {
    let as_of = found.first().map_or(Revision::default(), |found| found.as_of);
    match found.into_iter().find(|found| !found.facts.is_empty()) {
        Some(Found { digest, facts, as_of, .. }) => Reading { facts, as_of, digest },
        None => Reading { facts: KeyFacts::default(), as_of, digest: asked },
    }
}

fn one(row: &Row) -> Result<Found, StoreError> {
    let binding: Option<KeyId> = row.parsed_or_null(3, "bindings.key_id")?;
    let ban: Option<KeyId> = row.parsed_or_null(11, "bans.key_id")?;
    let archived: Option<KeyId> = row.parsed_or_null(20, "archive.key_id")?;
    let id = binding.or(ban).or(row.parsed_or_null(19, "candidates.key_id")?).or(archived);
    Ok(Found {
        as_of: Revision(row.integer_or_null(0, "revision.value")?.ok_or_else(no_revision)?),
        active: row.pepper_id_or_null(1, "peppers.id")?.ok_or_else(no_active_pepper)?,
        digest: row.digest(2, "bindings.digest")?,
        facts: read_facts(row, binding.is_some(), ban.is_some()).map_err(|fault| match id {
            Some(id) => fault.of(id),
            None => fault,
        })?,
        id,
        note: row.owned_or_null(10, "bindings.note")?,
        archived: match archived {
            Some(_) => Some(columns::archived(row, 22, networks(row, 21, "archive.networks")?)?),
            None => None,
        },
    })
}

fn read_facts(row: &Row, is_bound: bool, is_banned: bool) -> Result<KeyFacts, StoreError> {
    let networks = || networks(row, 9, "binding_networks.network");
    Ok(KeyFacts {
        binding: is_bound.then(|| columns::binding(row, 3, networks()?)).transpose()?,
        ban: is_banned.then(|| columns::ban(row, 11)).transpose()?,
        candidates: candidates(row)?,
    })
}

fn candidates(row: &Row) -> Result<Vec<Candidate>, StoreError> {
    let times: Option<Vec<SystemTime>> = column(row, 18, "candidates.first_at")?;
    let seen = networks(row, 17, "candidates.network")?.into_iter().zip(times.unwrap_or_default());
    Ok(seen.map(|(network, at)| Candidate { network, first_at: from_time(at) }).collect())
}

/// Returns the clock of the store.
pub(super) async fn now(session: &mut Session) -> Result<Timestamp, StoreError> {
    let row = session.row(step!("SELECT clock_timestamp()")).await?;
    row.ok_or_else(|| unreadable("clock_timestamp", "no answer"))?.moment(0, "clock_timestamp")
}

//! What is known of one key, and what changed since.

use rusqlite::{Connection, ToSql};

use super::{
    pepper,
    rows::{column, digest, moment, moment_or_null, parsed, word},
};
use crate::{
    domain::{Ban, Binding, Candidate, Hint, KeyDigest, KeyDigests, KeyFacts, KeyId, Network, State, Timestamp},
    store::{Changes, Reading, Revision, StoreError, StoreLife, rules::POLLED},
};

/// The store's clock in SQL.
pub(super) const NOW: &str = "CAST(round(unixepoch('subsec') * 1000) AS INTEGER)";

pub(super) fn reading(conn: &Connection, key: &KeyDigests) -> Result<Reading, StoreError> {
    let (as_of, _) = revision(conn)?;
    for digest in key.iter() {
        let facts = facts_of_digest(conn, &digest)?;
        if !facts.is_empty() {
            return Ok(Reading { facts, as_of, digest });
        }
    }
    Ok(Reading { facts: KeyFacts::default(), as_of, digest: key.first() })
}

pub(super) fn facts_of_digest(conn: &Connection, key: &KeyDigest) -> Result<KeyFacts, StoreError> {
    facts(
        conn,
        [
            "SELECT key_id, hint, state, created_at, open_until, expires_at FROM bindings WHERE digest = ?1",
            "SELECT key_id, hint, until, reason, actor, created_at FROM bans WHERE digest = ?1",
            "SELECT network, first_at FROM candidates WHERE digest = ?1 ORDER BY id",
        ],
        key.as_bytes(),
    )
}

pub(super) fn facts_of_id(conn: &Connection, id: KeyId) -> Result<KeyFacts, StoreError> {
    facts(
        conn,
        [
            "SELECT key_id, hint, state, created_at, open_until, expires_at FROM bindings WHERE key_id = ?1",
            "SELECT key_id, hint, until, reason, actor, created_at FROM bans WHERE key_id = ?1",
            "SELECT network, first_at FROM candidates WHERE key_id = ?1 ORDER BY id",
        ],
        &id.to_string(),
    )
}

fn facts(conn: &Connection, [binding, ban, candidates]: [&str; 3], key: &dyn ToSql) -> Result<KeyFacts, StoreError> {
    let mut binding = conn.prepare_cached(binding)?;
    let binding = match binding.query([key])?.next()? {
        Some(row) => Some(Binding {
            id: parsed(row, 0, "bindings.key_id")?,
            hint: column::<Option<String>>(row, 1, "bindings.hint")?.map(Hint::from_stored),
            state: word(row, 2, "bindings.state", State::from_word)?,
            networks: networks(conn, &column::<String>(row, 0, "bindings.key_id")?)?,
            created_at: moment(row, 3, "bindings.created_at")?,
            open_until: moment_or_null(row, 4, "bindings.open_until")?,
            expires_at: moment_or_null(row, 5, "bindings.expires_at")?,
        }),
        None => None,
    };
    let mut ban = conn.prepare_cached(ban)?;
    let ban = match ban.query([key])?.next()? {
        Some(row) => Some(Ban {
            id: parsed(row, 0, "bans.key_id")?,
            hint: column::<Option<String>>(row, 1, "bans.hint")?.map(Hint::from_stored),
            until: moment_or_null(row, 2, "bans.until")?,
            reason: column(row, 3, "bans.reason")?,
            actor: column(row, 4, "bans.actor")?,
            created_at: moment(row, 5, "bans.created_at")?,
        }),
        None => None,
    };
    let candidates = conn
        .prepare_cached(candidates)?
        .query_and_then([key], |row| {
            Ok(Candidate {
                network: parsed(row, 0, "candidates.network")?,
                first_at: moment(row, 1, "candidates.first_at")?,
            })
        })?
        .collect::<Result<_, StoreError>>()?;
    Ok(KeyFacts { binding, ban, candidates })
}

fn networks(conn: &Connection, key_id: &str) -> Result<Vec<Network>, StoreError> {
    conn.prepare_cached("SELECT network FROM binding_networks WHERE key_id = ?1 ORDER BY network")?
        .query_and_then([key_id], |row| parsed(row, 0, "binding_networks.network"))?
        .collect()
}

/// The current revision, and the one that the change log reaches back to.
pub(super) fn revision(conn: &Connection) -> Result<(Revision, Revision), StoreError> {
    let mut sql = conn.prepare_cached("SELECT value, floor FROM revision")?;
    let mut rows = sql.query([])?;
    let Some(row) = rows.next()? else {
        return Err(StoreError::Corrupt("revision: its row is missing".to_owned()));
    };
    Ok((Revision(column(row, 0, "revision.value")?), Revision(column(row, 1, "revision.floor")?)))
}

/// The store's clock.
pub(super) fn now(conn: &Connection) -> Result<Timestamp, StoreError> {
    let now = conn.prepare_cached(&format!("SELECT {NOW}"))?.query_row([], |row| row.get(0))?;
    Ok(Timestamp::from_millis(now))
}

pub(super) fn changes_after(conn: &Connection, applied: Revision) -> Result<Changes, StoreError> {
    let (revision, floor) = revision(conn)?;
    // A caller ahead of the store has seen a life of it that a restored backup does not know.
    let in_log = (floor..=revision).contains(&applied);
    let mut complete_from = if in_log { applied } else { floor };
    // The newest first, because where there are too many these are the ones to keep.
    let mut changed: Vec<_> = conn
        .prepare_cached("SELECT revision, digest FROM changes WHERE revision > ?1 ORDER BY revision DESC LIMIT ?2")?
        .query_and_then((complete_from.0, POLLED as i64 + 1), |row| {
            Ok((Revision(column(row, 0, "changes.revision")?), digest(row, 1, "changes.digest")?))
        })?
        .collect::<Result<_, StoreError>>()?;
    if changed.len() > POLLED
        && let Some((left_out, _)) = changed.pop()
    {
        complete_from = left_out;
    }
    changed.reverse();
    // A file has no life of its own: no Redis is shared over it, so nothing outlives the process but the file.
    let life = StoreLife::default();
    Ok(Changes {
        now: now(conn)?,
        revision,
        changed,
        complete_from,
        life,
        active_pepper: pepper::active(conn)?,
        other_peppers: Vec::new(),
    })
}

//! An operator's change.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::{
    audit, facts,
    names::{Named, resolve},
    rows::in_words,
};
use crate::{
    domain::{
        Ban, Binding, KeyDigest, KeyFacts, Network, Timestamp,
        event::{EventKind, Record},
    },
    store::{Action, Applied, Change, ChangeError, Refusal, Revision, StoreError, Target},
};

/// A cache may trust a fact for 24 h if it knows every change since; an hour more for clocks that differ.
const LOG_KEPT: Duration = Duration::from_hours(25);

/// How far back refusals are reported.
const REFUSED_SINCE: Duration = Duration::from_hours(24);

pub(super) fn apply(conn: &Connection, change: &Change, actor: &str, now: Timestamp) -> Result<Applied, ChangeError> {
    let key = subject(conn, change)?;
    let before = facts::facts_of_digest(conn, &key.fingerprint.digest)?;
    let detail = perform(conn, &key, &before, &change.action, actor, now)?;
    let record = Record {
        kind: kind(&change.action),
        reason: None,
        key_id: Some(key.id),
        network: None,
        count: 1,
        first_at: now,
        last_at: now,
        actor: Some(actor.to_owned()),
        decision_id: None,
        detail: Some(detail),
    };
    audit::append(conn, &record)?;
    Ok(Applied {
        revision: advance(conn, &key.fingerprint.digest, now)?,
        key_id: key.id,
        before,
        after: facts::facts_of_digest(conn, &key.fingerprint.digest)?,
        refused: audit::refused(conn, key.id, now.before(REFUSED_SINCE))?,
        record,
    })
}

/// The key to change. Only a ban can be the first that the store hears of a key.
fn subject(conn: &Connection, change: &Change) -> Result<Named, ChangeError> {
    match (resolve(conn, &change.target), &change.target, &change.action) {
        (Err(ChangeError::Refused(Refusal::NotFound)), Target::Key(key), Action::Ban { .. }) => {
            Ok(Named { id: key.digest.new_id(), fingerprint: key.clone() })
        }
        (resolved, _, _) => resolved,
    }
}

fn kind(action: &Action) -> EventKind {
    match action {
        Action::Reserve | Action::HandOver(_) | Action::Open => EventKind::Unbind,
        Action::Ban { .. } => EventKind::Ban,
        Action::Unban => EventKind::Unban,
    }
}

/// Changes the rows and says in words what changed.
fn perform(
    conn: &Connection,
    key: &Named,
    before: &KeyFacts,
    action: &Action,
    actor: &str,
    now: Timestamp,
) -> Result<String, ChangeError> {
    let bound = || before.binding.as_ref().ok_or(Refusal::NotBound(key.id));
    match action {
        Action::Reserve => Ok(pin(conn, bound()?, None)?),
        Action::HandOver(network) => Ok(pin(conn, bound()?, Some(*network))?),
        Action::Open => Ok(open(conn, bound()?)?),
        Action::Ban { lasting, reason } => {
            let ban = Ban {
                id: key.id,
                hint: key.fingerprint.hint.clone(),
                until: lasting.map(|lasting| now.after(lasting)),
                reason: reason.clone(),
                actor: actor.to_owned(),
                created_at: now,
            };
            Ok(put_ban(conn, key, &ban, before.ban.as_ref())?)
        }
        Action::Unban => {
            let ban = before.ban.as_ref().ok_or(Refusal::NotBanned(key.id))?;
            conn.prepare_cached("DELETE FROM bans WHERE key_id = ?1")?.execute([ban.id.to_string()])?;
            Ok(format!("was banned {}", term(ban)))
        }
    }
}

fn pin(conn: &Connection, binding: &Binding, owner: Option<Network>) -> Result<String, StoreError> {
    let id = binding.id.to_string();
    conn.prepare_cached("UPDATE bindings SET state = 'pinned' WHERE key_id = ?1")?.execute([&id])?;
    conn.prepare_cached("DELETE FROM binding_networks WHERE key_id = ?1")?.execute([&id])?;
    if let Some(owner) = owner {
        conn.prepare_cached("INSERT INTO binding_networks (key_id, network) VALUES (?1, ?2)")?
            .execute((&id, owner.to_string()))?;
    }
    Ok(format!("networks {} -> {}", in_words(&binding.networks), in_words(owner.as_slice())))
}

fn open(conn: &Connection, binding: &Binding) -> Result<String, StoreError> {
    conn.prepare_cached("DELETE FROM bindings WHERE key_id = ?1")?.execute([binding.id.to_string()])?;
    Ok(format!("networks {} -> open to the next first use", in_words(&binding.networks)))
}

fn put_ban(conn: &Connection, key: &Named, ban: &Ban, earlier: Option<&Ban>) -> Result<String, StoreError> {
    conn.prepare_cached(
        "INSERT INTO bans (key_id, digest, pepper, realm, hint, until, reason, actor, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (key_id) DO UPDATE SET until = excluded.until, reason = excluded.reason,
             actor = excluded.actor, created_at = excluded.created_at",
    )?
    .execute(params![
        key.id.to_string(),
        key.fingerprint.digest.as_bytes(),
        key.fingerprint.pepper.as_str(),
        key.fingerprint.realm,
        ban.hint.as_ref().map(|hint| hint.as_str()),
        ban.until.map(Timestamp::as_millis),
        ban.reason,
        ban.actor,
        ban.created_at.as_millis(),
    ])?;
    let was = earlier.map_or_else(|| "not banned".to_owned(), |earlier| format!("banned {}", term(earlier)));
    Ok(format!("{}, was {was}", term(ban)))
}

/// How long and why, in words.
fn term(ban: &Ban) -> String {
    let end = ban.until.map_or_else(|| "for ever".to_owned(), |until| format!("until {until}"));
    match &ban.reason {
        Some(reason) => format!("{end} ({reason})"),
        None => end,
    }
}

/// Takes the next revision, logs the change, and forgets what every cache has long seen.
fn advance(conn: &Connection, key: &KeyDigest, now: Timestamp) -> Result<Revision, StoreError> {
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
        "UPDATE revision SET floor = max(floor, (SELECT min(revision) - 1 FROM changes WHERE at >= ?1))",
    )?
    .execute([now.before(LOG_KEPT).as_millis()])?;
    conn.prepare_cached("DELETE FROM changes WHERE revision <= (SELECT floor FROM revision)")?.execute([])?;
    Ok(Revision(revision))
}

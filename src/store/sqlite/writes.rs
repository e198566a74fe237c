//! Carries out the writes that the rules have decided.

use rusqlite::{Connection, Params, ToSql, params};

use super::rows::execute;
use crate::{
    domain::{Ban, Binding, Hint, KeyId, Network, Timestamp},
    store::{
        ArchivedBinding, StoreError,
        rules::{KeyIdentity, Write},
    },
};

pub(super) fn apply(conn: &Connection, key: &KeyIdentity, writes: &[Write]) -> Result<(), StoreError> {
    let id = key.id.to_string();
    writes.iter().try_for_each(|write| match write {
        Write::Bind(binding) => put(conn, key, binding),
        Write::Unbind => remove(conn, key.id),
        Write::Join(network) => add(conn, &id, *network),
        Write::Seal => done(conn, "UPDATE bindings SET open_until = NULL WHERE key_id = ?1", [&id]),
        Write::Restored(at) => {
            done(conn, "UPDATE bindings SET restored_at = ?2 WHERE key_id = ?1", (&id, at.as_millis()))
        }
        Write::Note(note) => done(conn, "UPDATE bindings SET note = ?2 WHERE key_id = ?1", (&id, note)),
        Write::Ban(ban) => put_ban(conn, key, ban),
        Write::Unban => done(conn, "DELETE FROM bans WHERE key_id = ?1", [&id]),
        Write::Observed(candidate) => {
            let sql = "INSERT INTO candidates (key_id, digest, pepper, realm, hint, network, first_at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let (network, at) = (candidate.network.to_string(), candidate.first_at.as_millis());
            insert(conn, sql, key, key.fingerprint.hint.as_ref(), params![network, at])
        }
        Write::Archived(archived) => self::archived(conn, key, archived),
        Write::ForgetCandidates => done(conn, "DELETE FROM candidates WHERE key_id = ?1", [&id]),
    })
}

fn put(conn: &Connection, key: &KeyIdentity, binding: &Binding) -> Result<(), StoreError> {
    let sql = "INSERT INTO bindings (key_id, digest, pepper, realm, hint, state, created_at, open_until, expires_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
        ON CONFLICT (key_id) DO UPDATE SET state = excluded.state, created_at = excluded.created_at,
            open_until = excluded.open_until, expires_at = excluded.expires_at";
    let Binding { state, created_at, open_until, expires_at, .. } = binding;
    let [open_until, expires_at] = [open_until, expires_at].map(|at| at.map(Timestamp::as_millis));
    let values = params![state.as_str(), created_at.as_millis(), open_until, expires_at];
    insert(conn, sql, key, binding.hint.as_ref(), values)?;
    let id = key.id.to_string();
    done(conn, "DELETE FROM binding_networks WHERE key_id = ?1", [&id])?;
    binding.networks.iter().try_for_each(|network| add(conn, &id, *network))
}

/// Deletes the binding with everything that belongs to it.
pub(super) fn remove(conn: &Connection, id: KeyId) -> Result<(), StoreError> {
    done(conn, "DELETE FROM bindings WHERE key_id = ?1", [id.to_string()])
}

fn add(conn: &Connection, id: &str, network: Network) -> Result<(), StoreError> {
    done(conn, "INSERT INTO binding_networks (key_id, network) VALUES (?1, ?2)", (id, network.to_string()))
}

fn put_ban(conn: &Connection, key: &KeyIdentity, ban: &Ban) -> Result<(), StoreError> {
    let sql = "INSERT INTO bans (key_id, digest, pepper, realm, hint, until, reason, actor, created_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
        ON CONFLICT (key_id) DO UPDATE SET until = excluded.until, reason = excluded.reason,
            actor = excluded.actor, created_at = excluded.created_at";
    let Ban { until, reason, actor, created_at, .. } = ban;
    let values = params![until.map(Timestamp::as_millis), reason, actor, created_at.as_millis()];
    insert(conn, sql, key, ban.hint.as_ref(), values)
}

/// Adds an archived binding, in the form that [`super::last_use`] reads.
pub(super) fn archived(conn: &Connection, key: &KeyIdentity, archived: &ArchivedBinding) -> Result<(), StoreError> {
    let sql = "INSERT INTO archive (key_id, digest, pepper, realm, hint, networks, created_at, archived_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let ArchivedBinding { networks, created_at, archived_at } = archived;
    let networks = networks.iter().map(Network::to_string).collect::<Vec<_>>().join(" ");
    let values = params![networks, created_at.as_millis(), archived_at.as_millis()];
    insert(conn, sql, key, key.fingerprint.hint.as_ref(), values)
}

/// Inserts a row into a table whose first five columns identify a key.
fn insert(
    conn: &Connection,
    sql: &str,
    KeyIdentity { id, fingerprint }: &KeyIdentity,
    hint: Option<&Hint>,
    values: &[&dyn ToSql],
) -> Result<(), StoreError> {
    let (id, digest, pepper) = (id.to_string(), fingerprint.digest.as_bytes(), fingerprint.pepper.as_str());
    let hint = hint.map(Hint::as_str);
    let named: [&dyn ToSql; 5] = [&id, digest, &pepper, &fingerprint.realm, &hint];
    done(conn, sql, &[&named[..], values].concat()[..])
}

fn done(conn: &Connection, sql: &str, values: impl Params) -> Result<(), StoreError> {
    execute(conn, sql, values).map(drop)
}

//! Last use, and the archive of what was not used for long.

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    audit, change, facts, names, owner,
    rows::{column, moment, parsed},
};
use crate::{
    domain::{KeyId, Network, Timestamp, event::Record},
    store::{
        Archived, StoreError, Use,
        rules::{self, Named},
    },
};

pub(super) fn note_uses(conn: &Connection, uses: &[Use]) -> Result<(), StoreError> {
    // max() of a column and NULL would be NULL.
    let mut update = conn.prepare_cached(
        "UPDATE bindings SET used_at = nullif(max(coalesce(used_at, 0), coalesce(?2, 0)), 0),
             refused_at = nullif(max(coalesce(refused_at, 0), coalesce(?3, 0)), 0)
         WHERE key_id = ?1",
    )?;
    for Use { key, used_at, refused_at } in uses {
        let [used_at, refused_at] = [used_at, refused_at].map(|at| at.map(Timestamp::as_millis));
        update.execute(params![key.to_string(), used_at, refused_at])?;
    }
    Ok(())
}

pub(super) fn archive(
    conn: &Connection,
    unused_since: Timestamp,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<Record>, StoreError> {
    // The expression of the index `bindings_unused`.
    let sql = "SELECT key_id FROM bindings
        WHERE state = 'learned'
            AND max(created_at, coalesce(used_at, 0), coalesce(refused_at, 0), coalesce(restored_at, 0)) < ?1
        ORDER BY max(created_at, coalesce(used_at, 0), coalesce(refused_at, 0), coalesce(restored_at, 0)) LIMIT ?2";
    let ids = conn
        .prepare_cached(sql)?
        .query_and_then((unused_since.as_millis(), limit), |row| parsed(row, 0, "bindings.key_id"))?
        .collect::<Result<Vec<KeyId>, StoreError>>()?;
    // One write transaction at a time: what was selected is still so.
    ids.into_iter().filter_map(|id| archive_one(conn, id, now).transpose()).collect()
}

fn archive_one(conn: &Connection, id: KeyId, now: Timestamp) -> Result<Option<Record>, StoreError> {
    let (Some(key), Some(binding)) = (names::by_id(conn, id)?, facts::facts_of_id(conn, id)?.binding) else {
        return Ok(None);
    };
    let Named { fingerprint, .. } = &key;
    conn.prepare_cached(
        "INSERT INTO archive (key_id, digest, pepper, realm, hint, networks, created_at, archived_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        id.to_string(),
        fingerprint.digest.as_bytes(),
        fingerprint.pepper.as_str(),
        fingerprint.realm,
        binding.hint.as_ref().map(|hint| hint.as_str()),
        binding.networks.iter().map(Network::to_string).collect::<Vec<_>>().join(" "),
        binding.created_at.as_millis(),
        now.as_millis(),
    ])?;
    owner::remove(conn, id)?;
    change::advance(conn, &fingerprint.digest, now)?;
    let record = rules::change::archived(&key, binding, now);
    audit::append(conn, &record)?;
    Ok(Some(record))
}

/// The key's last archiving.
pub(super) fn archived(conn: &Connection, id: KeyId) -> Result<Option<Archived>, StoreError> {
    let sql = "SELECT networks, archived_at FROM archive WHERE key_id = ?1 ORDER BY id DESC LIMIT 1";
    let found = conn.prepare_cached(sql)?.query_row([id.to_string()], |row| {
        Ok(column::<String>(row, 0, "archive.networks")
            .and_then(|networks| Ok((networks, moment(row, 1, "archive.archived_at")?))))
    });
    let Some((networks, at)) = found.optional()?.transpose()? else { return Ok(None) };
    let unreadable = |fault| StoreError::Corrupt(format!("archive.networks: {fault}"));
    let networks = networks.split_whitespace().map(|text| text.parse::<Network>().map_err(unreadable));
    Ok(Some(Archived { at, networks: networks.collect::<Result<_, _>>()? }))
}

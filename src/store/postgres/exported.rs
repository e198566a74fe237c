//! Keys with all that the store knows of them.

use std::collections::HashMap;

use tokio_postgres::Row;

use super::{
    facts::{self, Found},
    rows::{ids, networks, step},
    session::Session,
};
use crate::{
    domain::KeyId,
    store::{
        ArchivedBinding, ExportedKey, StoreError,
        columns::{self, Columns},
        rules::Named,
        selection,
    },
};

/// Each table alone is read no further than the page goes: together they would be sorted as a whole for every page.
const IDS: &str = "
    (SELECT key_id FROM bindings WHERE key_id > $1 ORDER BY key_id LIMIT $2)
    UNION (SELECT key_id FROM bans WHERE key_id > $1 ORDER BY key_id LIMIT $2)
    UNION (SELECT DISTINCT key_id FROM candidates WHERE key_id > $1 ORDER BY key_id LIMIT $2)
    UNION (SELECT DISTINCT key_id FROM archive WHERE key_id > $1 ORDER BY key_id LIMIT $2)
    ORDER BY key_id LIMIT $2";

/// Everything that is known of the first keys after `after`.
pub(super) async fn page(
    session: &mut Session,
    after: Option<KeyId>,
    limit: u32,
) -> Result<Vec<ExportedKey>, StoreError> {
    session.begin_snapshot().await?;
    let found = session.rows(step!(IDS, selection::after(after), i64::from(limit))).await?;
    keys(session, &self::ids(&found)?).await
}

/// Everything that is known of these keys, in their order. In two trips, however many they are.
pub(super) async fn keys(session: &mut Session, ids: &[KeyId]) -> Result<Vec<ExportedKey>, StoreError> {
    let asked: Vec<_> = ids.iter().map(ToString::to_string).collect();
    let known = step!(
        "SELECT DISTINCT ON (known.key_id) known.key_id, known.digest, known.pepper, known.realm, known.hint,
             binding.used_at, binding.refused_at, binding.restored_at
         FROM known_keys AS known LEFT JOIN bindings AS binding ON binding.key_id = known.key_id
         WHERE known.key_id = ANY ($1) ORDER BY known.key_id, known.source",
        asked.clone()
    );
    let archive = step!(
        "SELECT key_id, networks::text[], created_at, archived_at FROM archive WHERE key_id = ANY ($1) ORDER BY id",
        asked
    );
    let answers = session.send(vec![known, archive]).await?;
    let [known, archive] = &answers[..] else { return Ok(Vec::new()) };
    let mut archived: HashMap<KeyId, Vec<ArchivedBinding>> = HashMap::new();
    for row in archive {
        let one = columns::archived(row, 2, networks(row, 1, "archive.networks")?)?;
        archived.entry(row.parsed(0, "archive.key_id")?).or_default().push(one);
    }
    let keys = known.iter().map(columns::named).collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let found = session.rows(facts::step_of(keys.iter().map(|key| key.fingerprint.digest))).await?;
    let mut exported = HashMap::with_capacity(keys.len());
    for ((row, key), found) in known.iter().zip(keys).zip(facts::found(&found)?) {
        let id = key.id;
        let archive = archived.remove(&id).unwrap_or_default();
        exported.insert(id, self::exported(row, key, found, archive).map_err(|fault| fault.of(id))?);
    }
    Ok(ids.iter().filter_map(|id| exported.remove(id)).collect())
}

fn exported(row: &Row, key: Named, found: Found, archive: Vec<ArchivedBinding>) -> Result<ExportedKey, StoreError> {
    Ok(ExportedKey {
        id: key.id,
        key: key.fingerprint,
        facts: found.facts,
        used_at: row.moment_or_null(5, "bindings.used_at")?,
        refused_at: row.moment_or_null(6, "bindings.refused_at")?,
        restored_at: row.moment_or_null(7, "bindings.restored_at")?,
        note: found.note,
        archive,
    })
}

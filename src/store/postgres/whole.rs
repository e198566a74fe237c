//! Keys with all that the store knows of them.

use std::collections::HashMap;

use tokio_postgres::Row;

use super::{
    facts::{self, Found},
    keys::named,
    rows::{moment, moment_or_null, networks, parsed, step},
    session::Session,
};
use crate::{
    domain::KeyId,
    store::{ArchivedBinding, ExportedKey, KeyQuery, KeyRow, Life, Order, StoreError, rules::Named},
};

/// Each table alone is read no further than the page goes: together they would be sorted whole for every page.
const IDS: &str = "
    (SELECT key_id FROM bindings WHERE key_id > $1 ORDER BY key_id LIMIT $2)
    UNION (SELECT key_id FROM bans WHERE key_id > $1 ORDER BY key_id LIMIT $2)
    UNION (SELECT DISTINCT key_id FROM candidates WHERE key_id > $1 ORDER BY key_id LIMIT $2)
    UNION (SELECT DISTINCT key_id FROM archive WHERE key_id > $1 ORDER BY key_id LIMIT $2)
    ORDER BY key_id LIMIT $2";

/// A page of a file.
pub(super) async fn page(session: &mut Session, query: &KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
    let after = match query.order {
        Order::Newest => None,
        Order::ById(after) => after,
    };
    let found = session.rows(step!(IDS, text(after), i64::from(query.limit))).await?;
    rows(session, &facts::ids(&found)?).await
}

/// Every id comes after nothing.
pub(super) fn text(after: Option<KeyId>) -> String {
    after.map(|id| id.to_string()).unwrap_or_default()
}

/// What is known of these keys, in their order. All of it in two trips, however many they are.
pub(super) async fn rows(session: &mut Session, ids: &[KeyId]) -> Result<Vec<KeyRow>, StoreError> {
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
    let mut formers: HashMap<KeyId, Vec<ArchivedBinding>> = HashMap::new();
    for row in archive {
        formers.entry(parsed(row, 0, "archive.key_id")?).or_default().push(ArchivedBinding {
            networks: networks(row, 1, "archive.networks")?,
            created_at: moment(row, 2, "archive.created_at")?,
            archived_at: moment(row, 3, "archive.archived_at")?,
        });
    }
    let keys = known.iter().map(named).collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let found = session.rows(facts::step_of(keys.iter().map(|key| key.fingerprint.digest))).await?;
    let mut rows = HashMap::with_capacity(keys.len());
    for ((row, key), found) in known.iter().zip(keys).zip(facts::found(&found)?) {
        let id = key.id;
        rows.insert(id, key_row(row, key, found, &mut formers).map_err(|fault| fault.of(id))?);
    }
    Ok(ids.iter().filter_map(|id| rows.remove(id)).collect())
}

fn key_row(
    row: &Row,
    key: Named,
    found: Found,
    formers: &mut HashMap<KeyId, Vec<ArchivedBinding>>,
) -> Result<KeyRow, StoreError> {
    Ok(KeyRow {
        key_id: key.id,
        hint: key.fingerprint.hint.clone(),
        facts: found.facts,
        life: Life {
            used_at: moment_or_null(row, 5, "bindings.used_at")?,
            refused_at: moment_or_null(row, 6, "bindings.refused_at")?,
            note: found.note,
            archived: found.archived,
        },
        refused: Vec::new(),
        whole: Some(Box::new(ExportedKey {
            key: key.fingerprint,
            restored_at: moment_or_null(row, 7, "bindings.restored_at")?,
            archive: formers.remove(&key.id).unwrap_or_default(),
        })),
    })
}

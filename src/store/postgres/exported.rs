//! Export and import of keys.

use std::collections::HashMap;

use tokio_postgres::Row;

use super::{
    audit,
    facts::{self, Found},
    keys::{Lock, lock},
    last_use, pepper,
    revision::advance,
    rows::{Step, ids, networks, step},
    session::Session,
    writes,
};
use crate::{
    domain::{KeyId, Timestamp},
    store::{
        ArchivedBinding, ExportedKey, Imported, KnownPepper, StoreError,
        columns::{self, Columns},
        rules::{
            KeyIdentity,
            import::{self, Known, PepperUpdate},
        },
        selection,
    },
};

/// Each table is read only up to the end of the page. A plain UNION of the tables would be sorted as a whole for every
/// page.
const IDS: &str = "
    (SELECT key_id FROM bindings WHERE key_id > $1 ORDER BY key_id LIMIT $2)
    UNION (SELECT key_id FROM bans WHERE key_id > $1 ORDER BY key_id LIMIT $2)
    UNION (SELECT DISTINCT key_id FROM candidates WHERE key_id > $1 ORDER BY key_id LIMIT $2)
    UNION (SELECT DISTINCT key_id FROM archive WHERE key_id > $1 ORDER BY key_id LIMIT $2)
    ORDER BY key_id LIMIT $2";

/// Exports the first keys after `after`.
pub(super) async fn page(
    session: &mut Session,
    after: Option<KeyId>,
    limit: u32,
) -> Result<Vec<ExportedKey>, StoreError> {
    session.begin_snapshot().await?;
    let found = session.rows(step!(IDS, selection::after(after), i64::from(limit))).await?;
    keys(session, &ids(&found)?).await
}

/// Exports these keys, in their order, in two round trips regardless of their number.
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
    let keys = known.iter().map(columns::identity).collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let found = facts::read(session, keys.iter().map(|key| key.fingerprint.digest)).await?;
    let mut exported = HashMap::with_capacity(keys.len());
    for ((row, key), found) in known.iter().zip(keys).zip(found) {
        let id = key.id;
        let archive = archived.remove(&id).unwrap_or_default();
        exported.insert(id, self::exported(row, key, found, archive).map_err(|fault| fault.of(id))?);
    }
    Ok(ids.iter().filter_map(|id| exported.remove(id)).collect())
}

fn exported(
    row: &Row,
    key: KeyIdentity,
    found: Found,
    archive: Vec<ArchivedBinding>,
) -> Result<ExportedKey, StoreError> {
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

pub(super) async fn import(
    session: &mut Session,
    keys: &[ExportedKey],
    peppers: &[KnownPepper],
    actor: &str,
    now: Timestamp,
) -> Result<Imported, StoreError> {
    let locks = vec![Lock::Writers.share(), lock(keys.iter().map(|key| key.key.digest))];
    session.begin(locks).await?;
    let known = known(session, keys).await?;
    let (taken, kept) = known.sort(keys);
    let Some(record) = import::imported(&taken, kept.len(), actor, now) else {
        return Ok(Imported { kept, ..Imported::default() });
    };
    let mut steps = pepper_update(session, &taken, peppers).await?;
    steps.extend(taken.iter().flat_map(|key| writes::steps(&import::identity(key), &import::writes(key))));
    session.send(steps).await?;
    last_use::note_uses(session, import::uses(&taken)).await?;
    let mut steps = vec![audit::append(&record)?];
    steps.extend(advance(taken.iter().map(|key| key.key.digest), now));
    session.send(steps).await?;
    Ok(Imported { taken: taken.len() as u64, kept, record: Some(record) })
}

/// Reads the known keys under the ids and the digests of `keys`.
async fn known(session: &mut Session, keys: &[ExportedKey]) -> Result<Known, StoreError> {
    let ids: Vec<_> = keys.iter().map(|key| key.id.to_string()).collect();
    let digests: Vec<_> = keys.iter().map(|key| key.key.digest.as_bytes().to_vec()).collect();
    let sql = "SELECT DISTINCT key_id, digest FROM known_keys WHERE key_id = ANY ($1) OR digest = ANY ($2)";
    let found = session.rows(step!(sql, ids, digests)).await?;
    let ids = found.iter().map(|row| Ok((row.digest(1, "known_keys.digest")?, columns::key_id(row)?)));
    let ids = ids.collect::<Result<HashMap<_, _>, StoreError>>()?;
    let found: Vec<_> = ids.values().copied().collect();
    let keys = self::keys(session, &found).await?;
    Ok(Known { keys: keys.into_iter().map(|key| (key.id, key)).collect(), ids })
}

/// Returns the steps that record the peppers of these keys, to be carried out before the keys are written.
async fn pepper_update(
    session: &mut Session,
    keys: &[&ExportedKey],
    listed: &[KnownPepper],
) -> Result<Vec<Step>, StoreError> {
    let mut steps = Vec::new();
    for id in import::peppers(keys) {
        match import::pepper_update(id, pepper::stored(session, id).await?.as_ref(), listed)? {
            PepperUpdate::None => {}
            // Another import may be recording the same pepper.
            PepperUpdate::Insert(check_value) => steps.push(step!(
                "INSERT INTO peppers (id, check_value, active) VALUES ($1, $2, false) ON CONFLICT (id) DO NOTHING",
                id.to_string(),
                check_value.to_vec()
            )),
            PepperUpdate::Unretire => {
                steps.push(step!("UPDATE peppers SET retired_at = NULL WHERE id = $1", id.to_string()));
            }
        }
    }
    Ok(steps)
}

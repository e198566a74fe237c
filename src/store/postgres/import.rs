//! Keys of another store.

use std::collections::HashMap;

use super::{
    audit, exported,
    keys::{Lock, lock},
    life, owner, pepper,
    revision::advance,
    rows::{Step, step},
    session::Session,
};
use crate::{
    domain::Timestamp,
    store::{
        ExportedKey, Imported, KnownPepper, StoreError,
        columns::{self, Columns},
        rules::import::{self, Known, Learn},
    },
};

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
    let mut steps = learn(session, &taken, peppers).await?;
    steps.extend(taken.iter().flat_map(|key| owner::steps(&import::named(key), &import::writes(key))));
    session.send(steps).await?;
    life::note_uses(session, import::uses(&taken)).await?;
    let mut steps = vec![audit::append(&record)?];
    steps.extend(advance(taken.iter().map(|key| key.key.digest), now));
    session.send(steps).await?;
    Ok(Imported { taken: taken.len() as u64, kept, record: Some(record) })
}

/// All that is known under the ids and the digests of the keys.
async fn known(session: &mut Session, keys: &[ExportedKey]) -> Result<Known, StoreError> {
    let ids: Vec<_> = keys.iter().map(|key| key.id.to_string()).collect();
    let digests: Vec<_> = keys.iter().map(|key| key.key.digest.as_bytes().to_vec()).collect();
    let sql = "SELECT DISTINCT key_id, digest FROM known_keys WHERE key_id = ANY ($1) OR digest = ANY ($2)";
    let found = session.rows(step!(sql, ids, digests)).await?;
    let ids = found.iter().map(|row| Ok((row.digest(1, "known_keys.digest")?, columns::key_id(row)?)));
    let ids = ids.collect::<Result<HashMap<_, _>, StoreError>>()?;
    let found: Vec<_> = ids.values().copied().collect();
    let keys = exported::keys(session, &found).await?;
    Ok(Known { keys: keys.into_iter().map(|key| (key.id, key)).collect(), ids })
}

/// What the store has to be told of the peppers of these keys before they are written.
async fn learn(session: &mut Session, keys: &[&ExportedKey], listed: &[KnownPepper]) -> Result<Vec<Step>, StoreError> {
    let mut steps = Vec::new();
    for id in import::peppers(keys) {
        match import::learn(id, pepper::stored(session, id).await?.as_ref(), listed)? {
            Learn::Nothing => {}
            // Another import may be about to say the same.
            Learn::Recorded(check_value) => steps.push(step!(
                "INSERT INTO peppers (id, check_value, active) VALUES ($1, $2, false) ON CONFLICT (id) DO NOTHING",
                id.to_string(),
                check_value.to_vec()
            )),
            Learn::NotRetired => {
                steps.push(step!("UPDATE peppers SET retired_at = NULL WHERE id = $1", id.to_string()));
            }
        }
    }
    Ok(steps)
}

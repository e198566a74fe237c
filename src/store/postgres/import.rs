//! Keys of another store.

use std::collections::{HashMap, HashSet};

use super::{
    audit, exported, facts,
    keys::{Lock, lock},
    life, owner, pepper,
    revision::advance,
    rows::{Step, digest, step},
    session::Session,
};
use crate::{
    domain::{KeyDigest, KeyId, PepperId, Timestamp},
    store::{
        ExportedKey, Imported, KnownPepper, StoreError,
        rules::import::{self, Learn, Verdict},
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
    let there = There::read(session, keys).await?;
    let (mut met, mut taken, mut kept) = (there.view(), Vec::new(), Vec::new());
    for key in keys {
        match import::judge(key, &met.known(key)) {
            Verdict::Same => {}
            Verdict::Kept => kept.push(key.id),
            Verdict::New => {
                met.add(key);
                taken.push(key);
            }
        }
    }
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

/// What the store knows under the ids and the digests of a batch.
struct There {
    keys: Vec<ExportedKey>,
    under: Vec<(KeyDigest, KeyId)>,
}

impl There {
    async fn read(session: &mut Session, keys: &[ExportedKey]) -> Result<Self, StoreError> {
        let ids: Vec<_> = keys.iter().map(|key| key.id.to_string()).collect();
        let digests: Vec<_> = keys.iter().map(|key| key.key.digest.as_bytes().to_vec()).collect();
        let sql = "SELECT DISTINCT key_id, digest FROM known_keys WHERE key_id = ANY ($1) OR digest = ANY ($2)";
        let found = session.rows(step!(sql, ids, digests)).await?;
        let under = facts::ids(&found)?.into_iter().zip(&found);
        let under: Vec<_> =
            under.map(|(id, row)| Ok((digest(row, 1, "known_keys.digest")?, id))).collect::<Result<_, StoreError>>()?;
        let ids: Vec<_> = under.iter().map(|(_, id)| *id).collect();
        let keys = exported::keys(session, &ids).await?;
        Ok(Self { keys, under })
    }

    fn view(&self) -> ClaimState<'_> {
        ClaimState {
            by_id: self.keys.iter().map(|key| (key.id, key)).collect(),
            by_digest: self.under.iter().copied().collect(),
        }
    }
}

/// The same, with what the batch has brought so far: a file may hold a key twice.
struct ClaimState<'a> {
    by_id: HashMap<KeyId, &'a ExportedKey>,
    by_digest: HashMap<KeyDigest, KeyId>,
}

impl<'a> ClaimState<'a> {
    fn known(&self, key: &ExportedKey) -> Vec<&'a ExportedKey> {
        let mut ids = vec![key.id];
        ids.extend(self.by_digest.get(&key.key.digest));
        ids.dedup();
        ids.iter().filter_map(|id| self.by_id.get(id).copied()).collect()
    }

    fn add(&mut self, key: &'a ExportedKey) {
        self.by_id.insert(key.id, key);
        self.by_digest.insert(key.key.digest, key.id);
    }
}

/// What the store has to be told of the peppers of these keys before they are written.
async fn learn(session: &mut Session, keys: &[&ExportedKey], listed: &[KnownPepper]) -> Result<Vec<Step>, StoreError> {
    let peppers: HashSet<&PepperId> = keys.iter().map(|key| &key.key.pepper).collect();
    let mut steps = Vec::new();
    for id in peppers {
        match import::learn(id, pepper::known(session, id).await?.as_ref(), listed)? {
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

//! What becomes of a key that comes from another store.

use std::collections::{HashMap, HashSet};

use super::{KeyIdentity, Write, rotation::StoredPepper};
use crate::{
    domain::{
        KeyDigest, KeyFacts, KeyId, PepperId, Timestamp,
        event::{EventKind, Record},
    },
    store::{ExportedKey, KnownPepper, StoreError, Use},
};

/// What a store knows under the ids and the digests of keys that come.
#[derive(Debug, Default)]
pub(in crate::store) struct Known {
    pub(in crate::store) keys: HashMap<KeyId, ExportedKey>,
    pub(in crate::store) ids: HashMap<KeyDigest, KeyId>,
}

impl Known {
    /// Those of the keys that are new, and the ids of those that stay as they are known: an owner, a ban or a past is the
    /// last word. What is there already as it comes is neither.
    pub(in crate::store) fn sort<'a>(&self, coming: &'a [ExportedKey]) -> (Vec<&'a ExportedKey>, Vec<KeyId>) {
        let (mut taken, mut kept) = (Vec::<&ExportedKey>::new(), Vec::new());
        // A file may hold a key twice.
        let (mut here, mut ids): (HashMap<_, _>, _) = (self.keys.iter().collect(), self.ids.clone());
        for key in coming {
            let by_digest = ids.get(&key.key.digest).filter(|id| **id != key.id);
            let known: Vec<_> =
                [Some(&key.id), by_digest].into_iter().flatten().filter_map(|id| here.get(id)).collect();
            match known[..] {
                [] => {
                    here.insert(&key.id, key);
                    ids.insert(key.key.digest, key.id);
                    taken.push(key);
                }
                [known] if is_same(key, known) => {}
                _ => kept.push(key.id),
            }
        }
        (taken, kept)
    }
}

/// A row that was re-keyed since is the same row still.
fn is_same(coming: &ExportedKey, known: &ExportedKey) -> bool {
    let rekeyed = known.key.pepper != coming.key.pepper;
    coming.id == known.id
        && (rekeyed || known.key.digest == coming.key.digest)
        && coming.facts == known.facts
        && coming.note == known.note
        && coming.restored_at == known.restored_at
        && coming.archive == known.archive
}

/// The row's name here, which is the one that it had.
pub(in crate::store) fn identity(key: &ExportedKey) -> KeyIdentity {
    KeyIdentity { id: key.id, fingerprint: key.key.clone() }
}

/// What there is to write of a key that is new; its times of use come beside it.
pub(in crate::store) fn writes(key: &ExportedKey) -> Vec<Write> {
    let ExportedKey { facts: KeyFacts { binding, ban, candidates }, restored_at, note, archive, .. } = key;
    let mut writes = Vec::new();
    writes.extend(binding.clone().map(Write::Bind));
    writes.extend(restored_at.map(Write::Restored));
    writes.extend(note.clone().map(|note| Write::Note(Some(note))));
    writes.extend(ban.clone().map(Write::Ban));
    writes.extend(candidates.iter().copied().map(Write::Observed));
    writes.extend(archive.iter().cloned().map(Write::Archived));
    writes
}

/// What the keys are under.
pub(in crate::store) fn peppers<'a>(keys: &[&'a ExportedKey]) -> HashSet<&'a PepperId> {
    keys.iter().map(|key| &key.key.pepper).collect()
}

/// When the keys were used, of those that were.
pub(in crate::store) fn uses(keys: &[&ExportedKey]) -> Vec<Use> {
    let uses = keys.iter().map(|key| Use { key: key.id, used_at: key.used_at, refused_at: key.refused_at });
    uses.filter(|it| it.used_at.is_some() || it.refused_at.is_some()).collect()
}

/// What the store has to learn of a pepper before a row is under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Learn {
    /// Nothing: rows may be under it.
    Nothing,
    /// Its name and this check value.
    Recorded([u8; 32]),
    /// That it is needed again.
    NotRetired,
}

pub(in crate::store) fn learn(
    id: &PepperId,
    known: Option<&StoredPepper>,
    listed: &[KnownPepper],
) -> Result<Learn, StoreError> {
    let listed = listed.iter().find(|listed| listed.id == *id);
    let Some(KnownPepper { check_value, .. }) = listed else {
        return Err(StoreError::Corrupt(format!("peppers: an imported key is under {id}, which is not listed")));
    };
    match known {
        None => Ok(Learn::Recorded(*check_value)),
        Some(known) if known.check_value != *check_value => {
            Err(StoreError::Corrupt(format!("peppers.check_value: {id} is another secret's name")))
        }
        Some(known) if known.retired => Ok(Learn::NotRetired),
        Some(_) => Ok(Learn::Nothing),
    }
}

/// Tells of all keys that were taken in; nothing where there was none.
pub(in crate::store) fn imported(taken: &[&ExportedKey], kept: usize, actor: &str, now: Timestamp) -> Option<Record> {
    if taken.is_empty() {
        return None;
    }
    let of = |has: fn(&ExportedKey) -> bool| taken.iter().filter(|key| has(key)).count();
    let detail = format!(
        "{} keys: {} bindings, {} bans, {} observed, {} archived; {kept} known otherwise were left alone",
        taken.len(),
        of(|key| key.facts.binding.is_some()),
        of(|key| key.facts.ban.is_some()),
        of(|key| !key.facts.candidates.is_empty()),
        of(|key| !key.archive.is_empty()),
    );
    let record = Record::new(EventKind::Imported, now);
    Some(Record { actor: Some(actor.to_owned()), detail: Some(detail), ..record })
}

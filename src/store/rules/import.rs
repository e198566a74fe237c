//! The rules of imports.

use std::collections::{HashMap, HashSet};

use super::{KeyIdentity, Write, rotation::StoredPepper};
use crate::{
    domain::{
        KeyDigest, KeyFacts, KeyId, PepperId, Timestamp,
        event::{EventKind, Record},
    },
    store::{ExportedKey, KnownPepper, StoreError, Use, rotation::counted},
};

/// The keys that the store knows under the ids and digests of imported keys.
#[derive(Debug, Default)]
pub(in crate::store) struct Known {
    pub(in crate::store) keys: HashMap<KeyId, ExportedKey>,
    pub(in crate::store) ids: HashMap<KeyDigest, KeyId>,
}

impl Known {
    /// Returns the keys that are new, and the ids of the known keys that differ from what the store has, which stay
    /// unchanged: an existing owner, ban or history takes precedence. A key that is known with the same content is in
    /// neither list.
    pub(in crate::store) fn sort<'a>(&self, coming: &'a [ExportedKey]) -> (Vec<&'a ExportedKey>, Vec<KeyId>) {
        let (mut taken, mut kept) = (Vec::<&ExportedKey>::new(), Vec::new());
        // A file may contain a key twice.
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

/// A row that was re-keyed since is still the same row.
fn is_same(coming: &ExportedKey, known: &ExportedKey) -> bool {
    let rekeyed = known.key.pepper != coming.key.pepper;
    coming.id == known.id
        && (rekeyed || known.key.digest == coming.key.digest)
        && coming.facts == known.facts
        && coming.note == known.note
        && coming.restored_at == known.restored_at
        && coming.archive == known.archive
}

/// The identity of the row, which it keeps.
pub(in crate::store) fn identity(key: &ExportedKey) -> KeyIdentity {
    KeyIdentity { id: key.id, fingerprint: key.key.clone() }
}

/// Returns the writes of a new key; its times of use are written separately.
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

/// The peppers of the keys.
pub(in crate::store) fn peppers<'a>(keys: &[&'a ExportedKey]) -> HashSet<&'a PepperId> {
    keys.iter().map(|key| &key.key.pepper).collect()
}

/// The times at which the keys were last used and denied. A key with neither is left out.
pub(in crate::store) fn uses(keys: &[&ExportedKey]) -> Vec<Use> {
    let uses = keys.iter().map(|key| Use { key: key.id, used_at: key.used_at, refused_at: key.refused_at });
    uses.filter(|it| it.used_at.is_some() || it.refused_at.is_some()).collect()
}

/// What the store must write about a pepper before it writes rows under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum PepperUpdate {
    /// Nothing: the store knows the pepper, and it is not retired.
    None,
    /// A new row for the pepper, with this check value.
    Insert([u8; 32]),
    /// The pepper is not retired any more.
    Unretire,
}

pub(in crate::store) fn pepper_update(
    id: &PepperId,
    known: Option<&StoredPepper>,
    listed: &[KnownPepper],
) -> Result<PepperUpdate, StoreError> {
    let listed = listed.iter().find(|listed| listed.id == *id);
    let Some(KnownPepper { check_value, .. }) = listed else {
        return Err(StoreError::Corrupt(format!("peppers: an imported key is under pepper {id}, which is not listed")));
    };
    match known {
        None => Ok(PepperUpdate::Insert(*check_value)),
        Some(known) if known.check_value != *check_value => {
            Err(StoreError::Corrupt(format!("peppers.check_value: the store knows another secret with the id {id}")))
        }
        Some(known) if known.retired => Ok(PepperUpdate::Unretire),
        Some(_) => Ok(PepperUpdate::None),
    }
}

/// The audit record of the import; `None` if no key was imported.
pub(in crate::store) fn imported(taken: &[&ExportedKey], kept: usize, actor: &str, now: Timestamp) -> Option<Record> {
    if taken.is_empty() {
        return None;
    }
    let of = |has: fn(&ExportedKey) -> bool| taken.iter().filter(|key| has(key)).count() as u64;
    let detail = format!(
        "{}: {}, {}, {} observed, {} archived; {kept} skipped, because the store has different data for the same key",
        counted(taken.len() as u64, "key"),
        counted(of(|key| key.facts.binding.is_some()), "binding"),
        counted(of(|key| key.facts.ban.is_some()), "ban"),
        of(|key| !key.facts.candidates.is_empty()),
        of(|key| !key.archive.is_empty()),
    );
    let record = Record::new(EventKind::Imported, now);
    Some(Record { actor: Some(actor.to_owned()), detail: Some(detail), ..record })
}

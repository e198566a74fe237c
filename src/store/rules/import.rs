//! What becomes of a key that comes from another store.

use super::{Named, Write, rotation::Known};
use crate::{
    domain::{
        KeyFacts, PepperId, Timestamp,
        event::{EventKind, Record},
    },
    store::{ExportedKey, KnownPepper, StoreError, Use},
};

/// What a key that comes is to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Verdict {
    /// Nothing is known of it.
    New,
    /// All of it is there.
    Same,
    /// It has an owner here, a ban or a past: that is the last word.
    Kept,
}

/// Judges `coming` by all that is `known` under its id or its digest.
pub(in crate::store) fn judge(coming: &ExportedKey, known: &[&ExportedKey]) -> Verdict {
    match known {
        [] => Verdict::New,
        [known] if is_same(coming, known) => Verdict::Same,
        _ => Verdict::Kept,
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
pub(in crate::store) fn named(key: &ExportedKey) -> Named {
    Named { id: key.id, fingerprint: key.key.clone() }
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
    known: Option<&Known>,
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

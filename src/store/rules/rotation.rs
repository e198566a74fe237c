//! The rules of pepper rotations, and their audit records.

use super::describe_networks;
use crate::{
    domain::{
        KeyFacts, KeyId, PepperId, Peppers, Timestamp,
        event::{EventKind, Record},
    },
    store::{KnownPepper, PepperMismatch, PepperRow, PepperUsage, Refusal},
};

/// A pepper in the store.
pub(in crate::store) struct StoredPepper {
    pub(in crate::store) check_value: [u8; 32],
    pub(in crate::store) active: bool,
    pub(in crate::store) retired: bool,
}

/// Checks whether a process that lists `given` may use a store with these peppers. Without one of them, its keys would
/// look new, and its bans, also those of archived keys, would not apply.
pub(in crate::store) fn may_start(
    active: &KnownPepper,
    known: &[PepperRow],
    given: &Peppers,
) -> Result<(), PepperMismatch> {
    if given.find(&active.id).is_none_or(|found| *found.check_value() != active.check_value) {
        return Err(PepperMismatch::Wrong { recorded: active.id.clone(), given: given.names() });
    }
    match known.iter().find(|known| known.usage != PepperUsage::default() && given.find(&known.id).is_none()) {
        Some(missing) => Err(PepperMismatch::Missing { missing: missing.id.clone(), usage: missing.usage }),
        None => Ok(()),
    }
}

/// Whether `id` may be activated in place of `before`.
pub(in crate::store) fn may_activate(
    id: &PepperId,
    check_value: &[u8; 32],
    known: Option<&StoredPepper>,
    before: &PepperId,
) -> Result<(), Refusal> {
    if known.is_some_and(|known| known.check_value != *check_value) {
        return Err(Refusal::AnotherSecret(id.clone()));
    }
    if before == id {
        return Err(Refusal::AlreadyActive(before.clone()));
    }
    Ok(())
}

/// Whether `id` may be retired with this much under it.
pub(in crate::store) fn may_retire(
    id: &PepperId,
    known: Option<&StoredPepper>,
    usage: PepperUsage,
    forget: bool,
) -> Result<(), Refusal> {
    match known {
        None => Err(Refusal::UnknownPepper(id.clone())),
        Some(known) if known.active => Err(Refusal::ActivePepper(id.clone())),
        Some(known) if known.retired => Err(Refusal::AlreadyRetired(id.clone())),
        Some(_) if usage.is_needed() && !forget => Err(Refusal::StillInUse(id.clone(), usage)),
        Some(_) => Ok(()),
    }
}

pub(in crate::store) fn activated(before: &PepperId, id: &PepperId, actor: &str, now: Timestamp) -> Record {
    record(EventKind::PepperActivated, None, format!("pepper {before} -> {id}"), actor, now)
}

pub(in crate::store) fn retired(id: &PepperId, usage: PepperUsage, actor: &str, now: Timestamp) -> Record {
    let detail = format!("pepper {id}; archived rows deleted: {}", usage.archived);
    record(EventKind::PepperRetired, None, detail, actor, now)
}

pub(in crate::store) fn forgotten(id: &PepperId, key: KeyId, facts: &KeyFacts, actor: &str, now: Timestamp) -> Record {
    let detail = format!("pepper {id} retired; {}", describe(facts));
    record(EventKind::Forgotten, Some(key), detail, actor, now)
}

fn describe(KeyFacts { binding, ban, candidates }: &KeyFacts) -> String {
    let networks = binding.as_ref().map(|binding| format!("networks {}", describe_networks(&binding.networks)));
    let ban = ban.as_ref().map(|ban| match ban.until {
        Some(until) => format!("banned until {until}"),
        None => "banned indefinitely".to_owned(),
    });
    let seen: Vec<_> = candidates.iter().map(|candidate| candidate.network).collect();
    let seen = (!seen.is_empty()).then(|| format!("observed {}", describe_networks(&seen)));
    [networks, ban, seen].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn record(kind: EventKind, key_id: Option<KeyId>, detail: String, actor: &str, now: Timestamp) -> Record {
    Record { key_id, actor: Some(actor.to_owned()), detail: Some(detail), ..Record::new(kind, now) }
}

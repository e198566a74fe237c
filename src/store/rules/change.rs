//! The rules of changes: what each change does to a key, its audit record, and its undo.

use super::{KeyIdentity, Write, describe_networks};
use crate::{
    domain::{
        Ban, Binding, Fingerprint, KeyFacts, Network, State, Timestamp,
        event::{Delta, EventKind, Part, Record, Transition},
    },
    store::{Action, RecordId, Refusal},
};

/// The key to change, and its state.
pub(in crate::store) struct Subject<'a> {
    pub(in crate::store) key: &'a KeyIdentity,
    pub(in crate::store) before: &'a KeyFacts,
    /// The note of its binding.
    pub(in crate::store) note: Option<String>,
    pub(in crate::store) actor: &'a str,
    pub(in crate::store) now: Timestamp,
}

/// A planned change: what to write, and its audit record.
pub(in crate::store) struct Planned {
    pub(in crate::store) writes: Vec<Write>,
    kind: EventKind,
    detail: String,
    part: Part,
}

impl Planned {
    /// Returns the audit record, which must be stored with the writes.
    pub(in crate::store) fn record(&self, subject: &Subject<'_>) -> Record {
        Record {
            key_id: Some(subject.key.id),
            actor: Some(subject.actor.to_owned()),
            detail: Some(self.detail.clone()),
            delta: Some(Box::new(Delta { key: subject.key.fingerprint.clone(), part: self.part.clone() })),
            ..Record::new(self.kind, subject.now)
        }
    }
}

/// Returns the identity of a key that the store does not know. An operator may set, claim or ban such a key.
pub(in crate::store) fn new_key(action: &Action, key: &Fingerprint) -> Result<KeyIdentity, Refusal> {
    match action {
        Action::Ban { .. } | Action::Set(_) | Action::Claim(_) => {
            let fingerprint = Fingerprint { others: Vec::new(), ..key.clone() };
            Ok(KeyIdentity { id: key.digest.new_id(), fingerprint })
        }
        _ => Err(Refusal::NotFound),
    }
}

pub(in crate::store) fn plan(subject: &Subject<'_>, action: &Action) -> Result<Planned, Refusal> {
    let Subject { key, before, now, .. } = *subject;
    let bound = || before.binding.as_ref().ok_or(Refusal::NotBound(key.id));
    match action {
        Action::Set(networks) => Ok(subject.pin(EventKind::Set, networks)),
        Action::Claim(_) if before.binding_at(now).is_some() => Err(Refusal::AlreadyBound(key.id)),
        Action::Claim(networks) => Ok(subject.pin(EventKind::Claim, networks)),
        Action::Promote => subject.promote(),
        Action::Note(note) => bound().map(|_| subject.note(EventKind::Note, note.clone())),
        Action::Reserve => bound().map(|_| subject.pin(EventKind::Unbind, &[])),
        Action::HandOver(network) => bound().map(|_| subject.pin(EventKind::Unbind, std::slice::from_ref(network))),
        Action::Open => bound().map(|_| subject.bind(EventKind::Unbind, None)),
        Action::Ban { lasting, reason } => {
            let ban = Ban {
                id: key.id,
                hint: key.fingerprint.hint.clone(),
                until: lasting.map(|lasting| now.after(lasting)),
                reason: reason.clone(),
                actor: subject.actor.to_owned(),
                created_at: now,
            };
            Ok(subject.ban(EventKind::Ban, Some(ban)))
        }
        Action::Unban => {
            before.ban.as_ref().ok_or(Refusal::NotBanned(key.id))?;
            Ok(subject.ban(EventKind::Unban, None))
        }
    }
}

/// Restores the state of `part` before the change, if its result is still in place; returns `None` if it was changed
/// since.
pub(in crate::store) fn undo(subject: &Subject<'_>, record: RecordId, part: &Part) -> Result<Option<Planned>, Refusal> {
    let Subject { key, before: is, now, .. } = subject;
    let planned = match part {
        Part::Binding(Transition { before, after }) => same_owner(is.binding.as_ref(), after.as_ref()).then(|| {
            let mut planned = subject.bind(EventKind::Undo, before.clone());
            if before.is_some() {
                planned.writes.push(Write::Restored(*now));
            }
            planned
        }),
        Part::Ban(Transition { before, after }) => {
            same_ban(is.ban.as_ref(), after.as_ref()).then(|| subject.ban(EventKind::Undo, before.clone()))
        }
        Part::Note(_) if is.binding.is_none() => return Err(Refusal::NotBound(key.id)),
        Part::Note(Transition { before, after }) => {
            (subject.note == *after).then(|| subject.note(EventKind::Undo, before.clone()))
        }
    };
    Ok(planned.map(|planned| Planned { detail: format!("record {}: {}", record.0, planned.detail), ..planned }))
}

/// Returns the audit record of an archived binding; the caller stores its networks in the archive.
pub(in crate::store) fn archived(key: &KeyIdentity, binding: Binding, now: Timestamp) -> Record {
    Record {
        key_id: Some(key.id),
        detail: Some(format!("networks {} -> open to the next first use", describe_networks(&binding.networks))),
        delta: Some(Box::new(Delta {
            key: key.fingerprint.clone(),
            part: Part::Binding(Transition { before: Some(binding), after: None }),
        })),
        ..Record::new(EventKind::Archived, now)
    }
}

/// A learn window that was closed meanwhile does not change the owner.
fn same_owner(one: Option<&Binding>, other: Option<&Binding>) -> bool {
    let essence = |binding: &Binding| (binding.state, binding.networks.clone(), binding.created_at);
    one.map(essence) == other.map(essence)
}

fn same_ban(one: Option<&Ban>, other: Option<&Ban>) -> bool {
    let essence = |ban: &Ban| (ban.until, ban.reason.clone(), ban.created_at);
    one.map(essence) == other.map(essence)
}

impl Subject<'_> {
    fn pin(&self, kind: EventKind, networks: &[Network]) -> Planned {
        let mut networks = networks.to_vec();
        networks.sort_by_key(ToString::to_string);
        networks.dedup();
        let known = self.before.binding.as_ref();
        let binding = Binding {
            id: self.key.id,
            hint: known.map_or_else(|| self.key.fingerprint.hint.clone(), |known| known.hint.clone()),
            state: State::Pinned,
            networks,
            created_at: known.map_or(self.now, |known| known.created_at),
            open_until: None,
            expires_at: None,
        };
        self.bind(kind, Some(binding))
    }

    fn promote(&self) -> Result<Planned, Refusal> {
        let candidates: Vec<_> = self.before.candidates.iter().map(|candidate| candidate.network).collect();
        if candidates.is_empty() || self.before.binding_at(self.now).is_some() {
            return Err(Refusal::NothingToPromote(self.key.id));
        }
        let owner = self.before.only_candidate();
        let binding = Binding {
            id: self.key.id,
            hint: self.key.fingerprint.hint.clone(),
            state: if owner.is_some() { State::Learned } else { State::Pinned },
            networks: owner.into_iter().collect(),
            created_at: self.now,
            open_until: None,
            expires_at: None,
        };
        let planned = self.bind(EventKind::Promote, Some(binding));
        Ok(Planned { detail: format!("observed {}; {}", describe_networks(&candidates), planned.detail), ..planned })
    }

    fn bind(&self, kind: EventKind, after: Option<Binding>) -> Planned {
        let before = self.before.binding.clone();
        let mut writes = vec![after.clone().map_or(Write::Unbind, Write::Bind)];
        if after.is_some() && !self.before.candidates.is_empty() {
            writes.push(Write::ForgetCandidates);
        }
        let was = before.as_ref().map_or_else(|| "none".to_owned(), |binding| describe_networks(&binding.networks));
        let is = match &after {
            Some(binding) => describe_networks(&binding.networks),
            None => "open to the next first use".to_owned(),
        };
        let part = Part::Binding(Transition { before, after });
        Planned { writes, kind, detail: format!("networks {was} -> {is}"), part }
    }

    fn ban(&self, kind: EventKind, after: Option<Ban>) -> Planned {
        let before = self.before.ban.clone();
        let was = before.as_ref().map_or_else(|| "not banned".to_owned(), |ban| format!("banned {}", term(ban)));
        let detail = match &after {
            Some(ban) => format!("{}, was {was}", term(ban)),
            None => format!("was {was}"),
        };
        let writes = vec![after.clone().map_or(Write::Unban, Write::Ban)];
        Planned { writes, kind, detail, part: Part::Ban(Transition { before, after }) }
    }

    fn note(&self, kind: EventKind, after: Option<String>) -> Planned {
        let before = self.note.clone();
        let words = |note: &Option<String>| note.as_ref().map_or_else(|| "none".to_owned(), |text| format!("{text:?}"));
        let detail = format!("note {} -> {}", words(&before), words(&after));
        Planned {
            writes: vec![Write::Note(after.clone())],
            kind,
            detail,
            part: Part::Note(Transition { before, after }),
        }
    }
}

/// The duration and the reason of a ban, in words.
fn term(ban: &Ban) -> String {
    let end = ban.until.map_or_else(|| "indefinitely".to_owned(), |until| format!("until {until}"));
    match &ban.reason {
        Some(reason) => format!("{end} ({reason})"),
        None => end,
    }
}

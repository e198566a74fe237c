//! What each change does to the rows, and how it is told and undone.

use rusqlite::{Connection, OptionalExtension, params};

use super::{audit, names::Named, owner, rows::in_words};
use crate::{
    domain::{
        Ban, Binding, KeyFacts, Network, State, Timestamp,
        event::{EventKind, Part, Touched},
    },
    store::{Action, ChangeError, RecordId, Refusal, StoreError},
};

/// A key about to be changed.
pub(super) struct Subject<'a> {
    pub(super) conn: &'a Connection,
    pub(super) key: &'a Named,
    pub(super) before: &'a KeyFacts,
    pub(super) actor: &'a str,
    pub(super) now: Timestamp,
}

/// A change, for the audit.
pub(super) struct Done {
    pub(super) kind: EventKind,
    pub(super) detail: String,
    pub(super) part: Part,
}

pub(super) fn perform(subject: &Subject<'_>, action: &Action) -> Result<Done, ChangeError> {
    let Subject { key, before, now, .. } = *subject;
    let bound = || before.binding.as_ref().ok_or(Refusal::NotBound(key.id));
    match action {
        Action::Set(networks) => subject.pin(EventKind::Set, networks),
        Action::Claim(_) if before.binding_at(now).is_some() => Err(Refusal::AlreadyBound(key.id).into()),
        Action::Claim(networks) => subject.pin(EventKind::Claim, networks),
        Action::Promote => subject.promote(),
        Action::Note(note) => {
            bound()?;
            subject.note(EventKind::Note, note.clone())
        }
        Action::Reserve => {
            bound()?;
            subject.pin(EventKind::Unbind, &[])
        }
        Action::HandOver(network) => {
            bound()?;
            subject.pin(EventKind::Unbind, std::slice::from_ref(network))
        }
        Action::Open => {
            bound()?;
            subject.bind(EventKind::Unbind, None)
        }
        Action::Ban { lasting, reason } => {
            let ban = Ban {
                id: key.id,
                hint: key.fingerprint.hint.clone(),
                until: lasting.map(|lasting| now.after(lasting)),
                reason: reason.clone(),
                actor: subject.actor.to_owned(),
                created_at: now,
            };
            subject.ban(EventKind::Ban, Some(ban))
        }
        Action::Unban => {
            before.ban.as_ref().ok_or(Refusal::NotBanned(key.id))?;
            subject.ban(EventKind::Unban, None)
        }
    }
}

/// Makes `part` what it was before, if it is still what it became.
pub(super) fn undo(subject: &Subject<'_>, record: RecordId, part: &Part) -> Result<Done, ChangeError> {
    let Subject { key, before: now_there, .. } = subject;
    let done = match part {
        Part::Binding(Touched { before, after }) => {
            let alike = same_owner(now_there.binding.as_ref(), after.as_ref());
            alike.then(|| {
                let done = subject.bind(EventKind::Undo, before.clone())?;
                owner::restored(subject.conn, key.id, subject.now)?;
                Ok(done)
            })
        }
        Part::Ban(Touched { before, after }) => {
            let alike = same_ban(now_there.ban.as_ref(), after.as_ref());
            alike.then(|| subject.ban(EventKind::Undo, before.clone()))
        }
        Part::Note(_) if now_there.binding.is_none() => return Err(Refusal::NotBound(key.id).into()),
        Part::Note(Touched { before, after }) => {
            (subject.noted()? == *after).then(|| subject.note(EventKind::Undo, before.clone()))
        }
    };
    let Some(done) = done else {
        return Err(Refusal::ChangedSince(key.id, audit::later(subject.conn, record, key.id, part)?).into());
    };
    let done = done?;
    Ok(Done { detail: format!("record {}: {}", record.0, done.detail), ..done })
}

/// A window that closed meanwhile is no change of owner.
fn same_owner(one: Option<&Binding>, other: Option<&Binding>) -> bool {
    let essence = |binding: &Binding| (binding.state, binding.networks.clone(), binding.created_at);
    one.map(essence) == other.map(essence)
}

fn same_ban(one: Option<&Ban>, other: Option<&Ban>) -> bool {
    let essence = |ban: &Ban| (ban.until, ban.reason.clone(), ban.created_at);
    one.map(essence) == other.map(essence)
}

impl Subject<'_> {
    fn pin(&self, kind: EventKind, networks: &[Network]) -> Result<Done, ChangeError> {
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

    fn promote(&self) -> Result<Done, ChangeError> {
        let candidates: Vec<_> = self.before.candidates.iter().map(|candidate| candidate.network).collect();
        if candidates.is_empty() || self.before.binding_at(self.now).is_some() {
            return Err(Refusal::NothingToPromote(self.key.id).into());
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
        let done = self.bind(EventKind::Promote, Some(binding))?;
        Ok(Done { detail: format!("observed {}; {}", in_words(&candidates), done.detail), ..done })
    }

    fn bind(&self, kind: EventKind, after: Option<Binding>) -> Result<Done, ChangeError> {
        let before = self.before.binding.clone();
        match &after {
            Some(binding) => owner::put(self.conn, self.key, binding)?,
            None => owner::remove(self.conn, self.key.id)?,
        }
        if after.is_some() && !self.before.candidates.is_empty() {
            owner::forget_candidates(self.conn, self.key.id)?;
        }
        let was = before.as_ref().map_or_else(|| "nobody's".to_owned(), |binding| in_words(&binding.networks));
        let is = match &after {
            Some(binding) => in_words(&binding.networks),
            None => "open to the next first use".to_owned(),
        };
        let part = Part::Binding(Touched { before, after });
        Ok(Done { kind, detail: format!("networks {was} -> {is}"), part })
    }

    fn ban(&self, kind: EventKind, after: Option<Ban>) -> Result<Done, ChangeError> {
        let before = self.before.ban.clone();
        match &after {
            Some(ban) => put_ban(self.conn, self.key, ban)?,
            None => {
                self.conn.prepare_cached("DELETE FROM bans WHERE key_id = ?1")?.execute([self.key.id.to_string()])?;
            }
        }
        let was = before.as_ref().map_or_else(|| "not banned".to_owned(), |ban| format!("banned {}", term(ban)));
        let detail = match &after {
            Some(ban) => format!("{}, was {was}", term(ban)),
            None => format!("was {was}"),
        };
        Ok(Done { kind, detail, part: Part::Ban(Touched { before, after }) })
    }

    fn noted(&self) -> Result<Option<String>, StoreError> {
        let sql = "SELECT note FROM bindings WHERE key_id = ?1";
        let found = self.conn.prepare_cached(sql)?.query_row([self.key.id.to_string()], |row| row.get(0));
        Ok(found.optional()?.flatten())
    }

    fn note(&self, kind: EventKind, after: Option<String>) -> Result<Done, ChangeError> {
        let before = self.noted()?;
        self.conn
            .prepare_cached("UPDATE bindings SET note = ?2 WHERE key_id = ?1")?
            .execute((self.key.id.to_string(), &after))?;
        let words = |note: &Option<String>| note.as_ref().map_or_else(|| "none".to_owned(), |text| format!("{text:?}"));
        let detail = format!("note {} -> {}", words(&before), words(&after));
        Ok(Done { kind, detail, part: Part::Note(Touched { before, after }) })
    }
}

fn put_ban(conn: &Connection, key: &Named, ban: &Ban) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO bans (key_id, digest, pepper, realm, hint, until, reason, actor, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (key_id) DO UPDATE SET until = excluded.until, reason = excluded.reason,
             actor = excluded.actor, created_at = excluded.created_at",
    )?
    .execute(params![
        key.id.to_string(),
        key.fingerprint.digest.as_bytes(),
        key.fingerprint.pepper.as_str(),
        key.fingerprint.realm,
        ban.hint.as_ref().map(|hint| hint.as_str()),
        ban.until.map(Timestamp::as_millis),
        ban.reason,
        ban.actor,
        ban.created_at.as_millis(),
    ])?;
    Ok(())
}

/// How long and why, in words.
fn term(ban: &Ban) -> String {
    let end = ban.until.map_or_else(|| "for ever".to_owned(), |until| format!("until {until}"));
    match &ban.reason {
        Some(reason) => format!("{end} ({reason})"),
        None => end,
    }
}

//! What becomes of a key: the rules of claims, of operators' changes, of rotations and of moves, without a database.
//!
//! A backend reads what is known of a key, under whatever lock makes that the last word; a rule here says what is to be
//! written and told; the backend writes it in the same transaction. So no two backends can judge differently, and what
//! a backend has to get right is its locks and its SQL.

pub(super) mod change;
pub(super) mod claim;
pub(super) mod import;
pub(super) mod rotation;

use std::time::Duration;

use super::{ArchivedBinding, ExportedKey, KeyRow, Refusal, RefusedNetwork, Revision};
use crate::domain::{Ban, Binding, Candidate, Fingerprint, KeyDigest, KeyId, Network, Timestamp};

/// How much of the change log is kept. A cache may trust a fact for 24 h if it knows every change since; an hour more for
/// clocks that differ.
pub(super) const LOG_RETENTION: Duration = Duration::from_hours(25);

/// The most changes of one poll: what a cache's window has room for. One more is read, to know whether there are more.
pub(super) const MAX_CHANGES: usize = 100_000;

/// How far back refusals are reported.
pub(super) const DENIALS_WINDOW: Duration = Duration::from_hours(24);

/// The most networks that a change reports as refused.
pub(super) const MAX_DENIED_NETWORKS: usize = 20;

/// The most later changes that a refused undo names.
pub(super) const MAX_LATER: usize = 10;

/// The most keys that an ambiguous name lists.
pub(super) const MAX_AMBIGUOUS: i64 = 20;

/// How long a silent spool is remembered, a year: a directory that comes back after months must not deliver again what it
/// has delivered.
pub(super) const SPOOL_RETENTION: Duration = Duration::from_hours(365 * 24);

/// A key with everything that a new row copies of it.
#[derive(Clone, Debug)]
pub(super) struct KeyIdentity {
    pub(super) id: KeyId,
    pub(super) fingerprint: Fingerprint,
}

/// One step of what a rule has decided for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// This is the key's binding, whatever was there. What the key was used for and the note stay with the row.
    Bind(Binding),
    /// The key has no binding, and nothing that belongs to one.
    Unbind,
    /// One more network owns the key.
    Join(Network),
    /// Nobody joins any more.
    Seal,
    /// An operator brought the binding back: as good as a use, or the archive would take it again.
    Restored(Timestamp),
    /// This is the binding's note.
    Note(Option<String>),
    /// This is the key's ban, whatever was there.
    Ban(Ban),
    /// The key is not banned.
    Unban,
    /// One more network used the key in observe mode.
    Observed(Candidate),
    /// A binding that was archived elsewhere.
    Archived(ArchivedBinding),
    /// What observe mode saw of a key that has an owner now.
    ForgetCandidates,
}

/// The networks of a binding in the words of the audit.
pub(super) fn describe_networks(networks: &[Network]) -> String {
    match networks {
        [] => "reserved".to_owned(),
        _ => networks.iter().map(Network::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// The one key that is found by the beginning of its id, of which no more than [`MAX_AMBIGUOUS`] are looked for.
pub(super) fn only(ids: Vec<KeyId>) -> Result<KeyId, Refusal> {
    match ids[..] {
        [] => Err(Refusal::NotFound),
        [id] => Ok(id),
        _ => Err(Refusal::Ambiguous(ids)),
    }
}

/// The key with those of the networks it was `refused` to that enforcing would refuse, if there is one. What was refused
/// under a ban binds in every mode, and what its owners cover by now will not be refused.
pub(super) fn would_deny(known: ExportedKey, mut refused: Vec<RefusedNetwork>, now: Timestamp) -> Option<KeyRow> {
    let banned = known.facts.ban.as_ref().is_some_and(|ban| ban.in_force(now));
    let binding = known.facts.binding_at(now).filter(|_| !banned)?;
    refused.retain(|it| it.would_deny > 0 && !binding.networks.iter().any(|owner| owner.covers(it.network)));
    refused.truncate(MAX_DENIED_NETWORKS);
    (!refused.is_empty()).then(|| KeyRow { refused, ..known.into() })
}

/// The changes after `first` in their order, from the newest first, because where there are too many these are the ones
/// to keep; and the revision after which they are complete.
pub(super) fn window(
    mut newest_first: Vec<(Revision, KeyDigest)>,
    first: Revision,
) -> (Vec<(Revision, KeyDigest)>, Revision) {
    let left_out = if newest_first.len() > MAX_CHANGES { newest_first.pop() } else { None };
    newest_first.reverse();
    (newest_first, left_out.map_or(first, |(revision, _)| revision))
}

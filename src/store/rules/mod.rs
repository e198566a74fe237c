//! The rules of claims, changes, rotations and imports, independent of the database.
//!
//! A backend reads the state of a key under a lock that keeps other writers out; a rule returns what to write and the
//! audit record; the backend writes both in the same transaction. So two backends cannot decide differently, and a
//! backend is responsible only for its locks and its SQL.

pub(super) mod change;
pub(super) mod claim;
pub(super) mod import;
pub(super) mod rotation;

use std::time::Duration;

use super::{ArchivedBinding, ExportedKey, KeyRow, Refusal, RefusedNetwork, Revision};
use crate::domain::{Ban, Binding, Candidate, Fingerprint, KeyDigest, KeyId, Network, Timestamp};

/// How long the change log is kept: caches may use a fact for 24 h if they know every change since, plus one hour for
/// clocks that differ.
pub(super) const LOG_RETENTION: Duration = Duration::from_hours(25);

/// The most changes of one poll: the size of the window of a cache. One more is read, to find out whether there are
/// more.
pub(super) const MAX_CHANGES: usize = 100_000;

/// How far back denials are reported.
pub(super) const DENIALS_WINDOW: Duration = Duration::from_hours(24);

/// The name of this replica among those of the store: new for each process, because what an earlier one has not written
/// is lost with it.
pub(super) fn replica_name() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// The most denied networks that a change reports.
pub(super) const MAX_DENIED_NETWORKS: usize = 20;

/// The most later changes that a refused undo names.
pub(super) const MAX_LATER: usize = 10;

/// The most keys that an ambiguous prefix lists.
pub(super) const MAX_AMBIGUOUS: i64 = 20;

/// How long a spool that delivers nothing is remembered: a directory that reappears after months must not deliver its
/// batches again.
pub(super) const SPOOL_RETENTION: Duration = Duration::from_hours(365 * 24);

/// The identity of a key: everything that a new row copies.
#[derive(Clone, Debug)]
pub(super) struct KeyIdentity {
    pub(super) id: KeyId,
    pub(super) fingerprint: Fingerprint,
}

/// One write that a rule has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// Replaces the binding of the key. Times of use and the note stay with the row.
    Bind(Binding),
    /// Deletes the binding and everything that belongs to it.
    Unbind,
    /// Adds a network to the owners.
    Join(Network),
    /// Seals the binding: no network can join.
    Seal,
    /// Records that an operator restored the binding. It counts as a use, or the archive would take the binding again.
    Restored(Timestamp),
    /// Replaces the note of the binding.
    Note(Option<String>),
    /// Replaces the ban of the key.
    Ban(Ban),
    /// Deletes the ban.
    Unban,
    /// Adds a candidate.
    Observed(Candidate),
    /// Adds an archived binding of another store.
    Archived(ArchivedBinding),
    /// Deletes the candidates of a key that has an owner now.
    ForgetCandidates,
}

/// The networks of a binding, as the audit shows them.
pub(super) fn describe_networks(networks: &[Network]) -> String {
    match networks {
        [] => "reserved".to_owned(),
        _ => networks.iter().map(Network::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// Returns the only id of a prefix search, which reads at most [`MAX_AMBIGUOUS`] ids.
pub(super) fn only(ids: Vec<KeyId>) -> Result<KeyId, Refusal> {
    match ids[..] {
        [] => Err(Refusal::NotFound),
        [id] => Ok(id),
        _ => Err(Refusal::Ambiguous(ids)),
    }
}

/// Returns the key with those of its `refused` networks that enforcing would deny, if there are any. Excludes denials
/// of a ban, which applies in every mode, and networks that an owner covers by now.
pub(super) fn would_deny(known: ExportedKey, mut refused: Vec<RefusedNetwork>, now: Timestamp) -> Option<KeyRow> {
    let banned = known.facts.ban.as_ref().is_some_and(|ban| ban.in_force(now));
    let binding = known.facts.binding_at(now).filter(|_| !banned)?;
    refused.retain(|it| it.would_deny > 0 && !binding.networks.iter().any(|owner| owner.covers(it.network)));
    refused.truncate(MAX_DENIED_NETWORKS);
    (!refused.is_empty()).then(|| KeyRow { refused, ..known.into() })
}

/// Returns the changes after `first` in ascending order, and the revision after which they are complete. They are read
/// newest first, because the newest are kept if there are too many.
pub(super) fn window(
    mut newest_first: Vec<(Revision, KeyDigest)>,
    first: Revision,
) -> (Vec<(Revision, KeyDigest)>, Revision) {
    let left_out = if newest_first.len() > MAX_CHANGES { newest_first.pop() } else { None };
    newest_first.reverse();
    (newest_first, left_out.map_or(first, |(revision, _)| revision))
}

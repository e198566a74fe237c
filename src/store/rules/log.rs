//! How much of the change log is kept and told.

use std::time::Duration;

use crate::{domain::KeyDigest, store::Revision};

/// A cache may trust a fact for 24 h if it knows every change since; an hour more for clocks that differ.
pub(in crate::store) const LOG_KEPT: Duration = Duration::from_hours(25);

/// The most changes of one poll: what a cache's window has room for. One more is read, to know whether there are more.
pub(in crate::store) const POLLED: usize = 100_000;

/// The changes after `first` in their order, from the newest first, because where there are too many these are the ones
/// to keep; and the revision after which they are complete.
pub(in crate::store) fn window(
    mut newest_first: Vec<(Revision, KeyDigest)>,
    first: Revision,
) -> (Vec<(Revision, KeyDigest)>, Revision) {
    let left_out = if newest_first.len() > POLLED { newest_first.pop() } else { None };
    newest_first.reverse();
    (newest_first, left_out.map_or(first, |(revision, _)| revision))
}

//! The rule that every cache follows: which facts are still valid.

use std::collections::{HashMap, VecDeque};

use crate::{
    domain::{KeyDigest, KeyDigests},
    store::{Changes, HistoryId, Revision},
};

/// The keys of the latest changes, and the revision after which they are complete.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Counts the resets. Revisions of two generations are not comparable, because a restored store assigns the same
    /// revisions again.
    pub(super) generation: u64,
    /// `None` before the first poll.
    pub(super) history: Option<HistoryId>,
    /// The revision of the last poll.
    pub(super) applied: Revision,
    floor: Revision,
    last_change: HashMap<KeyDigest, Revision>,
    order: VecDeque<(Revision, KeyDigest)>,
}

impl Window {
    /// Bounds the memory; a fact that is older than the window is a miss, never a risk. The age of the oldest change
    /// needs no bound: a longer window makes no fact valid that a shorter one would not.
    const MAX: usize = 100_000;

    /// Whether a fact that was read at `as_of` in this `generation` includes every change of its key. A change under
    /// any digest of the key is a change of the key.
    pub(super) fn covers(&self, key: &KeyDigests, generation: u64, as_of: Revision) -> bool {
        let unchanged = |digest: KeyDigest| self.last_change.get(&digest).is_none_or(|changed| *changed <= as_of);
        generation == self.generation && as_of >= self.floor && key.iter().all(unchanged)
    }

    /// Applies a poll. Returns `false` if it does not continue the last one: then nothing cached is valid, and the
    /// window starts again where the log does.
    pub(super) fn absorb(&mut self, changes: &Changes) -> bool {
        let continues = self.history.is_none_or(|history| history == changes.history)
            && (changes.complete_from..=changes.revision).contains(&self.applied);
        if !continues {
            *self = Self { generation: self.generation + 1, floor: changes.complete_from, ..Self::default() };
        }
        for (revision, key) in &changes.changed {
            self.record(*revision, *key);
        }
        (self.history, self.applied) = (Some(changes.history), changes.revision);
        continues
    }

    fn record(&mut self, revision: Revision, key: KeyDigest) {
        self.last_change.insert(key, revision);
        self.order.push_back((revision, key));
        while self.order.len() > Self::MAX {
            if let Some((oldest, key)) = self.order.pop_front() {
                self.floor = oldest;
                if self.last_change.get(&key) == Some(&oldest) {
                    self.last_change.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{PepperId, Timestamp};

    const A: KeyDigest = KeyDigest::from_bytes([1; 32]);
    const B: KeyDigest = KeyDigest::from_bytes([2; 32]);

    fn poll(complete_from: i64, revision: i64, changed: &[(i64, KeyDigest)]) -> Changes {
        Changes {
            now: Timestamp::from_millis(0),
            revision: Revision(revision),
            changed: changed.iter().map(|(revision, key)| (Revision(*revision), *key)).collect(),
            complete_from: Revision(complete_from),
            history: HistoryId(1),
            active_pepper: PepperId::from_stored(String::new()),
            other_peppers: Vec::new(),
        }
    }

    #[test]
    fn a_fact_is_covered_until_its_key_changes() {
        let mut window = Window::default();
        assert!(window.absorb(&poll(0, 5, &[(5, A)])));
        assert!(!window.covers(&A.into(), 0, Revision(4)));
        assert!(window.covers(&A.into(), 0, Revision(5)));
        assert!(window.covers(&B.into(), 0, Revision(0)));
        assert!(!window.covers(&KeyDigests::new(B, [A]), 0, Revision(4)), "by either of its digests it was changed");
    }

    #[test]
    fn a_window_that_the_log_has_left_behind_begins_anew_with_what_the_log_has() {
        let mut window = Window::default();
        window.absorb(&poll(0, 5, &[(5, A)]));
        assert!(!window.absorb(&poll(7, 9, &[(9, B)])));
        assert!(!window.covers(&A.into(), 1, Revision(6)), "what was changed up to the log's beginning is not known");
        assert!(window.covers(&A.into(), 1, Revision(7)) && !window.covers(&B.into(), 1, Revision(8)));
        assert!(!window.covers(&A.into(), 0, Revision(10)), "read before the restart");
        assert!(window.absorb(&poll(9, 9, &[])));
    }

    #[test]
    fn a_process_that_starts_trusts_what_the_log_covers() {
        let mut window = Window::default();
        assert!(!window.absorb(&poll(7, 9, &[(9, B)])));
        assert!(window.covers(&A.into(), window.generation, Revision(7)));
        assert!(!window.covers(&A.into(), window.generation, Revision(6)));
        assert!(!window.covers(&B.into(), window.generation, Revision(8)));
    }

    #[test]
    fn another_history_or_an_earlier_revision_begins_anew() {
        for restored in [poll(0, 4, &[(3, A)]), Changes { history: HistoryId(2), ..poll(5, 6, &[(6, A)]) }] {
            let mut window = Window::default();
            window.absorb(&poll(0, 5, &[(5, B)]));
            assert!(!window.absorb(&restored));
            assert!(!window.covers(&B.into(), 0, Revision(10)), "of another line of revisions");
            assert!(!window.covers(&A.into(), 1, Revision(2)) && window.covers(&B.into(), 1, Revision(5)));
        }
    }

    #[test]
    fn a_full_window_forgets_its_oldest_changes_and_with_them_older_facts() {
        let mut window = Window::default();
        for number in 0..=Window::MAX as i64 {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_ne_bytes());
            window.record(Revision(number + 1), KeyDigest::from_bytes(bytes));
        }
        assert_eq!(window.floor, Revision(1));
        assert_eq!(window.last_change.len(), Window::MAX);
        assert!(!window.covers(&A.into(), 0, Revision(0)));
        assert!(window.covers(&A.into(), 0, Revision(1)));
    }
}

//! The one rule that every cache of ours keeps: which facts still count.

use std::collections::{HashMap, VecDeque};

use crate::{
    domain::{KeyDigest, KeyDigests},
    store::Revision,
};

/// The keys of the latest changes, and from which revision on they are complete.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Counts the restarts: revisions of two generations are not comparable, since a restored store takes old ones anew.
    pub(super) generation: u64,
    floor: Revision,
    last_change: HashMap<KeyDigest, Revision>,
    order: VecDeque<(Revision, KeyDigest)>,
}

impl Window {
    /// Bounds the memory; an older fact is then a miss, never a risk.
    const MAX: usize = 100_000;

    /// Whether a fact that was read at `as_of` in this `generation` includes every change of its key.
    ///
    /// A change under any of its digests is one of the key.
    pub(super) fn covers(&self, key: &KeyDigests, generation: u64, as_of: Revision) -> bool {
        let unchanged = |digest: KeyDigest| self.last_change.get(&digest).is_none_or(|changed| *changed <= as_of);
        generation == self.generation && as_of >= self.floor && key.iter().all(unchanged)
    }

    /// Takes in one change.
    pub(super) fn record(&mut self, revision: Revision, key: KeyDigest) {
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

    /// Forgets all: nothing older than `floor` counts.
    pub(super) fn restart(&mut self, floor: Revision) {
        *self = Self { generation: self.generation + 1, floor, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: KeyDigest = KeyDigest::from_bytes([1; 32]);
    const B: KeyDigest = KeyDigest::from_bytes([2; 32]);

    #[test]
    fn a_fact_is_covered_until_its_key_changes_or_the_window_moves_past_it() {
        let mut window = Window::default();
        window.record(Revision(5), A);
        assert!(!window.covers(&A.into(), 0, Revision(4)));
        assert!(window.covers(&A.into(), 0, Revision(5)));
        assert!(window.covers(&B.into(), 0, Revision(0)));
        assert!(!window.covers(&KeyDigests::new(B, [A]), 0, Revision(4)), "by either of its digests it was changed");
        window.restart(Revision(9));
        assert!(!window.covers(&B.into(), 1, Revision(8)));
        assert!(window.covers(&A.into(), 1, Revision(9)));
        assert!(!window.covers(&A.into(), 0, Revision(10)), "read before the restart, of another line of revisions");
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

//! One cached key, and when it was last used.

use std::{
    ops::Deref,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use super::lock::locked;
use crate::{
    domain::Timestamp,
    store::{Reading, Use},
};

/// Where a fact was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// Read in the store by this process: the fact includes every claim up to the moment when the store was asked.
    Store,
    /// Read in Redis. Another process read it in the store, at most one TTL ago. It may lack later claims, most of
    /// which take no revision.
    SharedCache,
}

/// A fact, and when its key was last used since the last batch.
#[derive(Debug)]
pub struct Entry {
    reading: Reading,
    pub(super) source: Source,
    /// Milliseconds, or [`NEVER`].
    used: AtomicI64,
    refused: AtomicI64,
    /// Whether it is listed in [`Uses`].
    listed: AtomicBool,
}

const NEVER: i64 = i64::MIN;

/// Milliseconds by which a mark must be later than the previous one to be worth a write.
const MIN_STEP: i64 = 1000;

impl Entry {
    pub(super) fn from_store(reading: Reading) -> Self {
        Self::new(reading, Source::Store)
    }

    pub(super) fn from_shared_cache(reading: Reading) -> Self {
        Self::new(reading, Source::SharedCache)
    }

    fn new(reading: Reading, source: Source) -> Self {
        let (used, refused) = (AtomicI64::new(NEVER), AtomicI64::new(NEVER));
        Self { reading, source, used, refused, listed: AtomicBool::new(false) }
    }
}

impl Deref for Entry {
    type Target = Reading;

    fn deref(&self) -> &Reading {
        &self.reading
    }
}

/// The keys that were used since the last batch. Sharded into 16 lists, so that two requests rarely contend for one
/// lock; a key enters its list once a batch, not once a request.
#[derive(Debug, Default)]
pub(super) struct Uses([Mutex<Vec<Arc<Entry>>>; 16]);

impl Uses {
    /// The key of `entry` was used (`allowed`) or denied at `time`.
    pub(super) fn mark(&self, entry: &Arc<Entry>, allowed: bool, time: Timestamp) {
        let mark = if allowed { &entry.used } else { &entry.refused };
        let time = time.as_millis();
        if time.saturating_sub(mark.load(Ordering::Relaxed)) < MIN_STEP {
            return;
        }
        mark.store(time, Ordering::Relaxed);
        if !entry.listed.swap(true, Ordering::AcqRel) {
            let list = usize::from(entry.digest.as_bytes()[0]) % self.0.len();
            locked(&self.0[list]).push(Arc::clone(entry));
        }
    }

    /// Everything since the last call. Later marks belong to the next call.
    pub(super) fn take(&self) -> Vec<Use> {
        let lists = self.0.iter().map(|list| std::mem::take(&mut *locked(list)));
        lists.flatten().filter_map(|entry| entry.take()).collect()
    }
}

impl Entry {
    /// `None` without a binding: there is no row to write to.
    fn take(&self) -> Option<Use> {
        // Before the marks are read, so that a mark made after this enters the next batch.
        self.listed.store(false, Ordering::Release);
        let at = |mark: &AtomicI64| match mark.load(Ordering::Acquire) {
            NEVER => None,
            millis => Some(Timestamp::from_millis(millis)),
        };
        let key = self.facts.binding.as_ref()?.id;
        Some(Use { key, used_at: at(&self.used), refused_at: at(&self.refused) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Binding, KeyDigest, KeyFacts, State},
        store::Revision,
    };

    fn entry(first: u8) -> Arc<Entry> {
        let digest = KeyDigest::from_bytes([first; 32]);
        let binding = Binding {
            id: digest.new_id(),
            hint: None,
            state: State::Learned,
            networks: Vec::new(),
            created_at: at(0),
            open_until: None,
            expires_at: None,
        };
        let facts = KeyFacts { binding: Some(binding), ..KeyFacts::default() };
        Arc::new(Entry::from_store(Reading { facts, as_of: Revision(0), digest }))
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_key_is_taken_once_with_its_latest_marks() {
        let (uses, one, other) = (Uses::default(), entry(1), entry(17));
        for millis in [5000, 5500, 7000] {
            uses.mark(&one, true, at(millis));
        }
        uses.mark(&one, false, at(6000));
        uses.mark(&other, false, at(9000));
        let mut taken = uses.take();
        taken.sort_by_key(|taken| taken.refused_at);
        assert_eq!(taken[0], Use { key: one.digest.new_id(), used_at: Some(at(7000)), refused_at: Some(at(6000)) });
        assert_eq!(taken[1], Use { key: other.digest.new_id(), used_at: None, refused_at: Some(at(9000)) });
        assert_eq!(uses.take(), []);
        uses.mark(&one, true, at(7500));
        assert_eq!(uses.take(), [], "half a second later is not worth a write");
        uses.mark(&one, true, at(8000));
        assert_eq!(uses.take().len(), 1);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_move_a_mark_back() {
        let (uses, one) = (Uses::default(), entry(1));
        uses.mark(&one, true, at(5000));
        uses.take();
        uses.mark(&one, true, at(1000));
        assert_eq!(uses.take(), []);
    }
}

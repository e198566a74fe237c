//! One cached key, and when it was last used.

use std::{
    cmp::Reverse,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use super::{
    held::{Held, Short, block},
    lock::locked,
};
use crate::{
    domain::{FactsView, KeyDigest, Timestamp},
    store::{Reading, Revision, Use},
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
///
/// There may be millions of entries, so the size counts.
#[derive(Debug)]
pub struct Entry {
    /// The digest of the key's row; without a row, the first digest that was looked up.
    pub digest: KeyDigest,
    held: Held,
    as_of: Short,
    pub(super) source: Source,
    /// Whether it is listed in [`Uses`].
    listed: AtomicBool,
    /// Seconds since the Unix epoch, or [`NEVER`].
    used: AtomicU32,
    refused: AtomicU32,
}

const NEVER: u32 = 0;

/// With the counters of its [`Arc`], one byte more would take a block of memory that is 16 bytes larger.
const _: () = assert!(size_of::<Entry>() <= 72);

impl Entry {
    /// The bytes that a typical entry takes: its block, with the two counters of its [`Arc`], and its place in the
    /// cache. The latter is 40 bytes, and a slot of 5 bytes in a hash table that is at least 7/16 full.
    pub(super) const TYPICAL: usize = block::<u8>(16 + size_of::<Self>()) + 52;

    pub(super) fn from_store(reading: Reading) -> Self {
        Self::new(reading, Source::Store)
    }

    pub(super) fn from_shared_cache(reading: Reading) -> Self {
        Self::new(reading, Source::SharedCache)
    }

    fn new(Reading { facts, as_of, digest }: Reading, source: Source) -> Self {
        Self {
            digest,
            held: Held::new(&digest, facts),
            // A fact that looks older than it is can only be a miss.
            as_of: Short::at_most(as_of.0),
            source,
            listed: AtomicBool::new(false),
            used: AtomicU32::new(NEVER),
            refused: AtomicU32::new(NEVER),
        }
    }

    /// What decisions read of the facts.
    pub fn facts(&self) -> FactsView<'_> {
        self.held.view(&self.digest)
    }

    /// The revision of the statement that read the facts.
    pub fn as_of(&self) -> Revision {
        Revision(self.as_of.get())
    }

    /// What was read, without hints.
    pub fn reading(&self) -> Reading {
        Reading { facts: self.held.facts(&self.digest), as_of: self.as_of(), digest: self.digest }
    }

    /// The bytes that it takes.
    pub(super) fn weight(&self) -> usize {
        Self::TYPICAL + self.held.heap()
    }
}

/// The keys that were used and whose times are not taken yet. Taken in rounds, so that a round's end says up to when all
/// times are taken.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// Used since the round began. Sharded into 16 lists, so that two requests rarely contend for one lock; a key enters
    /// its list once, not once a request.
    next: [Mutex<Vec<Arc<Entry>>>; 16],
    /// The rest of the round.
    round: Mutex<Vec<Arc<Entry>>>,
}

/// A part of a round of times of last use.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TakenUses {
    /// At most as many as asked for.
    pub uses: Vec<Use>,
    /// The round begins with this part: it has the keys that were used until now.
    pub is_first: bool,
    /// The keys of the round that are not taken yet.
    pub left: usize,
}

impl Uses {
    /// The key of `entry` was used (`allowed`) or denied at `time`.
    pub(super) fn mark(&self, entry: &Arc<Entry>, allowed: bool, time: Timestamp) {
        let mark = if allowed { &entry.used } else { &entry.refused };
        let time = seconds(time);
        // A mark in the same second is not worth a write, and a clock that was set back moves no mark back.
        if time <= mark.load(Ordering::Relaxed) {
            return;
        }
        mark.store(time, Ordering::Relaxed);
        if !entry.listed.swap(true, Ordering::AcqRel) {
            let list = usize::from(entry.digest.as_bytes()[0]) % self.next.len();
            locked(&self.next[list]).push(Arc::clone(entry));
        }
    }

    /// The next part of the round, of at most `most` keys, or the first part of the next round. A mark that is made
    /// before its key is taken belongs to this round, a later one to the next.
    pub(super) fn take(&self, most: usize) -> TakenUses {
        let mut round = locked(&self.round);
        let is_first = round.is_empty();
        if is_first {
            round.extend(self.next.iter().flat_map(|list| std::mem::take(&mut *locked(list))));
            // As the rows lie in a store: each part of the round then changes few of its pages. In the order of use, the
            // writes of a busy SQLite were fifteen times as many, and first uses waited for the disk.
            round.sort_unstable_by_key(|entry| Reverse(entry.held.created_at()));
        }
        let left = round.len().saturating_sub(most);
        let uses = round.drain(left..).filter_map(|entry| entry.take()).collect();
        TakenUses { uses, is_first, left }
    }
}

impl Entry {
    /// `None` without a binding: there is no row to write to.
    fn take(&self) -> Option<Use> {
        // Before the marks are read, so that a mark made after this enters the next batch.
        self.listed.store(false, Ordering::Release);
        let at = |mark: &AtomicU32| match mark.load(Ordering::Acquire) {
            NEVER => None,
            seconds => Some(Timestamp::from_millis(i64::from(seconds) * 1000)),
        };
        let key = self.facts().binding?.id;
        Some(Use { key, used_at: at(&self.used), refused_at: at(&self.refused) })
    }
}

/// Whole seconds, which suffice until 2106.
fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.as_millis() / 1000).unwrap_or(if time.as_millis() < 0 { NEVER } else { u32::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Binding, KeyFacts, State};

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
        let mut taken = uses.take(2).uses;
        taken.sort_by_key(|taken| taken.refused_at);
        assert_eq!(taken[0], Use { key: one.digest.new_id(), used_at: Some(at(7000)), refused_at: Some(at(6000)) });
        assert_eq!(taken[1], Use { key: other.digest.new_id(), used_at: None, refused_at: Some(at(9000)) });
        assert_eq!(uses.take(2).uses, []);
        uses.mark(&one, true, at(7500));
        assert_eq!(uses.take(2).uses, [], "half a second later is not worth a write");
        uses.mark(&one, true, at(8000));
        assert_eq!(uses.take(2).uses.len(), 1);
    }

    #[test]
    fn a_round_has_the_keys_that_were_used_before_it_began() {
        let (uses, entries) = (Uses::default(), [1, 2, 3].map(entry));
        entries.iter().for_each(|entry| uses.mark(entry, true, at(5000)));
        let part = |most| {
            let TakenUses { uses, is_first, left } = uses.take(most);
            (uses.len(), is_first, left)
        };
        assert_eq!(part(2), (2, true, 1));
        let late = entry(4);
        // Of the first two that are marked again, and the third, only the third is in the round still.
        entries.iter().chain([&late]).for_each(|entry| uses.mark(entry, true, at(6000)));
        assert_eq!(part(2), (1, false, 0));
        assert_eq!(part(2), (2, true, 1));
        assert_eq!(part(2), (1, false, 0));
        assert_eq!(part(2), (0, true, 0));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_move_a_mark_back() {
        let (uses, one) = (Uses::default(), entry(1));
        uses.mark(&one, true, at(5000));
        uses.take(1);
        uses.mark(&one, true, at(1000));
        assert_eq!(uses.take(1).uses, []);
    }
}

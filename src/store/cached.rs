//! The in-process cache of committed facts, and the one rule that every cache of ours keeps.
//!
//! **The rule.** A fact carries the revision of the statement that read it (`as_of`). It may be kept or used only if
//! `as_of` is inside the window of known changes and no later change of its key is in that window. So a reader
//! that read before a ban and fills the cache after it, slow or not, is the same case as any other miss.
//!
//! A key that has a row is kept under the digest of that row, which is the one that its changes are logged under; a
//! re-keyed row is logged under the digest that it leaves. So at most one entry of a key is sound at any time, and a
//! reader asks for all of its digests in turn.
//!
//! Caches hold what is committed and never arbitrate: an absent key is not cached, and every claim goes to the store.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use quick_cache::sync::Cache;
use tokio::{
    task::JoinError,
    time::{error::Elapsed, timeout},
};

use super::{Changes, Claim, Claimed, Reading, Revision, Store, StoreError};
use crate::{
    domain::{KeyDigest, KeyDigests, event::Record},
    metrics::StoreMetrics,
};

/// A [`Store`]'s facts with a cache in front.
pub struct Cached {
    store: Arc<dyn Store>,
    metrics: StoreMetrics,
    /// Told of every first use, whether or not its caller still waits.
    first_use: fn(&Record),
    entries: Cache<KeyDigest, Arc<Reading>, quick_cache::UnitWeighter, BuildHasherDefault<DigestHasher>>,
    /// Locked to fill, to invalidate and to check a cold read; a warm read only asks `entries`.
    window: Mutex<Window>,
    loading: Mutex<HashMap<KeyDigest, Loading>>,
}

type Loading = Shared<BoxFuture<'static, Result<Loaded, StoreError>>>;

/// A reading, and the window's generation when it began.
#[derive(Clone)]
struct Loaded {
    reading: Arc<Reading>,
    generation: u64,
}

/// Reads and claims are tasks of their own, because what they learn is worth keeping when their caller is gone. No task
/// lives longer than this: a hung store must not collect them without bound.
const TASK_DEADLINE: Duration = Duration::from_secs(1);

impl Cached {
    /// A cache of at most `capacity` keys before `store`; `first_use` is told of every claim that was won.
    pub fn new(store: Arc<dyn Store>, capacity: usize, metrics: StoreMetrics, first_use: fn(&Record)) -> Self {
        let entries = Cache::with(
            // Room for the first keys only: an idle process stays small, the tables grow with use.
            1024.min(capacity),
            capacity as u64,
            quick_cache::UnitWeighter,
            BuildHasherDefault::default(),
            quick_cache::sync::DefaultLifecycle::default(),
        );
        Self { store, metrics, first_use, entries, window: Mutex::default(), loading: Mutex::default() }
    }

    /// The cached fact of a key, by the first of its digests that has one. Synchronous, without I/O or a global lock.
    pub fn get(&self, digests: impl IntoIterator<Item = KeyDigest>) -> Option<Arc<Reading>> {
        let found = digests.into_iter().find_map(|digest| self.entries.get(&digest));
        let counter = if found.is_some() { &self.metrics.cache_hit } else { &self.metrics.cache_miss };
        counter.increment(1);
        found
    }

    /// Reads `key` from the store. Concurrent readers of one key share one read.
    pub async fn load(self: &Arc<Self>, key: KeyDigests) -> Result<Arc<Reading>, StoreError> {
        loop {
            let loaded = self.shared_load(key).await?;
            // The shared read may have begun before a change that this caller must see.
            if locked(&self.window).covers(&key, &loaded) {
                return Ok(loaded.reading);
            }
        }
    }

    /// Claims, and keeps what the store answered. `written` is called if the claim was written, whether or not its
    /// caller still waits; else it is dropped.
    pub async fn claim(
        self: &Arc<Self>,
        claim: Claim,
        written: impl FnOnce() + Send + 'static,
    ) -> Result<Claimed, StoreError> {
        let this = Arc::clone(self);
        let task = tokio::spawn(async move {
            let (key, generation) = (claim.key.digests(), locked(&this.window).generation);
            let claimed = timeout(TASK_DEADLINE, this.store.claim(claim)).await.map_err(too_slow)??;
            match &claimed {
                Claimed::Won { record, .. } => {
                    (this.first_use)(record);
                    written();
                }
                Claimed::Noted(_) => written(),
                Claimed::Held(_) => {}
            }
            this.keep(key, &Loaded { reading: Arc::new(claimed.reading().clone()), generation });
            Ok(claimed)
        });
        task.await.unwrap_or_else(cut_off)
    }

    /// Takes in a poll's changes: from here on no fact older than them is used.
    pub fn absorb(&self, changes: &Changes) {
        let mut window = locked(&self.window);
        if changes.pruned {
            window.restart(changes.revision);
            self.entries.clear();
            return;
        }
        for (revision, key) in &changes.changed {
            window.record(*revision, *key);
            self.entries.remove(key);
        }
    }

    fn shared_load(self: &Arc<Self>, key: KeyDigests) -> Loading {
        let mut loading = locked(&self.loading);
        // Two readers that share the first digest share them all: a process lists the same peppers all its life.
        if let Some(load) = loading.get(&key.first()) {
            return load.clone();
        }
        let this = Arc::clone(self);
        let generation = locked(&self.window).generation;
        let task = tokio::spawn(async move {
            let read = timeout(TASK_DEADLINE, this.store.lookup(&key)).await;
            locked(&this.loading).remove(&key.first());
            let loaded = Loaded { reading: Arc::new(read.map_err(too_slow)??), generation };
            this.keep(key, &loaded);
            Ok(loaded)
        });
        let load = task.map(|done| done.unwrap_or_else(cut_off)).boxed().shared();
        loading.insert(key.first(), load.clone());
        load
    }

    /// Fills under the window's lock, so that no change can be absorbed between the check and the insert.
    fn keep(&self, key: KeyDigests, loaded: &Loaded) {
        let window = locked(&self.window);
        if !loaded.reading.facts.is_empty() && window.covers(&key, loaded) {
            self.entries.insert(loaded.reading.digest, Arc::clone(&loaded.reading));
        }
    }
}

fn too_slow(_: Elapsed) -> StoreError {
    StoreError::Unavailable("no answer in time".into())
}

fn cut_off<T>(ended: JoinError) -> Result<T, StoreError> {
    Err(StoreError::Unavailable(ended.to_string()))
}

/// The keys of the latest changes, and from which revision on they are complete.
#[derive(Debug, Default)]
struct Window {
    /// Counts the restarts: revisions of two generations are not comparable, since a restored store takes old ones anew.
    generation: u64,
    floor: Revision,
    last_change: HashMap<KeyDigest, Revision>,
    order: VecDeque<(Revision, KeyDigest)>,
}

impl Window {
    /// Bounds the memory; an older fact is then a miss, never a risk.
    const MAX: usize = 100_000;

    /// A change under any of its digests is one of the key.
    fn covers(&self, key: &KeyDigests, Loaded { reading, generation }: &Loaded) -> bool {
        let unchanged =
            |digest: KeyDigest| self.last_change.get(&digest).is_none_or(|changed| *changed <= reading.as_of);
        *generation == self.generation && reading.as_of >= self.floor && key.iter().all(unchanged)
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

    fn restart(&mut self, floor: Revision) {
        *self = Self { generation: self.generation + 1, floor, ..Self::default() };
    }
}

/// Nothing here can panic while it holds a lock, so a poisoned lock guards sound data.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A digest is an HMAC: its first eight bytes are as good a hash as any, and no attacker can choose them.
#[derive(Default)]
pub(crate) struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_ne_bytes(*first);
        }
    }

    /// The length prefix of a hashed slice says nothing about it.
    fn write_usize(&mut self, _length: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::KeyFacts;

    const A: KeyDigest = KeyDigest::from_bytes([1; 32]);
    const B: KeyDigest = KeyDigest::from_bytes([2; 32]);

    fn read_at(generation: u64, as_of: i64) -> Loaded {
        let reading = Reading { facts: KeyFacts::default(), as_of: Revision(as_of), digest: A };
        Loaded { reading: Arc::new(reading), generation }
    }

    #[test]
    fn a_fact_is_covered_until_its_key_changes_or_the_window_moves_past_it() {
        let (a, b) = (KeyDigests::from(A), KeyDigests::from(B));
        let mut window = Window::default();
        window.record(Revision(5), A);
        assert!(!window.covers(&a, &read_at(0, 4)));
        assert!(window.covers(&a, &read_at(0, 5)));
        assert!(window.covers(&b, &read_at(0, 0)));
        assert!(!window.covers(&KeyDigests::new(B, [A]), &read_at(0, 4)), "by either of its digests it was changed");
        window.restart(Revision(9));
        assert!(!window.covers(&b, &read_at(1, 8)));
        assert!(window.covers(&a, &read_at(1, 9)));
        assert!(!window.covers(&a, &read_at(0, 10)), "read before the restart, of another line of revisions");
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
        assert!(!window.covers(&A.into(), &read_at(0, 0)));
        assert!(window.covers(&A.into(), &read_at(0, 1)));
    }
}

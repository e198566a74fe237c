//! The in-process cache of committed facts, and the one rule that every cache of ours keeps.
//!
//! **The rule.** A fact carries the revision of the statement that read it (`as_of`). It may be kept or used only if
//! `as_of` is inside the window of known changes and no later change of its key is in that window. So a reader
//! that read before a ban and fills the cache after it, slow or not, is the same case as any other miss.
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

use super::{Changes, Claim, Claimed, Reading, Revision, Store, StoreError};
use crate::{domain::KeyDigest, metrics::StoreMetrics};

/// A [`Store`]'s facts with a cache in front.
pub struct Cached {
    store: Arc<dyn Store>,
    metrics: StoreMetrics,
    entries: Cache<KeyDigest, Arc<Reading>, quick_cache::UnitWeighter, BuildHasherDefault<DigestHasher>>,
    /// Locked to fill, to invalidate and to check a cold read; a warm read only asks `entries`.
    window: Mutex<Window>,
    loading: Mutex<HashMap<KeyDigest, Loading>>,
}

type Loading = Shared<BoxFuture<'static, Result<Arc<Reading>, StoreError>>>;

/// No caller waits longer for a shared read: a hung store must not collect tasks without bound.
const LOAD_DEADLINE: Duration = Duration::from_secs(1);

impl Cached {
    /// A cache of at most `capacity` keys before `store`.
    pub fn new(store: Arc<dyn Store>, capacity: usize, metrics: StoreMetrics) -> Self {
        let entries = Cache::with(
            // Room for the first keys only: an idle process stays small, the tables grow with use.
            1024.min(capacity),
            capacity as u64,
            quick_cache::UnitWeighter,
            BuildHasherDefault::default(),
            quick_cache::sync::DefaultLifecycle::default(),
        );
        Self { store, metrics, entries, window: Mutex::default(), loading: Mutex::default() }
    }

    /// The cached fact of `key`. Synchronous, without I/O or a global lock.
    pub fn get(&self, key: &KeyDigest) -> Option<Arc<Reading>> {
        let found = self.entries.get(key);
        let counter = if found.is_some() { &self.metrics.cache_hit } else { &self.metrics.cache_miss };
        counter.increment(1);
        found
    }

    /// Reads `key` from the store. Concurrent readers of one key share one read.
    pub async fn load(self: &Arc<Self>, key: KeyDigest) -> Result<Arc<Reading>, StoreError> {
        loop {
            let reading = self.shared_load(key).await?;
            // The shared read may have begun before a change that this caller must see.
            if locked(&self.window).covers(&key, reading.as_of) {
                return Ok(reading);
            }
        }
    }

    /// Claims, and keeps what the store answered.
    pub async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let key = claim.key.digest;
        let claimed = self.store.claim(claim).await?;
        let (Claimed::Won(reading) | Claimed::Held(reading)) = &claimed;
        self.keep(key, &Arc::new(reading.clone()));
        Ok(claimed)
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

    fn shared_load(self: &Arc<Self>, key: KeyDigest) -> Loading {
        let mut loading = locked(&self.loading);
        if let Some(load) = loading.get(&key) {
            return load.clone();
        }
        let this = Arc::clone(self);
        // A task of its own: a reader that is cancelled must not cancel the others' read, nor leave its entry behind.
        let task = tokio::spawn(async move {
            let read = tokio::time::timeout(LOAD_DEADLINE, this.store.lookup(&key)).await;
            locked(&this.loading).remove(&key);
            let reading = Arc::new(read.map_err(|_| StoreError::Unavailable("read timed out".into()))??);
            this.keep(key, &reading);
            Ok(reading)
        });
        let load = task.map(|done| done.unwrap_or_else(|lost| Err(StoreError::Unavailable(lost.to_string()))));
        let load = load.boxed().shared();
        loading.insert(key, load.clone());
        load
    }

    /// Fills under the window's lock, so that no change can be absorbed between the check and the insert.
    fn keep(&self, key: KeyDigest, reading: &Arc<Reading>) {
        let window = locked(&self.window);
        if !reading.facts.is_empty() && window.covers(&key, reading.as_of) {
            self.entries.insert(key, Arc::clone(reading));
        }
    }
}

/// The keys of the latest changes, and from which revision on they are complete.
#[derive(Debug, Default)]
struct Window {
    floor: Revision,
    last_change: HashMap<KeyDigest, Revision>,
    order: VecDeque<(Revision, KeyDigest)>,
}

impl Window {
    /// Bounds the memory; an older fact is then a miss, never a risk.
    const MAX: usize = 100_000;

    fn covers(&self, key: &KeyDigest, as_of: Revision) -> bool {
        as_of >= self.floor && self.last_change.get(key).is_none_or(|changed| *changed <= as_of)
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
        *self = Self { floor, ..Self::default() };
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

    const A: KeyDigest = KeyDigest::from_bytes([1; 32]);
    const B: KeyDigest = KeyDigest::from_bytes([2; 32]);

    #[test]
    fn a_fact_is_covered_until_its_key_changes_or_the_window_moves_past_it() {
        let mut window = Window::default();
        window.record(Revision(5), A);
        assert!(!window.covers(&A, Revision(4)));
        assert!(window.covers(&A, Revision(5)));
        assert!(window.covers(&B, Revision(0)));
        window.restart(Revision(9));
        assert!(!window.covers(&B, Revision(8)));
        assert!(window.covers(&A, Revision(9)));
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
        assert!(!window.covers(&A, Revision(0)));
        assert!(window.covers(&A, Revision(1)));
    }
}

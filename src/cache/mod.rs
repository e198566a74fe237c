//! The in-process cache of committed facts, and the rule that every cache of Sentinel follows.
//!
//! **The rule.** A fact carries the revision of the statement that read it (`as_of`). It may be cached or used only if
//! `as_of` is inside the window of known changes and the window holds no later change of its key. So a reader that
//! reads before a ban and fills the cache after it needs no special case: its fact is a miss.
//!
//! A key that has a row is cached under the digest of that row, under which its changes are logged. A re-keyed row is
//! logged under its old digest. So at most one entry of a key is valid at any time, and a reader looks up all digests
//! of the key in turn.
//!
//! Caches hold committed facts and never arbitrate: the absence of a key is not cached, and every claim goes to the
//! store.

mod claim;
mod entry;
mod held;
mod load;
mod lock;
mod recent_failures;
mod shared;
mod turns;
mod window;

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{self, BoxFuture},
};
use quick_cache::{
    Weighter,
    sync::{Cache, DefaultLifecycle},
};
use tokio::{runtime::Handle, time::timeout};

use crate::{
    domain::{KeyDigest, KeyDigests, Timestamp, event::Record},
    store::{Changes, Decisions, StoreError},
    telemetry::metrics::StoreMetrics,
};

pub use entry::{Entry, TakenUses};
pub use shared::{Shared, Writer};

use entry::{Source, Uses};
use lock::locked;
use recent_failures::RecentFailures;
use turns::Turns;
use window::Window;

/// A cache in front of a store's facts.
pub struct Cached {
    store: Arc<dyn Decisions>,
    metrics: StoreMetrics,
    /// Called with the record of every won claim, even if the caller no longer waits.
    first_use: Box<dyn Fn(&Record) + Send + Sync>,
    /// By [`index`]. The whole digest is in the entry, and a reader compares it.
    entries: Cache<u64, Arc<Entry>, Bytes, BuildHasherDefault<IndexHasher>>,
    /// Locked to insert, to invalidate and to check a cold read; a warm read uses `entries` alone.
    window: Mutex<Window>,
    loading: Mutex<Reads>,
    claiming: Arc<Turns>,
    shared: Option<Shared>,
    patience: Duration,
    uses: Uses,
    recent_failures: RecentFailures,
    /// The runtime of the store. Checks have runtimes of their own, which must not wait for work of the store.
    runtime: Handle,
}

/// By the first digest and the source of the answer.
type Reads = HashMap<(KeyDigest, Source), Loading>;

type Loading = future::Shared<BoxFuture<'static, Result<Loaded, StoreError>>>;

/// A reading, and the window's generation when it began.
#[derive(Clone)]
struct Loaded {
    entry: Arc<Entry>,
    generation: u64,
}

/// Removes a read from the list when it ends, also by a panic.
struct Listed<'a> {
    reads: &'a Mutex<Reads>,
    read: (KeyDigest, Source),
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        locked(self.reads).remove(&self.read);
    }
}

/// The timeout of a read or a claim, unless requests may wait longer. Both are tasks of their own, because their result
/// is worth caching even if the caller has left; the timeout keeps a hung store from piling up tasks without bound.
const PATIENCE: Duration = Duration::from_secs(1);

impl Cached {
    /// The bytes that a typical key takes: one that a network owns by first use, and that has no ban and no candidates.
    pub const TYPICAL_KEY: usize = Entry::TYPICAL;

    /// A cache of at most `capacity` bytes in front of `store`, whose work runs in the current runtime; `first_use` is
    /// called for every won claim and must not block.
    pub fn new(
        store: Arc<dyn Decisions>,
        capacity: usize,
        metrics: StoreMetrics,
        first_use: impl Fn(&Record) + Send + Sync + 'static,
    ) -> Self {
        let entries = Cache::with(
            // Reserves space for the first keys only, so that an idle process stays small.
            1024.min(capacity / Self::TYPICAL_KEY).max(1),
            capacity as u64,
            Bytes,
            BuildHasherDefault::default(),
            DefaultLifecycle::default(),
        );
        Self {
            store,
            metrics,
            first_use: Box::new(first_use),
            entries,
            window: Mutex::default(),
            loading: Mutex::default(),
            claiming: Arc::default(),
            shared: None,
            patience: PATIENCE,
            uses: Uses::default(),
            recent_failures: RecentFailures::default(),
            runtime: Handle::current(),
        }
    }

    /// Sets the timeout of reads and claims for requests that wait up to `longest`.
    pub fn with_patience(self, longest: Duration) -> Self {
        Self { patience: longest.max(PATIENCE), ..self }
    }

    /// Reads `shared` before the store on a miss.
    pub fn with_shared(self, shared: Shared) -> Self {
        Self { shared: Some(shared), ..self }
    }

    /// Returns the cached fact of a key, by the first of its digests that has one, and counts a cache request.
    /// Synchronous, without I/O or a global lock.
    pub fn get(&self, digests: impl IntoIterator<Item = KeyDigest>) -> Option<Arc<Entry>> {
        let found = self.peek(digests);
        let counter = if found.is_some() { &self.metrics.cache_hit } else { &self.metrics.cache_miss };
        counter.increment(1);
        found
    }

    /// As [`Cached::get`], but not counted: for `explain`, and for a second look-up of one request.
    pub fn peek(&self, digests: impl IntoIterator<Item = KeyDigest>) -> Option<Arc<Entry>> {
        digests.into_iter().find_map(|digest| self.entries.get(&index(&digest)).filter(|entry| entry.digest == digest))
    }

    /// Marks the key of `entry` as used (`allowed`) or denied at `time`. Synchronous, without I/O or a global lock.
    pub fn mark(&self, entry: &Arc<Entry>, allowed: bool, time: Timestamp) {
        self.uses.mark(entry, allowed, time);
    }

    /// Returns the times of last use of at most `most` keys that were marked.
    pub fn take_uses(&self, most: usize) -> TakenUses {
        self.uses.take(most)
    }

    /// Applies the changes of a poll: after it, no fact older than they are is used.
    pub fn absorb(&self, changes: &Changes) {
        let mut window = locked(&self.window);
        if !window.absorb(changes) {
            self.entries.clear();
            return;
        }
        for (_, key) in &changes.changed {
            self.entries.remove(&index(key));
        }
    }

    /// Inserts under the lock of the window, so that no change can be applied between the check and the insert.
    fn insert(&self, key: KeyDigests, loaded: &Loaded) {
        let window = locked(&self.window);
        let Loaded { entry, generation } = loaded;
        if !entry.facts().is_empty() && window.covers(&key, *generation, entry.as_of()) {
            self.entries.insert(index(&entry.digest), Arc::clone(entry));
            if let (Some(shared), Some(history)) = (&self.shared, window.history) {
                shared.offer(history, entry);
            }
        }
    }

    /// Returns the answer of the store, or [`StoreError::Late`].
    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        timeout(self.patience, answer).await.unwrap_or(Err(StoreError::Late))
    }
}

/// Runs `work` as a task of `runtime`, which continues if its caller leaves, and waits for it.
fn run_detached<T: Send + 'static, W: Future<Output = Result<T, StoreError>> + Send + 'static>(
    runtime: &Handle,
    work: W,
) -> impl Future<Output = Result<T, StoreError>> + use<T, W> {
    let task = runtime.spawn(work);
    task.map(|ended| ended.unwrap_or_else(|panicked| Err(StoreError::Unavailable(panicked.to_string()))))
}

/// The first eight bytes of a digest. Of a million keys, two have the same with a probability of 1 in 30 million; then
/// the cache holds the one that was read last.
fn index(digest: &KeyDigest) -> u64 {
    digest.as_bytes().first_chunk().map_or(0, |first| u64::from_ne_bytes(*first))
}

/// A digest is an HMAC: its first eight bytes serve as a hash, and an attacker cannot choose them.
#[derive(Default)]
struct IndexHasher(u64);

impl Hasher for IndexHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    /// Only an index is hashed, by `write_u64`.
    fn write(&mut self, _bytes: &[u8]) {}

    fn write_u64(&mut self, index: u64) {
        self.0 = index;
    }
}

/// Weighs entries by the bytes that they take.
#[derive(Clone)]
struct Bytes;

impl Weighter<u64, Arc<Entry>> for Bytes {
    fn weight(&self, _index: &u64, entry: &Arc<Entry>) -> u64 {
        entry.weight() as u64
    }
}

#[cfg(test)]
mod tests;

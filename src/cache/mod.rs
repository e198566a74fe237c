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

mod claim;
mod entry;
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
    UnitWeighter,
    sync::{Cache, DefaultLifecycle},
};
use tokio::time::timeout;

use crate::{
    domain::{KeyDigest, KeyDigests, Timestamp, event::Record},
    store::{Changes, Decisions, StoreError, Use},
    telemetry::metrics::StoreMetrics,
};

pub use entry::Entry;
pub use shared::{Shared, Writer};

use entry::{Source, Uses};
use lock::locked;
use recent_failures::RecentFailures;
use turns::Turns;
use window::Window;

/// A store's facts with a cache in front.
pub struct Cached {
    store: Arc<dyn Decisions>,
    metrics: StoreMetrics,
    /// Called with the record of every claim that was won, whether or not its caller still waits.
    first_use: Box<dyn Fn(&Record) + Send + Sync>,
    entries: Cache<KeyDigest, Arc<Entry>, UnitWeighter, BuildHasherDefault<DigestHasher>>,
    /// Locked to fill, to invalidate and to check a cold read; a warm read only asks `entries`.
    window: Mutex<Window>,
    loading: Mutex<Reads>,
    claiming: Arc<Turns>,
    shared: Option<Shared>,
    patience: Duration,
    uses: Uses,
    recent_failures: RecentFailures,
}

/// By the first digest, and by where the answer may come from.
type Reads = HashMap<(KeyDigest, Source), Loading>;

type Loading = future::Shared<BoxFuture<'static, Result<Loaded, StoreError>>>;

/// A reading, and the window's generation when it began.
#[derive(Clone)]
struct Loaded {
    entry: Arc<Entry>,
    generation: u64,
}

/// Keeps a read listed until it ends, however it does.
struct Listed<'a> {
    reads: &'a Mutex<Reads>,
    read: (KeyDigest, Source),
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        locked(self.reads).remove(&self.read);
    }
}

/// Reads and claims are tasks of their own, because what they learn is worth keeping when their caller is gone. No task
/// lives longer than this, unless a request may wait longer: a hung store must not collect them without bound.
const PATIENCE: Duration = Duration::from_secs(1);

impl Cached {
    /// A cache of at most `capacity` keys before `store`; `first_use` is called for every claim that was won. It must not
    /// block.
    pub fn new(
        store: Arc<dyn Decisions>,
        capacity: usize,
        metrics: StoreMetrics,
        first_use: impl Fn(&Record) + Send + Sync + 'static,
    ) -> Self {
        let entries = Cache::with(
            // Room for the first keys only: an idle process stays small, the tables grow with use.
            1024.min(capacity),
            capacity as u64,
            UnitWeighter,
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
        }
    }

    /// The same for requests that wait so long.
    pub fn with_patience(self, longest: Duration) -> Self {
        Self { patience: longest.max(PATIENCE), ..self }
    }

    /// The same, which on a miss asks `shared` before the store.
    pub fn with_shared(self, shared: Shared) -> Self {
        Self { shared: Some(shared), ..self }
    }

    /// The cached fact of a key, by the first of its digests that has one; counts a cache request. Synchronous, without
    /// I/O or a global lock.
    pub fn get(&self, digests: impl IntoIterator<Item = KeyDigest>) -> Option<Arc<Entry>> {
        let found = self.peek(digests);
        let counter = if found.is_some() { &self.metrics.cache_hit } else { &self.metrics.cache_miss };
        counter.increment(1);
        found
    }

    /// As [`Cached::get`], but not counted as a request: for an operator's question, and for a second look.
    pub fn peek(&self, digests: impl IntoIterator<Item = KeyDigest>) -> Option<Arc<Entry>> {
        digests.into_iter().find_map(|digest| self.entries.get(&digest))
    }

    /// The key of `entry` was used, or refused, at `time`. Synchronous, without I/O or a global lock.
    pub fn mark(&self, entry: &Arc<Entry>, allowed: bool, time: Timestamp) {
        self.uses.mark(entry, allowed, time);
    }

    /// What was marked since the last call.
    pub fn take_uses(&self) -> Vec<Use> {
        self.uses.take()
    }

    /// Takes in a poll's changes: from here on no fact older than them is used.
    pub fn absorb(&self, changes: &Changes) {
        let mut window = locked(&self.window);
        if !window.absorb(changes) {
            self.entries.clear();
            return;
        }
        for (_, key) in &changes.changed {
            self.entries.remove(key);
        }
    }

    /// Fills under the window's lock, so that no change can be absorbed between the check and the insert.
    fn keep(&self, key: KeyDigests, loaded: &Loaded) {
        let window = locked(&self.window);
        let Loaded { entry, generation } = loaded;
        if !entry.facts.is_empty() && window.covers(&key, *generation, entry.as_of) {
            self.entries.insert(entry.digest, Arc::clone(entry));
            if let (Some(shared), Some(life)) = (&self.shared, window.life) {
                shared.offer(life, entry);
            }
        }
    }

    /// What the store answers, or that it is too late.
    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        timeout(self.patience, answer).await.unwrap_or(Err(StoreError::Late))
    }
}

/// Starts `work` as a task, which goes on when its caller is gone, and waits for it.
fn run_detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> impl Future<Output = Result<T, StoreError>> {
    let task = tokio::spawn(work);
    task.map(|ended| ended.unwrap_or_else(|panicked| Err(StoreError::Unavailable(panicked.to_string()))))
}

/// A digest is an HMAC: its first eight bytes are as good a hash as any, and no attacker can choose them.
#[derive(Default)]
struct DigestHasher(u64);

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

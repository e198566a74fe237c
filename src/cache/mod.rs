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

mod entry;
mod recent_failures;
mod shared;
mod turns;
mod window;

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{self, BoxFuture, ready},
};
use quick_cache::sync::Cache;
use tokio::{
    task::JoinError,
    time::{error::Elapsed, timeout},
};

use crate::{
    domain::{KeyDigest, KeyDigests, KeyFacts, Timestamp, event::Record},
    store::{Changes, Claim, Claimed, Reading, Store, StoreError, Use},
    telemetry::metrics::StoreMetrics,
};

pub use entry::Entry;
use entry::Uses;
use recent_failures::RecentFailures;
pub use shared::{Shared, Writer};
use turns::Turns;
use window::Window;

/// A [`Store`]'s facts with a cache in front.
pub struct Cached {
    store: Arc<dyn Store>,
    metrics: StoreMetrics,
    /// Told of every first use, whether or not its caller still waits.
    first_use: fn(&Record),
    entries: Cache<KeyDigest, Arc<Entry>, quick_cache::UnitWeighter, BuildHasherDefault<DigestHasher>>,
    /// Locked to fill, to invalidate and to check a cold read; a warm read only asks `entries`.
    window: Mutex<Window>,
    loading: Mutex<Reads>,
    claiming: Arc<Turns>,
    shared: Option<Shared>,
    patience: Duration,
    uses: Uses,
    recent_failures: RecentFailures,
}

/// What is being read, by the first digest and whether Redis may answer.
type Reads = HashMap<(KeyDigest, bool), Loading>;

type Loading = future::Shared<BoxFuture<'static, Result<Loaded, StoreError>>>;

/// A reading, and the window's generation when it began.
#[derive(Clone)]
struct Loaded {
    entry: Arc<Entry>,
    generation: u64,
}

/// Reads and claims are tasks of their own, because what they learn is worth keeping when their caller is gone. No task
/// lives longer than this, unless a request may wait longer: a hung store must not collect them without bound.
const PATIENCE: Duration = Duration::from_secs(1);

/// So often a key is read again because it was changed meanwhile. A store whose revision was set back says what is older
/// than its changes for ever.
const ROUNDS: usize = 8;

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
        Self {
            store,
            metrics,
            first_use,
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

    /// The cached fact of a key, by the first of its digests that has one. Synchronous, without I/O or a global lock.
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

    /// Reads `key` from the store, or from Redis where the fact that is found there `settles` the matter. A fact from
    /// Redis includes every operator's change, but hardly a claim takes a revision: that a key is nobody's, or nobody else's, is
    /// for the store to say. Concurrent readers of one key share one read.
    pub async fn load(
        self: &Arc<Self>,
        key: KeyDigests,
        settles: impl Fn(&KeyFacts) -> bool,
    ) -> Result<Arc<Entry>, StoreError> {
        let mut hearsay = self.shared.is_some();
        for _ in 0..ROUNDS {
            let Loaded { entry, generation } = self.common_load(key, hearsay, &settles).await?;
            // The common read may have begun before a change that this caller must see.
            if !locked(&self.window).covers(&key, generation, entry.as_of) {
                continue;
            }
            if entry.is_firsthand() || settles(&entry.facts) {
                return Ok(entry);
            }
            hearsay = false;
        }
        let cause = StoreError::Unavailable("what it says is older than the changes that were heard of".to_owned());
        self.recent_failures.hear(&cause);
        Err(cause)
    }

    /// Claims, and keeps what the store answered. `written` is called if the claim was written, whether or not its
    /// caller still waits; else it is dropped.
    ///
    /// Claims of one key take turns. What was learned meanwhile is the answer if it `settles` the matter: then the claim
    /// is held, by the same facts that a request which came a little later would be judged by.
    pub async fn claim(
        self: &Arc<Self>,
        claim: Claim,
        settles: impl Fn(&KeyFacts) -> bool,
        written: impl FnOnce() + Send + 'static,
    ) -> Result<Claimed, StoreError> {
        let turn = self.claiming.wait(claim.key.digest).await;
        let learned = claim.key.digests().iter().find_map(|digest| self.entries.get(&digest));
        if let Some(entry) = learned.filter(|entry| settles(&entry.facts)) {
            return Ok(Claimed::Held(Reading::clone(&entry)));
        }
        let this = Arc::clone(self);
        let task = tokio::spawn(async move {
            // Not the caller's to give up: the next one would only wait in the store for what this one does there.
            let _turn = turn;
            let (key, generation) = (claim.key.digests(), locked(&this.window).generation);
            let claimed = timeout(this.patience, this.store.claim(claim)).await.unwrap_or_else(too_slow);
            let claimed = claimed.inspect_err(|cause| this.recent_failures.hear(cause))?;
            match &claimed {
                Claimed::Won { record, .. } => {
                    (this.first_use)(record);
                    written();
                }
                Claimed::Noted(_) => written(),
                Claimed::Held(_) => {}
            }
            this.keep(key, &Loaded { entry: Arc::new(Entry::new(claimed.reading().clone())), generation });
            Ok(claimed)
        });
        task.await.unwrap_or_else(cut_off)
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

    fn common_load(self: &Arc<Self>, key: KeyDigests, hearsay: bool, settles: impl Fn(&KeyFacts) -> bool) -> Loading {
        let mut loading = locked(&self.loading);
        // Two readers that share the first digest share them all: a process lists the same peppers all its life.
        if let Some(load) = loading.get(&(key.first(), hearsay)) {
            return load.clone();
        }
        let generation = locked(&self.window).generation;
        // A read that ended since this caller missed has left its entry before it left the list.
        let learned = key.iter().find_map(|digest| self.entries.get(&digest));
        if let Some(entry) = learned.filter(|entry| settles(&entry.facts)) {
            return ready(Ok(Loaded { entry, generation })).boxed().shared();
        }
        let this = Arc::clone(self);
        let task = tokio::spawn(async move {
            let _listed = Listed { loading: &this.loading, read: (key.first(), hearsay) };
            let read = this.read(&key, generation, hearsay).await;
            let loaded = read.map(|read| Loaded { entry: Arc::new(read), generation });
            if let Ok(loaded) = &loaded {
                this.keep(key, loaded);
            }
            loaded.inspect_err(|cause| this.recent_failures.hear(cause))
        });
        let load = task.map(|done| done.unwrap_or_else(cut_off)).boxed().shared();
        loading.insert((key.first(), hearsay), load.clone());
        load
    }

    async fn read(&self, key: &KeyDigests, generation: u64, hearsay: bool) -> Result<Entry, StoreError> {
        let store = async { timeout(self.patience, self.store.lookup(key)).await.unwrap_or_else(too_slow) };
        let Some(shared) = self.shared.as_ref().filter(|_| hearsay) else { return store.await.map(Entry::new) };
        let life = locked(&self.window).life;
        let counts = |found: &Reading| {
            let window = locked(&self.window);
            // What is ahead of this process it will know to be right with its next poll, if it is of this life at all.
            found.as_of <= window.applied && life == window.life && window.covers(key, generation, found.as_of)
        };
        shared.or_store(key, life, counts, store).await
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
}

/// A read that is under way, and no longer when it ends, however it does.
struct Listed<'a> {
    loading: &'a Mutex<Reads>,
    read: (KeyDigest, bool),
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        locked(self.loading).remove(&self.read);
    }
}

fn too_slow<T>(_: Elapsed) -> Result<T, StoreError> {
    Err(StoreError::Late)
}

fn cut_off<T>(ended: JoinError) -> Result<T, StoreError> {
    Err(StoreError::Unavailable(ended.to_string()))
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

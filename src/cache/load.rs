//! A miss: the key is read from the store, or from the shared cache before it.

use std::sync::Arc;

use futures_util::{FutureExt, future::ready};

use super::{Cached, Entry, Listed, Loaded, Loading, entry::Source, lock::locked, run_detached};
use crate::{
    domain::{KeyDigests, KeyFacts},
    store::{Reading, StoreError},
};

/// How often a key is read again because it was changed meanwhile. The answers of a store whose revision was set back stay
/// older than its changes.
const ROUNDS: usize = 8;

impl Cached {
    /// Reads `key` from the store, or from Redis where the fact that is found there `settles` the matter. A fact from
    /// Redis includes every operator's change, but hardly a claim takes a revision: that a key is nobody's, or nobody else's, is
    /// for the store to say. Concurrent readers of one key share one read. The look into Redis is a cache request only if
    /// `is_counted`.
    pub async fn load(
        self: &Arc<Self>,
        key: KeyDigests,
        settles: impl Fn(&KeyFacts) -> bool,
        is_counted: bool,
    ) -> Result<Arc<Entry>, StoreError> {
        let mut source = if self.shared.is_some() { Source::SharedCache } else { Source::Store };
        for _ in 0..ROUNDS {
            let Loaded { entry, generation } = self.common_load(key, source, &settles, is_counted).await?;
            // The common read may have begun before a change that this caller must see.
            if !locked(&self.window).covers(&key, generation, entry.as_of) {
                continue;
            }
            if entry.source == Source::Store || settles(&entry.facts) {
                return Ok(entry);
            }
            source = Source::Store;
        }
        let cause = StoreError::Unavailable("what it says is older than the changes that were heard of".to_owned());
        self.recent_failures.hear(&cause);
        Err(cause)
    }

    fn common_load(
        self: &Arc<Self>,
        key: KeyDigests,
        source: Source,
        settles: impl Fn(&KeyFacts) -> bool,
        is_counted: bool,
    ) -> Loading {
        let mut loading = locked(&self.loading);
        // Two readers that share the first digest share them all: a process lists the same peppers all its life.
        if let Some(load) = loading.get(&(key.first(), source)) {
            return load.clone();
        }
        let generation = locked(&self.window).generation;
        // A read that ended since this caller missed has left its entry before it left the list.
        if let Some(entry) = self.peek(key.iter()).filter(|entry| settles(&entry.facts)) {
            return ready(Ok(Loaded { entry, generation })).boxed().shared();
        }
        let this = Arc::clone(self);
        let load = run_detached(async move {
            let _listed = Listed { reads: &this.loading, read: (key.first(), source) };
            let read = this.read(&key, generation, source, is_counted).await;
            let loaded = read.map(|read| Loaded { entry: Arc::new(read), generation });
            if let Ok(loaded) = &loaded {
                this.keep(key, loaded);
            }
            loaded.inspect_err(|cause| this.recent_failures.hear(cause))
        });
        let load = load.boxed().shared();
        loading.insert((key.first(), source), load.clone());
        load
    }

    async fn read(
        &self,
        key: &KeyDigests,
        generation: u64,
        source: Source,
        is_counted: bool,
    ) -> Result<Entry, StoreError> {
        let store = self.in_time(self.store.lookup(key));
        let Some(shared) = self.shared.as_ref().filter(|_| source == Source::SharedCache) else {
            return store.await.map(Entry::from_store);
        };
        let life = locked(&self.window).life;
        let counts = |found: &Reading| {
            let window = locked(&self.window);
            // What is ahead of this process it will know to be right with its next poll, if it is of this life at all.
            found.as_of <= window.applied && life == window.life && window.covers(key, generation, found.as_of)
        };
        shared.or_store(key, life, counts, store, is_counted).await
    }
}

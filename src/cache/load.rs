//! Loads a key that is not cached, from the shared cache or from the store.

use std::sync::Arc;

use futures_util::{FutureExt, future::ready};

use super::{Cached, Entry, Listed, Loaded, Loading, entry::Source, lock::locked, run_detached};
use crate::{
    domain::{FactsView, KeyDigests},
    store::{Reading, StoreError},
};

/// How often a key is read before the load fails: each read may be overtaken by a change of the key. A store whose
/// revision was set back always answers with an older revision than the known changes.
const MAX_READS: usize = 8;

impl Cached {
    /// Reads `key` from Redis, if `decides` is true for the facts found there, otherwise from the store. A fact from
    /// Redis includes every change by an operator, but not every claim, because most claims take no revision: only the
    /// store can say that a key has no owner, or no other owner. Concurrent readers of one key share one read. The
    /// look-up in Redis is counted as a cache request only if `is_counted`.
    pub async fn load(
        self: &Arc<Self>,
        key: KeyDigests,
        decides: impl Fn(FactsView<'_>) -> bool,
        is_counted: bool,
    ) -> Result<Arc<Entry>, StoreError> {
        let mut source = if self.shared.is_some() { Source::SharedCache } else { Source::Store };
        for _ in 0..MAX_READS {
            let Loaded { entry, generation } = self.shared_load(key, source, &decides, is_counted).await?;
            // The shared read may have begun before a change that this caller must see.
            if !locked(&self.window).covers(&key, generation, entry.as_of()) {
                continue;
            }
            if entry.source == Source::Store || decides(entry.facts()) {
                return Ok(entry);
            }
            source = Source::Store;
        }
        let cause = StoreError::Unavailable("its answer is older than the known changes".to_owned());
        self.recent_failures.record(&cause);
        Err(cause)
    }

    fn shared_load(
        self: &Arc<Self>,
        key: KeyDigests,
        source: Source,
        decides: impl Fn(FactsView<'_>) -> bool,
        is_counted: bool,
    ) -> Loading {
        let mut loading = locked(&self.loading);
        // The first digest identifies the key: a process lists the same peppers for all its life, so equal first
        // digests mean that all digests are equal.
        if let Some(load) = loading.get(&(key.first(), source)) {
            return load.clone();
        }
        let generation = locked(&self.window).generation;
        // A read that ended after this caller missed the cache has inserted its entry before it left the list.
        if let Some(entry) = self.peek(key.iter()).filter(|entry| decides(entry.facts())) {
            return ready(Ok(Loaded { entry, generation })).boxed().shared();
        }
        let this = Arc::clone(self);
        let load = run_detached(&self.runtime, async move {
            let _listed = Listed { reads: &this.loading, read: (key.first(), source) };
            let read = this.read(&key, generation, source, is_counted).await;
            let loaded = read.map(|read| Loaded { entry: Arc::new(read), generation });
            if let Ok(loaded) = &loaded {
                this.insert(key, loaded);
            }
            loaded.inspect_err(|cause| this.recent_failures.record(cause))
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
        let history = locked(&self.window).history;
        let counts = |found: &Reading| {
            let window = locked(&self.window);
            // A value of a later revision cannot be checked before the next poll.
            found.as_of <= window.applied && history == window.history && window.covers(key, generation, found.as_of)
        };
        shared.or_store(key, history, counts, store, is_counted).await
    }
}

//! Runs a decision: looks the key up, applies the rules of [`crate::decision`], and claims the key where they allow it.

mod answer;
mod check;
mod limit;
mod request;

use std::sync::Arc;

use tokio::time::Instant;

#[cfg(test)]
pub(crate) use answer::decided;
pub use answer::{Decision, Denial, Explained, Permit};
pub use request::Request;

use crate::{
    cache::Cached,
    domain::KeyRing,
    settings::Settings,
    store::{ReplicaState, rekey},
};
use answer::{answer, explained};
use check::{Check, Effects, Parts};
use limit::Limiter;

/// Decides requests.
pub struct Engine(Parts);

impl Engine {
    /// Creates an engine over `cached`. Keys that are found under an inactive pepper are queued in `rekeys`.
    pub fn new(ring: Arc<KeyRing>, rekeys: rekey::Queue, cached: Arc<Cached>, state: Arc<ReplicaState>) -> Self {
        Self(Parts { ring, rekeys, cached, state, limiter: Limiter::new(Instant::now()) })
    }

    /// Decides `request`, which arrived at `now`, before `deadline`: by the cache, or else by the store.
    pub async fn decide(&self, settings: &Settings, request: &Request, now: Instant, deadline: Instant) -> Decision {
        match self.decide_by_cache(settings, request, now) {
            Some(decision) => decision,
            None => self.decide_by_store(settings, request, now, deadline).await,
        }
    }

    /// Decides `request`, which arrived at `now`, by the request itself and the in-process cache; `None` if the store is
    /// needed. Without I/O, global lock or timer.
    pub fn decide_by_cache(&self, settings: &Settings, request: &Request, now: Instant) -> Option<Decision> {
        // Only waiting for the store has a deadline.
        let outcome = Check::new(&self.0, settings, request, (now, now), Effects::All).by_cache()?;
        Some(answer(outcome.verdict, request.mode))
    }

    /// Decides a request that [`Engine::decide_by_cache`] did not decide, before `deadline`.
    pub async fn decide_by_store(
        &self,
        settings: &Settings,
        request: &Request,
        now: Instant,
        deadline: Instant,
    ) -> Decision {
        let outcome = Check::new(&self.0, settings, request, (now, deadline), Effects::All).by_store().await;
        answer(outcome.verdict, request.mode)
    }

    /// What a request would get, by the same steps. Claims nothing, records no use, and does not count as a
    /// cache request.
    pub async fn explain(&self, settings: &Settings, request: &Request, now: Instant, deadline: Instant) -> Explained {
        let check = || Check::new(&self.0, settings, request, (now, deadline), Effects::None);
        let outcome = match check().by_cache() {
            Some(outcome) => outcome,
            None => check().by_store().await,
        };
        let facts = outcome.entry.map(|entry| entry.reading().facts);
        explained(outcome.verdict, request.mode, facts, outcome.would_own)
    }
}

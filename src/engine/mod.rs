//! Runs a decision: looks the key up, applies the rules of [`crate::decision`], and claims the key where they allow it.

mod answer;
mod check;
mod limit;
mod request;

use std::sync::Arc;

use tokio::time::Instant;

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

    /// Decides `request`, which arrived at `now`, before `deadline`.
    ///
    /// A cached key is decided without an await; the deadline's timer starts only if the store is needed.
    pub async fn decide(&self, settings: &Settings, request: &Request, now: Instant, deadline: Instant) -> Decision {
        let outcome = Check::new(&self.0, settings, request, (now, deadline), Effects::All).run().await;
        answer(outcome.verdict, request.mode)
    }

    /// What [`Engine::decide`] would return, by the same steps. Claims nothing, records no use, and does not count as a
    /// cache request.
    pub async fn explain(&self, settings: &Settings, request: &Request, now: Instant, deadline: Instant) -> Explained {
        let outcome = Check::new(&self.0, settings, request, (now, deadline), Effects::None).run().await;
        let facts = outcome.entry.map(|entry| entry.reading().facts);
        explained(outcome.verdict, request.mode, facts, outcome.would_own)
    }
}

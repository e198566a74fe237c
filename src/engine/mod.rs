//! Runs a decision: looks the key up, has [`crate::decision`] judge what is known, and makes the claim that it allows.

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

/// Decides.
pub struct Engine(Parts);

impl Engine {
    /// An engine over `cached`. Keys found under an older pepper go into `rekeys`.
    pub fn new(ring: Arc<KeyRing>, rekeys: rekey::Queue, cached: Arc<Cached>, state: Arc<ReplicaState>) -> Self {
        Self(Parts { ring, rekeys, cached, state, limiter: Limiter::new(Instant::now()) })
    }

    /// Decides `request`, which arrived at `now`, before `deadline`.
    ///
    /// A cached key is decided without an await; the deadline's timer starts only where the store is asked.
    pub async fn decide(&self, settings: &Settings, request: &Request, now: Instant, deadline: Instant) -> Decision {
        let outcome = Check::new(&self.0, settings, request, (now, deadline), Effects::All).run().await;
        answer(outcome.verdict, request.mode)
    }

    /// What [`Engine::decide`] would answer, by the same steps. Claims nothing, marks nothing, and is not counted as a
    /// cache request.
    pub async fn explain(&self, settings: &Settings, request: &Request, now: Instant, deadline: Instant) -> Explained {
        let outcome = Check::new(&self.0, settings, request, (now, deadline), Effects::None).run().await;
        let facts = outcome.entry.map(|entry| entry.facts.clone());
        explained(outcome.verdict, request.mode, facts, outcome.would_own)
    }
}

//! Measures every operation of a [`Store`].

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;
use tracing::debug;

use super::{
    Applied, AuditQuery, Change, ChangeError, Changes, Chore, Claim, Claimed, CountQuery, Counts, KeyQuery, KeyRow,
    Reading, Revision, Rotated, Rotation, Store, StoreError, Stored, Target, Tended,
};
use crate::{
    domain::{KeyDigests, Timestamp},
    telemetry::metrics::{ClaimOutcome, Operation, StoreMetrics},
};

/// A store whose operations are counted and timed.
pub struct Observed {
    store: Arc<dyn Store>,
    metrics: StoreMetrics,
}

impl Observed {
    /// Observes `store`.
    pub fn new(store: Arc<dyn Store>, metrics: StoreMetrics) -> Self {
        Self { store, metrics }
    }

    /// A refusal is an answer: only a store that did not do its part counts as an error. One whose caller gave up waiting
    /// did not.
    async fn timed<T, E: IsFailure + std::fmt::Display>(
        &self,
        operation: Operation,
        request: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut running = Running { metrics: &self.metrics, operation, started: Instant::now(), ok: false };
        let answer = request.await;
        if let Err(cause) = &answer {
            running.ok = !cause.is_failure();
            // The Follower tells of an outage once; this is for who looks for the one request.
            debug!(?operation, %cause, "the store did not do it");
        } else {
            running.ok = true;
        }
        answer
    }
}

struct Running<'a> {
    metrics: &'a StoreMetrics,
    operation: Operation,
    started: Instant,
    ok: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.metrics.request(self.operation, self.started.elapsed(), self.ok);
        if self.operation == Operation::Claim && !self.ok {
            self.metrics.claimed(ClaimOutcome::Failed);
        }
    }
}

trait IsFailure {
    fn is_failure(&self) -> bool;
}

impl IsFailure for StoreError {
    /// Being behind is the caller's state, not the store's.
    fn is_failure(&self) -> bool {
        !matches!(self, Self::Behind(_))
    }
}

impl IsFailure for ChangeError {
    fn is_failure(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_failure())
    }
}

fn operation(chore: &Chore) -> Operation {
    match chore {
        Chore::NoteUses(_) => Operation::NoteUses,
        Chore::Deliver { .. } => Operation::AppendAudit,
        Chore::PruneAudit { .. } => Operation::PruneAudit,
        Chore::Archive { .. } => Operation::Archive,
        Chore::Expire { .. } => Operation::Expire,
        Chore::Rekey { .. } => Operation::Rekey,
        Chore::Import { .. } => Operation::Import,
    }
}

#[async_trait]
impl Store for Observed {
    async fn lookup(&self, key: &KeyDigests) -> Result<Reading, StoreError> {
        self.timed(Operation::Lookup, self.store.lookup(key)).await
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let claimed = self.timed(Operation::Claim, self.store.claim(claim)).await?;
        self.metrics.claimed(match claimed {
            Claimed::Won { .. } | Claimed::Noted(_) => ClaimOutcome::Won,
            Claimed::Held(_) => ClaimOutcome::Held,
        });
        Ok(claimed)
    }

    async fn apply(&self, change: Change, actor: &str, now: Timestamp) -> Result<Applied, ChangeError> {
        self.timed(Operation::Apply, self.store.apply(change, actor, now)).await
    }

    async fn rotate(&self, step: Rotation, actor: &str, now: Timestamp) -> Result<Rotated, ChangeError> {
        self.timed(Operation::Rotate, self.store.rotate(step, actor, now)).await
    }

    async fn changes_after(&self, applied: Revision) -> Result<Changes, StoreError> {
        self.timed(Operation::Poll, self.store.changes_after(applied)).await
    }

    async fn keys(&self, query: KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
        self.timed(Operation::Keys, self.store.keys(query)).await
    }

    async fn find(&self, target: Target) -> Result<KeyRow, ChangeError> {
        self.timed(Operation::Find, self.store.find(target)).await
    }

    async fn audit(&self, query: AuditQuery) -> Result<Vec<Stored>, StoreError> {
        self.timed(Operation::Audit, self.store.audit(query)).await
    }

    async fn tend(&self, chore: Chore) -> Result<Tended, StoreError> {
        self.timed(operation(&chore), self.store.tend(chore)).await
    }

    async fn counts(&self, query: CountQuery) -> Result<Counts, StoreError> {
        let operation = if query.peppers { Operation::Peppers } else { Operation::Counts };
        self.timed(operation, self.store.counts(query)).await
    }
}

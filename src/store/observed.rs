//! Measures every operation of a [`Store`].

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;
use tracing::debug;

use super::{
    Applied, AuditQuery, BatchId, Change, ChangeError, Changes, Claim, Claimed, Counts, Crowded, Decisions, Denied,
    ExportedKey, Imported, KeyQuery, KeyRow, KnownPepper, Operators, PepperRow, Reading, Rekey, Revision, Rotated,
    Rotation, Store, StoreError, Stored, Target, Upkeep, Use,
};
use crate::{
    domain::{KeyDigests, KeyId, Timestamp, event::Record},
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

    /// Only a store that did not do its part counts as an error. One whose caller gave up waiting did not.
    async fn timed<T, E: Clone + Into<ChangeError>>(
        &self,
        operation: Operation,
        request: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut running = Running { metrics: &self.metrics, operation, started: Instant::now(), ok: false };
        let answer = request.await;
        let cause: Option<ChangeError> = answer.as_ref().err().cloned().map(E::into);
        if let Some(cause) = &cause {
            // The Follower tells of an outage once; this is for who looks for the one request.
            debug!(?operation, %cause, "the store did not do it");
        }
        running.ok = !cause.is_some_and(|cause| is_failure(&cause));
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

/// A refusal is an answer, and being behind is the caller's state, not the store's.
fn is_failure(cause: &ChangeError) -> bool {
    matches!(cause, ChangeError::Store(error) if !matches!(error, StoreError::Behind(_)))
}

#[async_trait]
impl Decisions for Observed {
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

    async fn changes_after(&self, applied: Revision) -> Result<Changes, StoreError> {
        self.timed(Operation::Poll, self.store.changes_after(applied)).await
    }
}

#[async_trait]
impl Operators for Observed {
    async fn apply(&self, change: Change, actor: &str, now: Timestamp) -> Result<Applied, ChangeError> {
        self.timed(Operation::Apply, self.store.apply(change, actor, now)).await
    }

    async fn rotate(&self, step: Rotation, actor: &str, now: Timestamp) -> Result<Rotated, ChangeError> {
        self.timed(Operation::Rotate, self.store.rotate(step, actor, now)).await
    }

    async fn find(&self, target: Target) -> Result<KeyRow, ChangeError> {
        self.timed(Operation::Find, self.store.find(target)).await
    }

    async fn list(&self, query: KeyQuery) -> Result<Vec<KeyRow>, StoreError> {
        self.timed(Operation::Keys, self.store.list(query)).await
    }

    async fn would_deny_keys(&self, limit: u32) -> Result<Vec<KeyRow>, StoreError> {
        self.timed(Operation::Keys, self.store.would_deny_keys(limit)).await
    }

    async fn export_page(&self, after: Option<KeyId>, limit: u32) -> Result<Vec<ExportedKey>, StoreError> {
        self.timed(Operation::Keys, self.store.export_page(after, limit)).await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.timed(Operation::Counts, self.store.counts()).await
    }

    async fn crowded_networks(&self, limit: u32) -> Result<Vec<Crowded>, StoreError> {
        self.timed(Operation::Counts, self.store.crowded_networks(limit)).await
    }

    async fn denials_since(&self, since: Timestamp) -> Result<Vec<Denied>, StoreError> {
        self.timed(Operation::Counts, self.store.denials_since(since)).await
    }

    async fn peppers(&self) -> Result<Vec<PepperRow>, StoreError> {
        self.timed(Operation::Peppers, self.store.peppers()).await
    }

    async fn audit(&self, query: AuditQuery) -> Result<Vec<Stored>, StoreError> {
        self.timed(Operation::Audit, self.store.audit(query)).await
    }
}

#[async_trait]
impl Upkeep for Observed {
    async fn note_uses(&self, uses: Vec<Use>) -> Result<u64, StoreError> {
        self.timed(Operation::NoteUses, self.store.note_uses(uses)).await
    }

    async fn deliver(&self, batch: BatchId, records: Vec<Record>) -> Result<u64, StoreError> {
        self.timed(Operation::AppendAudit, self.store.deliver(batch, records)).await
    }

    async fn prune_audit(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.timed(Operation::PruneAudit, self.store.prune_audit(before, limit)).await
    }

    async fn archive(&self, unused_since: Timestamp, limit: u32, now: Timestamp) -> Result<Vec<Record>, StoreError> {
        self.timed(Operation::Archive, self.store.archive(unused_since, limit, now)).await
    }

    async fn expire(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        self.timed(Operation::Expire, self.store.expire(before, limit)).await
    }

    async fn rekey(&self, moves: Vec<Rekey>, now: Timestamp) -> Result<u64, StoreError> {
        self.timed(Operation::Rekey, self.store.rekey(moves, now)).await
    }

    async fn import(
        &self,
        keys: Vec<ExportedKey>,
        peppers: Vec<KnownPepper>,
        actor: &str,
        now: Timestamp,
    ) -> Result<Imported, StoreError> {
        self.timed(Operation::Import, self.store.import(keys, peppers, actor, now)).await
    }
}

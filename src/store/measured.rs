//! Measures the operations of a [`Store`].

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{
    Applied, AuditQuery, BatchId, Change, ChangeError, Changes, Claim, Claimed, Counts, CrowdedNetwork, Decisions,
    DenialCount, ExportedKey, Imported, KeyQuery, KeyRow, KnownPepper, Operators, PepperRow, Reading, Rekey,
    ReplicaState, Revision, Rotated, Rotation, Store, StoreError, StoredRecord, Target, Upkeep, Use,
};
use crate::{
    domain::{
        KeyDigests, KeyId, Timestamp,
        event::Record,
        running::{Pause, Replica},
    },
    telemetry::metrics::{ClaimOutcome, Operation, StoreMetrics},
};

/// A store whose operations are counted and timed.
pub struct Measured {
    store: Arc<dyn Store>,
    metrics: StoreMetrics,
    state: Arc<ReplicaState>,
}

impl Measured {
    /// Measures `store`, and records in `state` whether it accepts writes.
    pub fn new(store: Arc<dyn Store>, metrics: StoreMetrics, state: Arc<ReplicaState>) -> Self {
        metrics.writable(true);
        Self { store, metrics, state }
    }

    /// Records whether claims are written, by one that was or was not. A failure that passes by itself says nothing.
    fn note_claim(&self, cause: Option<&StoreError>) {
        let obstacle = match cause {
            None => None,
            Some(StoreError::NotWritten(obstacle, _)) if obstacle.lasts() => Some(*obstacle),
            Some(_) => return,
        };
        if !self.state.writes().record(obstacle) {
            return;
        }
        self.metrics.writable(obstacle.is_none());
        match (obstacle, cause) {
            (Some(obstacle), Some(error)) => {
                let (cause, fix) = (obstacle.cause(), obstacle.fix());
                warn!(cause, fix, %error, "the store cannot be written: no key can be claimed and nothing can be changed");
            }
            _ => info!("the store can be written again"),
        }
    }

    /// Any refused write is a reason to find out whether a claim would be refused too.
    fn suspect(&self, cause: &ChangeError) {
        if matches!(cause, ChangeError::Store(StoreError::NotWritten(obstacle, _)) if obstacle.lasts()) {
            self.state.writes().suspect();
        }
    }

    /// Only a failure of the store counts as an error. A call whose caller left counts as one too.
    async fn timed<T, E: Clone + Into<ChangeError>>(
        &self,
        operation: Operation,
        request: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut timer = Timer { metrics: &self.metrics, operation, started: Instant::now(), ok: false };
        let answer = request.await;
        let cause: Option<ChangeError> = answer.as_ref().err().cloned().map(E::into);
        if let Some(cause) = &cause {
            // The Follower logs an outage once; this line is for finding a single request.
            debug!(?operation, %cause, "a store operation failed");
            self.suspect(cause);
        }
        timer.ok = !cause.is_some_and(|cause| is_failure(&cause));
        answer
    }
}

struct Timer<'a> {
    metrics: &'a StoreMetrics,
    operation: Operation,
    started: Instant,
    ok: bool,
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.metrics.request(self.operation, self.started.elapsed(), self.ok);
        if self.operation == Operation::Claim && !self.ok {
            self.metrics.claimed(ClaimOutcome::Failed);
        }
    }
}

/// A refusal is a valid answer, and `Behind` is the state of the caller, not of the store.
fn is_failure(cause: &ChangeError) -> bool {
    matches!(cause, ChangeError::Store(error) if !matches!(error, StoreError::Behind(_)))
}

#[async_trait]
impl Decisions for Measured {
    async fn lookup(&self, key: &KeyDigests) -> Result<Reading, StoreError> {
        self.timed(Operation::Lookup, self.store.lookup(key)).await
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError> {
        let claimed = self.timed(Operation::Claim, self.store.claim(claim)).await;
        if !matches!(claimed, Ok(Claimed::Held(_))) {
            self.note_claim(claimed.as_ref().err());
        }
        let claimed = claimed?;
        self.metrics.claimed(match claimed {
            Claimed::Won { .. } | Claimed::Noted(_) => ClaimOutcome::Won,
            Claimed::Held(_) => ClaimOutcome::Held,
        });
        Ok(claimed)
    }

    async fn try_claim(&self, claim: Claim) -> Result<(), StoreError> {
        let tried = self.timed(Operation::TryClaim, self.store.try_claim(claim)).await;
        self.note_claim(tried.as_ref().err());
        tried
    }

    async fn changes_after(&self, applied: Revision) -> Result<Changes, StoreError> {
        self.timed(Operation::Poll, self.store.changes_after(applied)).await
    }
}

/// Implements a trait by timing each `method` of the store as `Operation`.
macro_rules! timed {
    ($contract:ident { $($operation:ident: $method:ident($($name:ident: $type:ty),*) -> $answer:ty;)* }) => {
        #[async_trait]
        impl $contract for Measured {
            $(async fn $method(&self, $($name: $type),*) -> $answer {
                self.timed(Operation::$operation, self.store.$method($($name),*)).await
            })*
        }
    };
}

timed!(Operators {
    Apply: apply(change: Change, actor: &str, now: Timestamp) -> Result<Applied, ChangeError>;
    Rotate: rotate(step: Rotation, actor: &str, now: Timestamp) -> Result<Rotated, ChangeError>;
    Find: find(target: Target) -> Result<KeyRow, ChangeError>;
    Keys: list(query: KeyQuery) -> Result<Vec<KeyRow>, StoreError>;
    Keys: would_deny_keys(limit: u32) -> Result<Vec<KeyRow>, StoreError>;
    Keys: export_page(after: Option<KeyId>, limit: u32) -> Result<Vec<ExportedKey>, StoreError>;
    Counts: counts() -> Result<Counts, StoreError>;
    Counts: crowded_networks(limit: u32) -> Result<Vec<CrowdedNetwork>, StoreError>;
    Counts: denials_since(since: Timestamp) -> Result<Vec<DenialCount>, StoreError>;
    Peppers: peppers() -> Result<Vec<PepperRow>, StoreError>;
    Audit: audit(query: AuditQuery) -> Result<Vec<StoredRecord>, StoreError>;
});

timed!(Upkeep {
    NoteUses: note_uses(uses: Vec<Use>) -> Result<u64, StoreError>;
    AppendAudit: deliver(batch: BatchId, records: Vec<Record>) -> Result<u64, StoreError>;
    PruneAudit: prune_audit(before: Timestamp, limit: u32) -> Result<u64, StoreError>;
    Archive: tick(now: Timestamp) -> Result<Vec<Pause>, StoreError>;
    NoteUses: uses_written(until: Timestamp) -> Result<(), StoreError>;
    Replicas: replicas(now: Timestamp, forget_before: Timestamp) -> Result<Vec<Replica>, StoreError>;
    Archive: archive(unused_since: Timestamp, limit: u32, now: Timestamp) -> Result<Vec<Record>, StoreError>;
    Expire: expire(before: Timestamp, limit: u32) -> Result<u64, StoreError>;
    Rekey: rekey(moves: Vec<Rekey>, now: Timestamp) -> Result<u64, StoreError>;
    Import: import(keys: Vec<ExportedKey>, peppers: Vec<KnownPepper>, actor: &str, now: Timestamp)
        -> Result<Imported, StoreError>;
});

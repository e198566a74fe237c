//! The store as requests use it.

use async_trait::async_trait;

use super::{Changes, Claim, Claimed, Reading, Revision, StoreError};
use crate::domain::KeyDigests;

/// The operations that decisions need: the facts of a key, its first use, and the changes since a revision.
///
/// Every method may be cancelled at any await: the operation was then carried out or not, and the next call shows
/// which.
///
/// Every method may fail with [`StoreError::Unavailable`] or [`StoreError::Corrupt`]. Then the store is lost to this
/// decision: the caller decides without it, and does not retry on the path of the request. No backend returns
/// [`StoreError::Late`], which is for callers that bound a call. Each method documents its other errors.
#[async_trait]
pub trait Decisions: Send + Sync + 'static {
    /// Returns the facts of `key`, with the revision of the statement that read them. Never creates anything. A key has
    /// one row, under one of its digests; all digests are looked up in one snapshot.
    async fn lookup(&self, key: &KeyDigests) -> Result<Reading, StoreError>;

    /// Makes `claim.network` the owner of the key, or one more owner within its learn window, or, for
    /// [`Purpose::Observe`](super::Purpose::Observe), a candidate. A ban in force or a sealed binding prevents this. Of
    /// concurrent claims, each slot has exactly one [`Claimed::Won`]; the others get [`Claimed::Held`] with the facts
    /// that prevented them, read after the commit of the winner. The audit record is part of the same transaction. An
    /// open binding whose window has ended or whose slots are taken is sealed by the claim: only a transaction seals a
    /// binding, so that no two clocks can disagree about it. The write is durable (covered by an fdatasync or its
    /// equivalent) before the answer.
    ///
    /// A claim takes no revision, because caches never hold the fact that a key has no owner. The exception is a claim
    /// that deletes candidates: requests of candidates are allowed from a cache.
    ///
    /// Claims hold a lock on the active pepper until the end of their transaction. It is shared among claims and
    /// exclusive for [`Operators::rotate`](super::Operators::rotate), so no claim can commit a row under the previous
    /// pepper after an activation. (The single writer of SQLite is that lock; in PostgreSQL it is a transaction-level
    /// advisory lock.) The row of a key that is found under another of its digests is re-keyed by the claim.
    ///
    /// Errors: [`Unavailable`](StoreError::Unavailable), it is not known whether the claim was written, and the next
    /// [`lookup`](Self::lookup) shows it; [`NotWritten`](StoreError::NotWritten), nothing was; [`Corrupt`](StoreError::Corrupt), nothing was written;
    /// [`Behind`](StoreError::Behind), nothing was written because `claim.key` is not under the active pepper: compute
    /// the digests with the pepper that the error names, and claim again.
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError>;

    /// Writes as [`claim`](Self::claim) does, and keeps nothing of it: whether a claim would be written now. On success
    /// it says nothing about who would win.
    ///
    /// Errors: those of [`claim`](Self::claim).
    async fn try_claim(&self, claim: Claim) -> Result<(), StoreError>;

    /// Returns the keys changed after `applied`, oldest first, with the clock and the current revision of the store;
    /// all read in one snapshot. If the log does not reach back to `applied`, or the store (restored from a backup) has
    /// not reached it yet, returns the whole log. Of more than 100,000 changes, returns the newest. If
    /// [`complete_from`](Changes::complete_from) is later than `applied`, or [`history`](Changes::history) differs from
    /// that of the last call, the caller must drop everything that it has cached.
    ///
    /// Errors: later changes are not known; ask again with the same `applied`.
    async fn changes_after(&self, applied: Revision) -> Result<Changes, StoreError>;
}

//! What a request asks of a store.

use async_trait::async_trait;

use super::{Changes, Claim, Claimed, Reading, Revision, StoreError};
use crate::domain::KeyDigests;

/// The store as decisions need it: a key's facts, its first use, and what has changed since.
///
/// Every method may be cancelled at any await: the operation then happened or did not, and the next call sees which.
///
/// Every method may fail with [`StoreError::Unavailable`] or [`StoreError::Corrupt`]. Then the store is lost to this
/// decision: the caller decides without it, and does not try again on the request's path. No backend returns
/// [`StoreError::Late`]: it is for callers that bound a call. A method documents what else its errors mean.
#[async_trait]
pub trait Decisions: Send + Sync + 'static {
    /// Returns what is known of `key`, with the revision of the statement that read it. Never creates anything. A key has
    /// one row, under one of its digests; all are looked up in one snapshot.
    async fn lookup(&self, key: &KeyDigests) -> Result<Reading, StoreError>;

    /// Makes `claim.network` the owner of the key, or one more owner within its learn window, or, for
    /// [`Purpose::Observe`](super::Purpose::Observe), a candidate. A ban in force stands in the way, and so does a binding
    /// that is sealed. Among racing callers each slot has exactly one [`Claimed::Won`]; the others get [`Claimed::Held`]
    /// with what stood in their way, read after the winner's commit. The audit record is part of the same transaction.
    /// An open binding whose window is over or whose slots are taken is sealed on the way: what is sealed was sealed by a
    /// transaction, so that no two clocks can disagree on it. The write is durable (covered by an fdatasync or its
    /// equivalent) before the answer.
    ///
    /// A claim takes no revision, because caches never say that a key is nobody's. Only one that forgets candidates does:
    /// caches say of those that the key is theirs.
    ///
    /// Claims hold a lock on the active pepper to the end of their transaction, shared among them and exclusive for
    /// [`Operators::rotate`](super::Operators::rotate) (SQLite has one writer, which is that lock; in PostgreSQL it is a
    /// transaction-level advisory lock), so no claim can commit a row under a pepper of yesterday after the activation of
    /// today's. The row of a key that is found under another of its digests is re-keyed on the way.
    ///
    /// Errors: [`Unavailable`](StoreError::Unavailable), the claim was written or not, and the next
    /// [`lookup`](Self::lookup) finds out; [`Corrupt`](StoreError::Corrupt), nothing was written;
    /// [`Behind`](StoreError::Behind), nothing was written because `claim.key` is not of the active pepper: make the
    /// digests again with the pepper that the error names, and claim again.
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError>;

    /// Returns the keys changed after `applied`, oldest first, with the store's clock and current revision; everything
    /// read in one snapshot. Where the log does not reach back to `applied`, or the store (restored from a backup) has not
    /// come to it, all that the log has; of more than 100,000 changes the newest.
    /// Where [`complete_from`](Changes::complete_from) is later than `applied`, the caller drops everything that it has
    /// cached.
    ///
    /// Errors: nothing is known of later changes; ask again with the same `applied`.
    async fn changes_after(&self, applied: Revision) -> Result<Changes, StoreError>;
}

//! The store as background jobs use it.

use async_trait::async_trait;

use super::{BatchId, ExportedKey, Imported, KnownPepper, Rekey, StoreError, Use};
use crate::domain::{
    Timestamp,
    event::Record,
    running::{Pause, Replica},
};

/// The batch operations of jobs. Each call is one transaction (except that whole days of the audit are dropped
/// separately), durable (covered by an fdatasync or its equivalent) before its `Ok`. First uses wait for it, so batches
/// should be small.
///
/// Every method may be cancelled at any await: the batch was then written or not. Repeating a call is safe.
///
/// Every method may fail with [`StoreError::Unavailable`]: it is not known whether the batch was written, and the
/// caller retries later. Or with [`StoreError::NotWritten`]: nothing was, and the caller retries later. Or with
/// [`StoreError::Corrupt`]: nothing was written, and nothing will be until the row that it names is repaired. No backend
/// returns [`StoreError::Late`] or [`StoreError::Behind`].
#[async_trait]
pub trait Upkeep: Send + Sync + 'static {
    /// Records when keys were last used and denied; never moves a time backwards, never creates a row. Returns the
    /// number of updated bindings.
    async fn note_uses(&self, uses: Vec<Use>) -> Result<u64, StoreError>;

    /// Appends audit records, all or none, exactly once. Returns the number of appended records: none if the batch was
    /// stored already. The store remembers, in the same transaction, only the highest number of each spool, so the
    /// batches of a spool must arrive in the order of their numbers: a batch that arrives after a later one is taken
    /// for delivered.
    ///
    /// Errors: after any error, keep the batch and deliver it again under its number before any other batch of its
    /// spool.
    async fn deliver(&self, batch: BatchId, records: Vec<Record>) -> Result<u64, StoreError>;

    /// Deletes the oldest audit records whose last time is before `before`, but never the one with the highest number,
    /// so that no number is assigned twice. The data for undoing a change is deleted with its record. Returns the
    /// number of deleted records: at most `limit`, not counting the whole days that a store drops at once; fewer than
    /// `limit` means that there are no more, or that another replica is deleting them.
    async fn prune_audit(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Records that a replica runs at `now`, and returns the pauses, in no order.
    async fn tick(&self, now: Timestamp) -> Result<Vec<Pause>, StoreError>;

    /// Records that this replica has written all times of last use up to `until`, on the clock of the store.
    async fn uses_written(&self, until: Timestamp) -> Result<(), StoreError>;

    /// Records which replicas read from the store at `now`, forgets those that have not since `forget_before`, and returns
    /// the rest, in no order. A replica that reads and has never written is included, except the one that asks: that one is
    /// included once it has written.
    async fn replicas(&self, now: Timestamp, forget_before: Timestamp) -> Result<Vec<Replica>, StoreError>;

    /// Archives at most `limit` learned bindings that were created before `unused_since` and neither used nor denied
    /// since, the longest unused first; the statement that archives a binding checks this again. Its ban stays; its
    /// audit record and its change are part of the same transaction. Returns the records, already stored; fewer than
    /// `limit` means that there are no more, or that another replica is archiving them.
    async fn archive(&self, unused_since: Timestamp, limit: u32, now: Timestamp) -> Result<Vec<Record>, StoreError>;

    /// Deletes bans and provisional bindings that ended before `before`, at most `limit` of each, and returns the
    /// number deleted. They are no longer in force, so no cached fact becomes wrong.
    async fn expire(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Re-keys rows: binding, ban, candidates and archived rows of a key get its digest under the active pepper, and
    /// keep everything else, their id too. Each key takes a revision, and its change is logged under the old digest,
    /// under which caches hold it. Skips a key that has no row under the old digest, one that has a row under the new
    /// digest, and one whose new digest is not under the active pepper. Returns the number of re-keyed keys.
    async fn rekey(&self, moves: Vec<Rekey>, now: Timestamp) -> Result<u64, StoreError>;

    /// Imports keys of another store, in order. A key that is known already, by its id or its digest, in any table, is
    /// left unchanged: an import overwrites nothing and changes no owner. Each imported key takes a revision; one audit
    /// record covers the import. The peppers of the keys need not be active, but must be in `peppers`, those that the
    /// caller lists. The store records those that it does not know.
    ///
    /// Errors: [`Corrupt`](StoreError::Corrupt) also if a key is under a pepper that is not in `peppers`, or if the
    /// store knows another secret with the id of one of these.
    async fn import(
        &self,
        keys: Vec<ExportedKey>,
        peppers: Vec<KnownPepper>,
        actor: &str,
        now: Timestamp,
    ) -> Result<Imported, StoreError>;
}

//! What is written to a store in batches, beside decisions and operators' changes.

use async_trait::async_trait;

use super::{BatchId, ExportedKey, Imported, KnownPepper, Rekey, StoreError, Use};
use crate::domain::{Timestamp, event::Record};

/// The store as jobs need it. Each call is one transaction (beside days of the audit that are dropped whole), durable
/// (covered by an fdatasync or its equivalent) before its `Ok`. First uses wait behind it, so a batch should be a small one.
///
/// Every method may be cancelled at any await: the batch was then written or not. To repeat a call does no harm.
///
/// Every method may fail with [`StoreError::Unavailable`]: the batch was written or not, and the caller tries again later.
/// Or with [`StoreError::Corrupt`]: nothing was written, and nothing will be until the row that it names is repaired. No
/// backend returns [`StoreError::Late`] or [`StoreError::Behind`].
#[async_trait]
pub trait Upkeep: Send + Sync + 'static {
    /// Writes down when keys were last used and refused; never moves a time backwards, never makes a row. Returns how many
    /// bindings it touched.
    async fn note_uses(&self, uses: Vec<Use>) -> Result<u64, StoreError>;

    /// Appends audit records, all or none, and once. Returns how many: none where the batch was there already. That is
    /// remembered in the same transaction, and by the highest number alone, so the batches of a spool must come in the
    /// order of their numbers; one that comes after a later one is taken for delivered.
    ///
    /// Errors: after any error, keep the batch and deliver it again under its number before any other of its spool.
    async fn deliver(&self, batch: BatchId, records: Vec<Record>) -> Result<u64, StoreError>;

    /// Deletes the oldest of the audit records whose last time is before `before`, and never the one with the highest
    /// number, so that no number is given twice. What it takes to undo a change goes with its record. Returns how many
    /// were deleted: at most `limit`, beside the whole days that a store drops at once; fewer than `limit` mean that there
    /// are no more, or that another replica deletes them now.
    async fn prune_audit(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Archives at most `limit` learned bindings that were made before `unused_since` and neither used nor refused since,
    /// the longest unused first; each is judged again by the statement that archives it. Its ban stays, its audit record
    /// and its change are part of the same transaction. Returns the records, already stored; fewer than `limit` mean that
    /// there are no more, or that another replica archives them now.
    async fn archive(&self, unused_since: Timestamp, limit: u32, now: Timestamp) -> Result<Vec<Record>, StoreError>;

    /// Deletes bans and provisional bindings that ended before `before`, at most `limit` of each, and returns how many:
    /// they bind nobody any more, so no cached fact is wrong for it.
    async fn expire(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;

    /// Re-keys rows: binding, ban, candidates and archived rows of a key get the digest that it has under the active
    /// pepper, and keep their id and all else. Each takes a revision and is logged under the digest that it leaves, which
    /// is the one that caches know. What is no longer there, is there under the new digest already or would leave the
    /// active pepper is left alone. Returns how many keys were re-keyed.
    async fn rekey(&self, moves: Vec<Rekey>, now: Timestamp) -> Result<u64, StoreError>;

    /// Takes in keys of another store, in their order. A key that is known already, by its id or its digest, in whatever
    /// table, is left alone: nothing is overwritten, and nobody's key goes to somebody else. Each key taken takes a
    /// revision; one audit record tells of all. What they are under need not be active, but must be among `peppers`,
    /// those of the caller, which the store knows from then on.
    ///
    /// Errors: [`Corrupt`](StoreError::Corrupt) also where a key is under a pepper that is not among `peppers`, or one of
    /// these is the name of another secret in the store.
    async fn import(
        &self,
        keys: Vec<ExportedKey>,
        peppers: Vec<KnownPepper>,
        actor: &str,
        now: Timestamp,
    ) -> Result<Imported, StoreError>;
}

//! The store as operators use it.

use async_trait::async_trait;

use super::{
    Applied, AuditQuery, Change, ChangeError, Counts, CrowdedNetwork, DenialCount, ExportedKey, KeyQuery, KeyRow,
    PepperRow, Rotated, Rotation, StoreError, StoredRecord, Target,
};
use crate::domain::{KeyId, Timestamp};

/// The changes and queries of operators.
///
/// Every method may be cancelled at any await: the operation was then carried out or not, and the next call shows
/// which. A change is durable (covered by an fdatasync or its equivalent) before its `Ok`. Queries may scan; a decision
/// never waits for them.
///
/// Every method may fail with [`StoreError::Unavailable`]: a retry may succeed. A change may fail with
/// [`StoreError::NotWritten`]: nothing was written, and a retry may succeed. Or with [`StoreError::Corrupt`]: a
/// retry fails, and the error names the row that cannot be read and must be repaired. No backend returns
/// [`StoreError::Late`]. Each method documents its other errors.
#[async_trait]
pub trait Operators: Send + Sync + 'static {
    /// Applies a change in one transaction: the row, its audit record and `revision + 1`. The target is resolved inside
    /// the transaction, over bindings, bans, candidates and archived rows.
    ///
    /// Errors: [`Refused`](ChangeError::Refused), nothing was changed, and a retry is refused until the store changes;
    /// [`Unavailable`](StoreError::Unavailable), it is not known whether the change was made: check before you repeat
    /// it; [`Corrupt`](StoreError::Corrupt), nothing was changed; [`Behind`](StoreError::Behind), nothing was changed
    /// because the digests of the target key are not under the active pepper: compute them with the one that the error
    /// names.
    async fn apply(&self, change: Change, actor: &str, now: Timestamp) -> Result<Applied, ChangeError>;

    /// Carries out a step of a rotation in one transaction with its audit records. Each step takes revisions, and each
    /// forgotten key is logged as changed. A step that is not [`done`](Rotated::done) must be repeated.
    ///
    /// Errors: [`Refused`](ChangeError::Refused), nothing was changed; [`Unavailable`](StoreError::Unavailable), it is
    /// not known whether the step was made, and [`peppers`](Self::peppers) shows it; [`Corrupt`](StoreError::Corrupt),
    /// nothing was changed.
    async fn rotate(&self, step: Rotation, actor: &str, now: Timestamp) -> Result<Rotated, ChangeError>;

    /// Returns the key that `target` names among bindings, bans, candidates and archived rows, with the networks that
    /// were denied it in the last 24 h.
    ///
    /// Errors: [`Refused`](ChangeError::Refused) with [`NotFound`](super::Refusal::NotFound) or
    /// [`Ambiguous`](super::Refusal::Ambiguous).
    async fn find(&self, target: Target) -> Result<KeyRow, ChangeError>;

    /// Returns the keys that `query` selects; a key with a binding and a ban is one row, with the later of their times.
    /// Whether a ban is in force is decided by the clock of the store.
    async fn list(&self, query: KeyQuery) -> Result<Vec<KeyRow>, StoreError>;

    /// Returns at most `limit` keys that have an owner and were allowed only because of the mode in the last 24 h, the
    /// most frequent first, each with the networks that enforcing would deny. Excludes banned keys, which are denied in
    /// every mode, and networks that an owner covers by now.
    async fn would_deny_keys(&self, limit: u32) -> Result<Vec<KeyRow>, StoreError>;

    /// Returns the first `limit` keys by id, after `after`, of all known keys, including observed and archived ones; a
    /// page is read in one snapshot. An empty page is the end.
    async fn export_page(&self, after: Option<KeyId>, limit: u32) -> Result<Vec<ExportedKey>, StoreError>;

    /// Counts bindings by state, bans in force by the clock of the store, and observed keys. Scans: for queries by
    /// operators and one job a minute.
    async fn counts(&self) -> Result<Counts, StoreError>;

    /// Returns the `limit` networks that own the most learned keys, or used the most observed ones, those with the most
    /// keys first.
    async fn crowded_networks(&self, limit: u32) -> Result<Vec<CrowdedNetwork>, StoreError>;

    /// Counts denials by reason, of records whose last time is not before `since`, including requests that the mode
    /// allowed; the most frequent first.
    async fn denials_since(&self, since: Timestamp) -> Result<Vec<DenialCount>, StoreError>;

    /// Returns every pepper that was active or imported, and what is under it; the active one first, the others by id.
    async fn peppers(&self) -> Result<Vec<PepperRow>, StoreError>;

    /// Returns the audit records that `query` selects. In the order [`LastStored`](super::AuditOrder::LastStored), a
    /// record is returned only when every record with a lower number is visible: a caller that reads up to its number,
    /// and later continues from there, misses none.
    async fn audit(&self, query: AuditQuery) -> Result<Vec<StoredRecord>, StoreError>;
}

//! What operators ask of a store, and what they change in it.

use async_trait::async_trait;

use super::{
    Applied, AuditQuery, Change, ChangeError, Counts, Crowded, Denied, ExportedKey, KeyQuery, KeyRow, PepperRow,
    Rotated, Rotation, StoreError, Stored, Target,
};
use crate::domain::{KeyId, Timestamp};

/// The store as operators see it: their changes, and their questions.
///
/// Every method may be cancelled at any await: the operation then happened or did not, and the next call sees which.
/// A change is durable (covered by an fdatasync or its equivalent) before its `Ok`. Questions may scan; a decision never
/// waits for them.
///
/// Every method may fail with [`StoreError::Unavailable`], which may pass: ask again. Or with [`StoreError::Corrupt`],
/// which does not: it names the row that cannot be read and has to be repaired. No backend returns [`StoreError::Late`]. A
/// method documents what else its errors mean.
#[async_trait]
pub trait Operators: Send + Sync + 'static {
    /// Carries out an operator's change in one transaction: the row, its audit record and `revision + 1`. The target is
    /// resolved inside the transaction, over bindings, bans and archived rows.
    ///
    /// Errors: [`Refused`](ChangeError::Refused), nothing was changed, and nothing will be until the store holds something
    /// else; [`Unavailable`](StoreError::Unavailable), the change was made or not: look before you repeat it;
    /// [`Corrupt`](StoreError::Corrupt), nothing was changed; [`Behind`](StoreError::Behind), nothing was changed because
    /// the target is a key whose digests are not of the active pepper: make them again with the one that the error names.
    async fn apply(&self, change: Change, actor: &str, now: Timestamp) -> Result<Applied, ChangeError>;

    /// Carries out a step of a rotation in one transaction with its audit records. Each takes revisions, and each key
    /// forgotten is logged as changed. A step that is not [`done`](Rotated::done) has to be repeated.
    ///
    /// Errors: [`Refused`](ChangeError::Refused), nothing was changed; [`Unavailable`](StoreError::Unavailable), the step
    /// was made or not, and [`peppers`](Self::peppers) shows which; [`Corrupt`](StoreError::Corrupt), nothing was changed.
    async fn rotate(&self, step: Rotation, actor: &str, now: Timestamp) -> Result<Rotated, ChangeError>;

    /// Returns the one key that `target` names among bindings, bans, candidates and archived rows, with the networks
    /// that were refused it in the last 24 h.
    ///
    /// Errors: [`Refused`](ChangeError::Refused) with [`NotFound`](super::Refusal::NotFound) or
    /// [`Ambiguous`](super::Refusal::Ambiguous).
    async fn find(&self, target: Target) -> Result<KeyRow, ChangeError>;

    /// Returns the keys that `query` selects; a key with a binding and a ban is one row, as new as the newer. Whether a
    /// ban is in force is judged by the store's clock.
    async fn list(&self, query: KeyQuery) -> Result<Vec<KeyRow>, StoreError>;

    /// Returns at most `limit` of the keys that have an owner and that only the mode let through in the last 24 h, the
    /// busiest first, each with the networks that enforcing would refuse. Not those of a banned key, which is refused in
    /// every mode, nor networks that an owner covers by now.
    async fn would_deny_keys(&self, limit: u32) -> Result<Vec<KeyRow>, StoreError>;

    /// Returns the first `limit` keys by id, after `after`, of all that anything is known of, seen or archived ones too;
    /// all of a page in one snapshot. An empty page is the end.
    async fn export_page(&self, after: Option<KeyId>, limit: u32) -> Result<Vec<ExportedKey>, StoreError>;

    /// Counts bindings by state, bans in force by the store's clock, and observed keys. Scans: for operators' questions
    /// and one job a minute.
    async fn counts(&self) -> Result<Counts, StoreError>;

    /// Returns the `limit` networks that own the most learned keys, or used the most observed ones; the fullest first.
    async fn crowded_networks(&self, limit: u32) -> Result<Vec<Crowded>, StoreError>;

    /// Counts by reason the denials whose record's last time is not before `since`, also those that only the mode let
    /// through; the most frequent first.
    async fn denials_since(&self, since: Timestamp) -> Result<Vec<Denied>, StoreError>;

    /// Returns every pepper that was ever active or came with an import, and what is under it; the active one first, the
    /// others by name.
    async fn peppers(&self) -> Result<Vec<PepperRow>, StoreError>;

    /// Returns the audit records that `query` selects. In the order [`LastStored`](super::AuditOrder::LastStored) it
    /// returns no record before every record with a lower number is visible: a caller that reads up to its number, and
    /// later from there on, misses none.
    async fn audit(&self, query: AuditQuery) -> Result<Vec<Stored>, StoreError>;
}

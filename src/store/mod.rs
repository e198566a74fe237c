//! Where bindings, bans and the audit live.
//!
//! The contract of a backend is three traits by reader: [`Decisions`], [`Operators`] and [`Upkeep`];
//! `tests/store_contract/` runs one suite over all backends. Operations are whole: there is no get-then-put, so no caller
//! can lose a race that the backend has not decided.

mod change;
mod claim;
mod columns;
mod decisions;
mod error;
mod exported;
mod listing;
pub mod observed;
mod operators;
pub mod postgres;
mod records;
pub mod rekey;
mod replica_state;
mod revision;
mod rotation;
mod rules;
mod selection;
pub(crate) mod snapshot;
pub mod sqlite;
mod upkeep;

pub use change::{Action, Applied, Change, RefusedNetwork, Target};
pub use claim::{Claim, Claimed, MAX_CANDIDATES, Purpose, Slots, Use};
pub use decisions::Decisions;
pub use error::{ChangeError, PepperFault, Refusal, StoreError};
pub use exported::{ArchivedBinding, ExportedKey, Imported, KnownPepper};
pub use listing::{
    AuditOrder, AuditQuery, Counts, Crowded, Denied, KeyFilter, KeyQuery, KeyRow, Life, Order, StateFilter,
};
pub use operators::Operators;
pub use records::{BatchId, RecordId, SpoolId, Stored};
pub use replica_state::ReplicaState;
pub use revision::{Changes, Reading, Revision, StoreLife};
pub use rotation::{FORGOTTEN_AT_ONCE, PepperRow, PepperUsage, Rekey, Rotated, Rotation};
pub use upkeep::Upkeep;

/// A store for every reader, which is what wiring and tests hold.
pub trait Store: Decisions + Operators + Upkeep {}

impl<T: Decisions + Operators + Upkeep> Store for T {}

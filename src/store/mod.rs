//! The store of bindings, bans and the audit.
//!
//! A backend implements three traits: [`Decisions`], [`Operators`] and [`Upkeep`]; `tests/store_contract/` runs one
//! suite over all backends. Operations are complete: there is no get-then-put, so the backend alone decides every race.

mod change;
mod claim;
mod columns;
mod decisions;
mod error;
mod exported;
mod listing;
pub mod measured;
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
mod writes;

pub use change::{Action, Applied, Change, RefusedNetwork, Target};
pub use claim::{Claim, Claimed, MAX_CANDIDATES, Purpose, Slots, Use};
pub use decisions::Decisions;
pub use error::{ChangeError, PEPPER_SOURCES, PepperMismatch, Refusal, StoreError};
pub use exported::{ArchivedBinding, ExportedKey, Imported, KnownPepper};
pub use listing::{
    AuditOrder, AuditQuery, BindingDetails, Counts, CrowdedNetwork, DenialCount, KeyFilter, KeyQuery, KeyRow, Order,
    StateFilter,
};
pub use operators::Operators;
pub use records::{BatchId, RecordId, SpoolId, StoredRecord};
pub use replica_state::{Moment, ReplicaState};
pub use revision::{Changes, HistoryId, Reading, Revision};
pub use rotation::{FORGOTTEN_AT_ONCE, PepperRow, PepperUsage, Rekey, Rotated, Rotation};
pub use upkeep::Upkeep;
pub use writes::{WriteObstacle, WriteState};

/// All operations of a store, for the wiring and tests.
pub trait Store: Decisions + Operators + Upkeep {}

impl<T: Decisions + Operators + Upkeep> Store for T {}

//! The operators' operations, for every transport: [`Service`] takes a `Principal` and a typed command, and returns a
//! typed outcome or an `Error` that names field, cause and fix.
//!
//! A change is authorised and validated into a [`Change`](crate::store::Change). The store makes it in one transaction,
//! in a task that runs to completion, and the other replicas are notified. The operation returns when the change
//! is in effect in this process.

mod address;
mod apply;
mod audit;
mod change;
mod diagnosis;
mod error;
mod explain;
mod export;
mod head;
mod import;
mod key;
mod key_file;
mod keys;
mod peppers;
mod principal;
mod promote;
mod promoted;
mod state;
mod status;
mod validate;

pub use state::Service;

pub(crate) use address::Address;
pub(crate) use apply::Changed;
pub(crate) use audit::AuditFilter;
pub(crate) use change::{ChangeCommand, KeyAction};
pub(crate) use diagnosis::Diagnosis;
pub(crate) use error::{Code, Error};
pub(crate) use explain::{Explain, Explanation};
pub(crate) use export::Exported;
pub(crate) use import::Imported;
pub(crate) use key::KeyReference;
pub(crate) use keys::ListKeys;
pub(crate) use peppers::{Pepper, RotationStep};
pub(crate) use principal::Principal;
pub(crate) use promoted::{PromoteEvent, PromotedKey};
pub(crate) use state::{AsOf, OutcomeStream};
pub(crate) use status::Status;

use error::FieldError;
use principal::Operation;
use promoted::{PromoteSums, Promoted};

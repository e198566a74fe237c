//! Every operation of operators, whichever edge it comes through: [`Service`] takes who asks (a `Principal`) and a typed
//! command, and answers a typed outcome or an `Error` that names field, cause and fix.
//!
//! A change is authorised, read into a [`Change`](crate::store::Change) that cannot be invalid, made by the store in one
//! transaction in a task of its own, made known to the other replicas, and answered once this process decides by it.

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
pub(crate) use state::{AsOf, Parts};
pub(crate) use status::Status;

use error::FieldError;
use principal::Operation;
use promoted::{PromoteSums, Promoted};

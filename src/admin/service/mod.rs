//! Every operation of operators, whichever edge it comes through: [`Service`] takes who asks (a [`Principal`]) and a
//! typed command, and answers a typed outcome or an [`Error`] that names field, cause and fix.
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
mod keys;
mod peppers;
mod principal;
mod promote;
mod promoted;
mod state;
mod status;
mod validate;

pub use address::Address;
pub use apply::Changed;
pub use audit::AuditFilter;
pub use change::{ChangeCommand, KeyAction};
pub use diagnosis::Diagnosis;
pub use error::{Code, Error, FieldError};
pub use explain::{Explain, Explanation};
pub use export::Exported;
pub use import::Imported;
pub use key::KeyReference;
pub use keys::ListKeys;
pub use peppers::{Pepper, RotationCommand, RotationStep};
pub use principal::{Operation, Principal};
pub use promoted::{PromoteEvent, PromoteSums, Promoted, PromotedKey};
pub use state::{AsOf, Parts, Service};
pub use status::Status;

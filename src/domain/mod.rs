//! The domain's values: keys, addresses, bindings, reasons, audit records.
//!
//! Pure: no I/O, async, clock, wire format or log. Time is an argument ([`Timestamp`]). Every stored or exchanged
//! format is derived from these types, so that a value is written in one way everywhere.

pub mod addr;
pub mod binding;
pub mod event;
pub mod facts;
mod format;
pub mod key;
mod mode;
mod nat64;
pub mod reason;
mod ring;
mod rules;
pub mod running;
pub mod shape;
pub mod text;
mod time;
mod words;

pub use addr::{ClientIp, Network};
pub use binding::{Ban, Binding, Candidate, KeyFacts, State};
pub use facts::{BindingView, FactsView, Standing};
pub use key::{
    ApiKey, Fingerprint, Hint, KeyDigest, KeyDigests, KeyHasher, KeyId, KeyIdPrefix, MAX_KEY, Pepper, PepperId,
};
pub use mode::Mode;
pub use nat64::Nat64;
pub use reason::Reason;
pub use ring::{KeyRing, PepperListError, Peppers};
pub use rules::{BindingRules, Failsafe, FirstUse, Missing};
pub use shape::Shape;
pub use time::Timestamp;
pub(crate) use words::words;

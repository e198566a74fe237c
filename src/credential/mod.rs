//! Reads a request's one canonical key from its headers and path.
//!
//! A *profile* has a closed grammar for each carrier. A text that does not match exactly is [`Fault::Malformed`] and is
//! never accepted as it is: if the upstream read it differently, it would be a second name for a key, and an attacker
//! could make its first use. Pure: no I/O, no clock.

mod basic;
mod carrier;
mod credentials;
mod custom;
mod explained;
mod foreign;
mod grammar;
mod jwt;
mod litellm;
mod login;
mod name;
mod passthrough;
mod placeholder;
mod profile;
mod protocol;
mod slot;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod unread;

pub use basic::BasicPart;
pub use carrier::{Carrier, Form, Header, Place};
pub use credentials::{Credentials, Fault, Options};
pub use custom::{Custom, NO_CARRIER};
pub use explained::{ExplainedCarrier, Holds};
pub use foreign::Foreign;
pub use grammar::{Alphabet, Canonicalisation, Format, Grammar};
pub use login::LoginRoutes;
pub use name::{Names, plain, same_name};
pub use passthrough::{Ignored, PREVENTING};
pub use placeholder::Placeholder;
pub use profile::{Dialect, MAX_CARRIERS, Profile};
pub use protocol::Unmarked;
pub use table::PROFILES;
pub use text::Plus;
pub use unread::{CREDENTIAL_HEADERS, Unread};

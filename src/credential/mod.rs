//! From a request's headers and path to its one canonical key.
//!
//! A *profile* is a closed grammar per carrier: what does not match exactly is [`Fault::Malformed`], never passed
//! through as text, because a text that the upstream reads differently from us would be a second name for the same
//! key, and its first use would be a thief's. Pure: no I/O, no clock.

mod carrier;
mod credentials;
mod custom;
mod grammar;
mod jwt;
mod name;
mod passthrough;
mod profile;
mod protocol;
mod seen;
mod slot;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod unread;

pub use carrier::{Carrier, Form, Header, Place};
pub use credentials::{Credentials, Fault, Options};
pub use custom::Custom;
pub use grammar::{Alphabet, Canonicalisation, Format, Grammar};
pub use name::{Names, same_name};
pub use passthrough::Ignored;
pub use profile::{Dialect, MAX_CARRIERS, Profile};
pub use protocol::Unmarked;
pub use seen::{Seen, What};
pub use table::PROFILES;
pub use text::Plus;
pub use unread::{CREDENTIAL_HEADERS, Unread};

//! A route's overrides: the `context_extensions` whose names begin with `sentinel.`.

use prost::{Message, bytes::Bytes};

use crate::{
    credential::{Credentials, Profile},
    domain::{Missing, Mode},
};

/// A route's overrides.
pub(super) struct Overrides<'a> {
    /// `sentinel.profile`, or the configured one.
    pub(super) profile: &'a Profile,
    /// `sentinel.missing`.
    pub(super) missing: Option<Missing>,
    /// `sentinel.mode`.
    pub(super) mode: Option<Mode>,
}

/// The prefix of all overrides. An unknown name with it may be an override of a later version, so the check is denied.
const PREFIX: &[u8] = b"sentinel.";

impl<'a> Overrides<'a> {
    /// The overrides of a route that has none.
    pub(super) fn none(credentials: &'a Credentials) -> Self {
        Self { profile: &credentials.profile, missing: None, mode: None }
    }

    /// Reads the overrides of `frame`, a `CheckRequest`; `None` if one is unknown or repeated, or names a profile that
    /// is not configured.
    pub(super) fn read(frame: &[u8], credentials: &'a Credentials) -> Option<Self> {
        let (mut profile, mut missing, mut mode) = (None, None, None);
        let entries = Frame::decode(frame).ok()?.attributes.unwrap_or_default().context_extensions;
        for Entry { key, value } in entries.iter().filter(|entry| entry.key.starts_with(PREFIX)) {
            let value = std::str::from_utf8(value).ok()?;
            let repeated = match &key[PREFIX.len()..] {
                b"profile" => profile.replace(credentials.for_route(value)?).is_some(),
                b"missing" => missing.replace(Missing::from_word(value)?).is_some(),
                b"mode" => mode.replace(Mode::from_word(value)?).is_some(),
                _ => return None,
            };
            if repeated {
                return None;
            }
        }
        Some(Self { profile: profile.unwrap_or(&credentials.profile), missing, mode })
    }
}

/// `CheckRequest` with the entries of `context_extensions` as they are on the wire. A decoded map keeps only the last
/// of two entries with the same name, which could hide an override.
#[derive(Clone, PartialEq, Message)]
struct Frame {
    #[prost(message, optional, tag = "1")]
    attributes: Option<Attributes>,
}

#[derive(Clone, PartialEq, Message)]
struct Attributes {
    #[prost(message, repeated, tag = "10")]
    context_extensions: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

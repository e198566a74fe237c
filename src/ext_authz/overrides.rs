//! What a route's owner wrote for it: `context_extensions` that begin with `sentinel.`.

use prost::{Message, bytes::Bytes};

use crate::{
    credential::{Credentials, Profile},
    domain::{Missing, Mode},
};

/// A route's own rules.
pub(super) struct Overrides<'a> {
    /// `sentinel.profile`, or the configured one.
    pub(super) profile: &'a Profile,
    /// `sentinel.missing`.
    pub(super) missing: Option<Missing>,
    /// `sentinel.mode`.
    pub(super) mode: Option<Mode>,
}

/// All names that this version has are these; a route with another one was written for other rules than ours.
const PREFIX: &[u8] = b"sentinel.";

impl<'a> Overrides<'a> {
    /// A route without any.
    pub(super) fn none(credentials: &'a Credentials) -> Self {
        Self { profile: &credentials.profile, missing: None, mode: None }
    }

    /// Reads those of `frame`, a `CheckRequest`; `None` if one is unknown, is there twice, or names a profile that no
    /// route may name.
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

/// `CheckRequest`, down to the entries of `context_extensions` as they are on the wire: a map's decoder keeps the last
/// of two entries with one name, and which one its owner meant is not ours to guess.
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

//! A request's headers in either of Envoy's two encodings.

use envoy_types::pb::envoy::{config::core::v3::HeaderValue, service::auth::v3::attribute_context::HttpRequest};

use crate::credential::Header;

/// The request's headers in the encoding that Envoy was configured to send.
pub(super) enum Headers<'a> {
    /// `headers`: one entry for each name, repeated lines joined by a comma, bytes that are not UTF-8 replaced by `!`.
    Joined(&'a HttpRequest),
    /// `header_map` (`encode_raw_headers`): every line with its raw bytes.
    Raw(&'a [HeaderValue]),
}

impl<'a> Headers<'a> {
    /// `None` if the message has both encodings, or one header in both. Envoy never sends that; an attacker could, to
    /// have one value checked and the other one used.
    pub(super) fn of(http: &'a HttpRequest) -> Option<Self> {
        let raw = http.header_map.as_ref().map_or(&[][..], |map| &map.headers);
        match (http.headers.is_empty(), raw.is_empty()) {
            (_, true) => Some(Self::Joined(http)),
            (true, false) if raw.iter().all(|header| header.value.is_empty() || header.raw_value.is_empty()) => {
                Some(Self::Raw(raw))
            }
            _ => None,
        }
    }

    /// The request target with its query, as raw bytes if Envoy sends them: elsewhere, Envoy replaces bytes that are
    /// not UTF-8 by `!`. `None` if there are two.
    pub(super) fn path(&self, http: &'a HttpRequest) -> Option<&'a [u8]> {
        let mut paths = self.iter().filter(|header| header.name == ":path");
        match (self, paths.next(), paths.next()) {
            (Self::Raw(_), Some(path), None) => Some(path.value),
            (Self::Raw(_), Some(_), Some(_)) => None,
            // Envoy sets this field even if `allowed_headers` removes the pseudo-header.
            _ => Some(http.path.as_bytes()),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Header<'a>> + Clone {
        let (joined, raw) = match self {
            Self::Joined(http) => (Some(&http.headers), &[][..]),
            Self::Raw(raw) => (None, *raw),
        };
        let joined = joined.into_iter().flatten().map(|(name, value)| Header { name, value: value.as_bytes() });
        joined.chain(raw.iter().map(|header| Header {
            name: &header.key,
            value: if header.raw_value.is_empty() { header.value.as_bytes() } else { &header.raw_value },
        }))
    }
}

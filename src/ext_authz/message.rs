//! Reads a `CheckRequest` where it lies, and keeps of its headers only those that the configuration reads.
//!
//! A message that is accepted here has the meaning that envoy-types gives it; `tests` compares the two. Fields that are
//! not read are still checked, so that a message that envoy-types rejects is rejected here too.

use envoy_types::pb::{
    envoy::{
        config::core::v3::{EnvoyInternalAddress, Metadata, Pipe},
        service::auth::v3::attribute_context::TlsSession,
    },
    google::protobuf::Timestamp,
};
use smallvec::SmallVec;

use super::{
    fields::{Fields, Seen, Value},
    headers::HeaderFilter,
};
use crate::credential::Header;

/// What is read of a `CheckRequest`.
#[derive(Debug, Default)]
pub(super) struct CheckMessage<'a> {
    /// `attributes.source.address.socket_address`; `None` for a pipe, an internal listener or a named port.
    pub(super) peer: Option<&'a str>,
    /// `attributes.request.http.headers`, where repeated lines are joined by a comma and bytes that are not UTF-8 are
    /// replaced by `!`; or, if Envoy sends it (`encode_raw_headers`), every line of `header_map` with its raw bytes.
    pub(super) headers: SmallVec<[Header<'a>; 8]>,
    /// The request target with its query; its raw bytes, if Envoy sends them.
    pub(super) path: &'a [u8],
    /// `attributes.context_extensions`, with repeated names.
    pub(super) extensions: SmallVec<[(&'a str, &'a str); 4]>,
}

impl<'a> CheckMessage<'a> {
    /// Reads `message`, and the headers that `filter` has; `None` if it is not a check that Envoy's HTTP filter sends.
    pub(super) fn read(message: &'a [u8], filter: &HeaderFilter) -> Option<Self> {
        let mut fields = Fields::of(message);
        let (mut seen, mut read) = (Seen::default(), None);
        while let Some((number, value)) = fields.next()? {
            if number == 1 {
                seen.first(number)?;
                read = Some(Self::attributes(value.bytes()?, filter)?);
            }
        }
        read
    }

    fn attributes(message: &'a [u8], filter: &HeaderFilter) -> Option<Self> {
        let mut fields = Fields::of(message);
        let (mut seen, mut peer, mut http) = (Seen::default(), None, None);
        let mut extensions = SmallVec::new();
        while let Some((number, value)) = fields.next()? {
            match number {
                10 => extensions.push(entry(value.bytes()?)?),
                1 | 2 | 4 | 11..=13 => seen.first(number)?,
                _ => {}
            }
            match number {
                1 => peer = read_peer(value.bytes()?)?,
                2 => drop(read_peer(value.bytes()?)?),
                4 => http = read_request(value.bytes()?, filter)?,
                11 | 13 => value.valid::<Metadata>()?,
                12 => value.valid::<TlsSession>()?,
                _ => {}
            }
        }
        let Http { headers, path } = http?;
        Some(Self { peer, headers, path, extensions })
    }
}

/// `attributes.request.http`.
struct Http<'a> {
    headers: SmallVec<[Header<'a>; 8]>,
    path: &'a [u8],
}

/// `None` in the result if the message has no `http`.
fn read_request<'a>(message: &'a [u8], filter: &HeaderFilter) -> Option<Option<Http<'a>>> {
    let mut fields = Fields::of(message);
    let (mut seen, mut http) = (Seen::default(), None);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => value.valid::<Timestamp>().and_then(|()| seen.first(1))?,
            2 => {
                seen.first(2)?;
                http = Some(Http::read(value.bytes()?, filter)?);
            }
            _ => {}
        }
    }
    Some(http)
}

impl<'a> Http<'a> {
    fn read(message: &'a [u8], filter: &HeaderFilter) -> Option<Self> {
        let mut fields = Fields::of(message);
        let (mut seen, mut path, mut raw_path) = (Seen::default(), "", None);
        let (mut has_joined, mut has_raw) = (false, false);
        let mut headers: SmallVec<[Header<'a>; 8]> = SmallVec::new();
        while let Some((number, value)) = fields.next()? {
            match number {
                3 => {
                    has_joined = true;
                    let (name, value) = entry(value.bytes()?)?;
                    if filter.has(name.as_bytes()) {
                        // Of two entries with one name, prost takes the last. Envoy never sends two.
                        if headers.iter().any(|header| header.name == name) {
                            return None;
                        }
                        headers.push(Header { name, value: value.as_bytes() });
                    }
                }
                13 => {
                    seen.first(number)?;
                    raw_path = read_lines(value.bytes()?, filter, &mut headers, &mut has_raw)?;
                }
                1..=12 => {
                    seen.first(number)?;
                    match number {
                        4 => path = value.text()?,
                        9 => value.number()?,
                        12 => drop(value.bytes()?),
                        _ => drop(value.valid_text()?),
                    }
                }
                _ => {}
            }
        }
        // Envoy never sends both encodings; an attacker could, to have one value checked and the other one used.
        if has_joined && has_raw {
            return None;
        }
        // Envoy sends `path` even if `allowed_headers` removes the pseudo-header.
        Some(Self { headers, path: raw_path.unwrap_or(path.as_bytes()) })
    }
}

/// Reads a `HeaderMap`; the result is its only `:path`.
fn read_lines<'a>(
    message: &'a [u8],
    filter: &HeaderFilter,
    headers: &mut SmallVec<[Header<'a>; 8]>,
    has_raw: &mut bool,
) -> Option<Option<&'a [u8]>> {
    let (mut fields, mut path) = (Fields::of(message), None);
    while let Some((number, value)) = fields.next()? {
        if number != 1 {
            continue;
        }
        *has_raw = true;
        let Some(header) = read_line(value.bytes()?, filter)? else { continue };
        if header.name == ":path" && path.replace(header.value).is_some() {
            return None;
        }
        headers.push(header);
    }
    Some(path)
}

/// Reads a `HeaderValue`; `None` in the result if its header is not wanted. One with both values is rejected, for the
/// same reason as two encodings.
fn read_line<'a>(message: &'a [u8], filter: &HeaderFilter) -> Option<Option<Header<'a>>> {
    let mut fields = Fields::of(message);
    let (mut seen, mut name, mut text, mut raw) = (Seen::default(), &[][..], &[][..], &[][..]);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => name = value.valid_text()?,
            2 => text = value.valid_text()?,
            3 => raw = value.bytes()?,
            _ => continue,
        }
        seen.first(number)?;
    }
    if !text.is_empty() && !raw.is_empty() {
        return None;
    }
    if !filter.has(name) {
        return Some(None);
    }
    let value = if raw.is_empty() { text } else { raw };
    std::str::from_utf8(name).ok().map(|name| Some(Header { name, value }))
}

/// Reads an entry of a `map<string, string>`.
fn entry(message: &[u8]) -> Option<(&str, &str)> {
    let mut fields = Fields::of(message);
    let (mut seen, mut name, mut text) = (Seen::default(), "", "");
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => name = value.text()?,
            2 => text = value.text()?,
            _ => continue,
        }
        seen.first(number)?;
    }
    Some((name, text))
}

/// Reads an `AttributeContext.Peer`; `None` in the result if it has no address of a socket.
fn read_peer(message: &[u8]) -> Option<Option<&str>> {
    let mut fields = Fields::of(message);
    let (mut seen, mut address) = (Seen::default(), None);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => address = read_address(value.bytes()?)?,
            3 => {
                entry(value.bytes()?)?;
                continue;
            }
            2 | 4 | 5 => drop(value.valid_text()?),
            _ => continue,
        }
        seen.first(number)?;
    }
    Some(address)
}

/// Reads an `Address`, which is one of three messages.
fn read_address(message: &[u8]) -> Option<Option<&str>> {
    let mut fields = Fields::of(message);
    let (mut seen, mut address) = (Seen::default(), None);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => address = read_socket_address(value)?,
            2 => value.valid::<Pipe>()?,
            3 => value.valid::<EnvoyInternalAddress>()?,
            _ => continue,
        }
        seen.first(1)?;
    }
    Some(address)
}

fn read_socket_address(message: Value<'_>) -> Option<Option<&str>> {
    const NAMED_PORT: u32 = 4;
    let mut fields = Fields::of(message.bytes()?);
    let (mut seen, mut address, mut is_named) = (Seen::default(), "", false);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 | 3 | 6 => value.number()?,
            2 => address = value.text()?,
            NAMED_PORT | 5 | 7 => drop(value.valid_text()?),
            _ => continue,
        }
        is_named |= number == NAMED_PORT;
        // The port is a number or a name.
        seen.first(if number == NAMED_PORT { 3 } else { number })?;
    }
    Some((!is_named).then_some(address))
}

#[cfg(test)]
mod tests;

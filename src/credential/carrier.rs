//! Where a request may carry a key, and in which form.

use super::{
    Header,
    grammar::starts_ignoring_case,
    name::{self, Written, same_name},
    query::{self, Plus},
};

/// A place in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header, by its name in lower case.
    Header(&'static str),
    /// A query parameter, by its decoded name.
    Query(&'static str),
    /// A cookie, by its name.
    Cookie(&'static str),
    /// The entry `openai-insecure-api-key.KEY` of the `Sec-WebSocket-Protocol` list, for browsers, which cannot set
    /// other headers on a WebSocket.
    Protocol,
}

/// How a key is written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The key alone.
    Bare,
    /// `Bearer` in any case, exactly one space, the key (RFC 6750 §2.1).
    ///
    /// RFC 9110 §11.4 would allow several spaces, but upstreams that cut a fixed `"Bearer "` then read another key.
    Bearer,
    /// Either.
    BearerOrBare,
}

/// A place, a form, and where it is written that the upstream reads it.
#[derive(Clone, Copy, Debug)]
pub struct Carrier {
    /// Where.
    pub place: Place,
    /// In which form.
    pub form: Form,
    /// What real clients put there when they have no key for it, and the upstream takes for none.
    pub placeholders: &'static [&'static str],
    /// Repository, file and commit, or the document.
    pub source: &'static str,
}

impl Carrier {
    /// Its name in `credentials.passthrough`: a header's name, `?` and a parameter's, `cookie ` and a cookie's.
    pub fn label(&self) -> String {
        match self.place {
            Place::Header(name) => name.to_owned(),
            Place::Query(name) => format!("?{name}"),
            Place::Cookie(name) => format!("cookie {name}"),
            Place::Protocol => PROTOCOLS.to_owned(),
        }
    }

    pub(super) fn is(&self, label: &str) -> bool {
        match self.place {
            Place::Header(name) => name == label,
            Place::Query(name) => label.strip_prefix('?') == Some(name),
            Place::Cookie(_) | Place::Protocol => self.label() == label,
        }
    }

    /// Puts what `header` has for this carrier into `slot`.
    pub(super) fn take<'a>(&self, header: &Header<'a>, slot: &mut Slot<'a>) {
        match self.place {
            Place::Header(name) => {
                if let Some(written) = name::header(header.name, name) {
                    slot.put_line(header.value, written);
                }
            }
            Place::Cookie(name) if same_name(header.name, "cookie") => take_cookie(header.value, name, slot),
            Place::Protocol if same_name(header.name, PROTOCOLS) => take_protocol(header.value, slot),
            Place::Cookie(_) | Place::Protocol | Place::Query(_) => {}
        }
    }

    /// The text in this carrier's form, which the grammar must still accept; `None` is malformed.
    pub(super) fn text<'a>(&self, value: &'a [u8], plus: Plus) -> Option<query::Text<'a>> {
        let text = match self.place {
            Place::Query(_) => query::decode(value, plus)?,
            // White space after the mark is inside its list's entry, and part of the text.
            Place::Protocol => query::Text::Borrowed(std::str::from_utf8(value).ok()?),
            Place::Header(_) | Place::Cookie(_) => query::Text::Borrowed(std::str::from_utf8(trim(value)).ok()?),
        };
        text.narrow(|text| self.form.read(text))
    }
}

impl Form {
    fn read(self, text: &str) -> Option<&str> {
        const SCHEME: &str = "bearer";
        match (self, text.split_once(' ')) {
            (Self::Bare, _) => Some(text),
            (_, Some((scheme, key))) => scheme.eq_ignore_ascii_case(SCHEME).then_some(key),
            (Self::BearerOrBare, None) if !starts_ignoring_case(text, SCHEME) => Some(text),
            (Self::Bearer | Self::BearerOrBare, None) => None,
        }
    }
}

/// What a request has in one carrier.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot<'a> {
    Absent,
    One(&'a [u8]),
    /// Under another name, such as `x_api_key` or `api.key`, which not every upstream takes for the carrier's.
    Disguised(&'a [u8]),
    /// Something that is no key and that an upstream might read as one.
    Broken,
    Repeated,
}

impl<'a> Slot<'a> {
    pub(super) fn put(&mut self, value: &'a [u8], written: Written) {
        self.fill(match written {
            Written::Exactly => Self::One(value),
            Written::Disguised => Self::Disguised(value),
        });
    }

    fn fill(&mut self, with: Self) {
        *self = if matches!(self, Self::Absent) { with } else { Self::Repeated };
    }

    /// Envoy joins repeated headers with a comma, so one line with a comma and two lines look the same.
    fn put_line(&mut self, value: &'a [u8], written: Written) {
        match value.contains(&b',') {
            true => self.fill(Self::Repeated),
            false => self.put(value, written),
        }
    }
}

/// One `Cookie` line (RFC 6265 §5.4). Envoy joins HTTP/1.1's lines with a comma, so a comma may hide a second cookie; so
/// may white space, at which Python's `SimpleCookie` ends one (python/cpython@afad108 Lib/http/cookies.py).
fn take_cookie<'a>(line: &'a [u8], name: &str, slot: &mut Slot<'a>) {
    let named = |pair: &[u8]| name::cookie(pair.split(|byte| *byte == b'=').next().unwrap_or_default(), name);
    for pair in line.split(|byte| *byte == b';').map(trim) {
        let mut parts = pair.split(|byte| b", \t".contains(byte)).map(|part| named(part).is_some());
        let (found, first) = (named(pair), parts.next().unwrap_or_default());
        if parts.any(|is_ours| is_ours) || pair.contains(&b',') && (first || found.is_some()) {
            *slot = Slot::Repeated;
        } else if let Some(written) = found {
            let value = pair.iter().position(|byte| *byte == b'=').and_then(|end| pair.get(end + 1..));
            slot.put(value.unwrap_or_default(), written);
        }
    }
}

const PROTOCOLS: &str = "sec-websocket-protocol";
const MARK: &[u8] = b"openai-insecure-api-key";

/// One line of the list (RFC 6455 §11.3.4); several lines are one list.
fn take_protocol<'a>(line: &'a [u8], slot: &mut Slot<'a>) {
    for entry in line.split(|byte| *byte == b',') {
        match trim(entry).strip_prefix(MARK).and_then(|rest| rest.strip_prefix(b".")) {
            Some(key) => slot.put(key, Written::Exactly),
            // Upstreams trim more than we do (Go: U+00A0, Python: 0x85), so an entry that only contains the mark may
            // be a key to them.
            None if entry.windows(MARK.len()).any(|part| part.eq_ignore_ascii_case(MARK)) => slot.fill(Slot::Broken),
            None => {}
        }
    }
}

/// Without the outer spaces and tabs, which HTTP/1.1 takes off before Envoy's filters and HTTP/2 after them.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

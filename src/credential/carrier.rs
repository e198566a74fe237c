//! Where a request may carry a key, and in which form.

use super::{
    Header,
    grammar::starts_ignoring_case,
    query::{self, Plus},
};

/// A place in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header, by its name in lower case.
    Header(&'static str),
    /// A query parameter, by its decoded name in lower case. Any case of it counts: upstreams differ.
    Query(&'static str),
    /// A cookie, by its name. Any case of it counts: upstreams differ.
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
            Place::Header(name) if header.name.eq_ignore_ascii_case(name) => slot.put_line(header.value, Slot::One),
            Place::Header(name) if same_name(header.name, name) => slot.put_line(header.value, Slot::Disguised),
            Place::Cookie(name) if same_name(header.name, "cookie") => take_cookie(header.value, name, slot),
            Place::Protocol if same_name(header.name, PROTOCOLS) => take_protocol(header.value, slot),
            Place::Header(_) | Place::Cookie(_) | Place::Protocol | Place::Query(_) => {}
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
    /// Under another name, such as `x_api_key`, which not every upstream reads.
    Disguised(&'a [u8]),
    /// Something that is no key and that an upstream might read as one.
    Broken,
    Repeated,
}

impl<'a> Slot<'a> {
    pub(super) fn put(&mut self, value: &'a [u8]) {
        self.fill(Self::One(value));
    }

    fn fill(&mut self, with: Self) {
        *self = if matches!(self, Self::Absent) { with } else { Self::Repeated };
    }

    /// Envoy joins repeated headers with a comma, so one line with a comma and two lines look the same.
    fn put_line(&mut self, value: &'a [u8], one: fn(&'a [u8]) -> Self) {
        self.fill(if value.contains(&b',') { Self::Repeated } else { one(value) });
    }
}

/// One `Cookie` line (RFC 6265 §5.4). Envoy joins HTTP/1.1's lines with a comma, so a comma may hide a second cookie.
fn take_cookie<'a>(line: &'a [u8], name: &str, slot: &mut Slot<'a>) {
    let is_ours = |pair: &[u8]| {
        let found = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        trim(found).eq_ignore_ascii_case(name.as_bytes())
    };
    for pair in line.split(|byte| *byte == b';') {
        let joined = pair.contains(&b',');
        match is_ours(pair) || joined && pair.split(|byte| *byte == b',').any(is_ours) {
            true if joined => *slot = Slot::Repeated,
            // Another case, or white space around the name: whether the upstream takes it for ours is not known.
            true => match trim(pair).strip_prefix(name.as_bytes()).and_then(|rest| rest.strip_prefix(b"=")) {
                Some(value) => slot.put(value),
                None => slot.fill(Slot::Broken),
            },
            false => {}
        }
    }
}

const PROTOCOLS: &str = "sec-websocket-protocol";
const MARK: &[u8] = b"openai-insecure-api-key";

/// One line of the list (RFC 6455 §11.3.4); several lines are one list.
fn take_protocol<'a>(line: &'a [u8], slot: &mut Slot<'a>) {
    for entry in line.split(|byte| *byte == b',') {
        match trim(entry).strip_prefix(MARK).and_then(|rest| rest.strip_prefix(b".")) {
            Some(key) => slot.put(key),
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

/// Whether `name` may reach an upstream as `carrier`: CGI and WSGI upstreams read `x_api_key` as `x-api-key`.
pub fn same_name(name: &str, carrier: &str) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == carrier.len() && name.bytes().zip(carrier.bytes()).all(|(a, b)| plain(a) == plain(b))
}

//! Where a request may carry a key, and in which form.

use super::{
    grammar::{Grammar, starts_ignoring_case},
    name::{self, same_name},
    protocol::{self, Unmarked},
    slot::{Slot, trim},
    text::{Plus, Text, decode},
};

/// One request header as Envoy hands it over.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// The name; Envoy sends lower case.
    pub name: &'a str,
    /// The value's bytes. In Envoy's joined encoding (`headers`) each byte that is not UTF-8 is already a `!`.
    pub value: &'a [u8],
}

/// A place in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A header, by its name in lower case.
    Header(&'static str),
    /// A query parameter, by its decoded name.
    Query(&'static str),
    /// A cookie, by its name.
    Cookie(&'static str),
    /// The entry `openai-insecure-api-key.KEY` of the `Sec-WebSocket-Protocol` list.
    Protocol(Unmarked),
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
    /// Not at all: what the upstream does with the text may put a key anywhere, so whatever is there is malformed.
    Never,
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
            Place::Protocol(_) => protocol::HEADER.to_owned(),
        }
    }

    pub(super) fn is(&self, label: &str) -> bool {
        match self.place {
            Place::Header(name) => name == label,
            Place::Query(name) => label.strip_prefix('?') == Some(name),
            Place::Cookie(_) | Place::Protocol(_) => self.label() == label,
        }
    }

    /// Puts what `header` has for this carrier into `slot`.
    pub(super) fn take<'a>(&self, header: &Header<'a>, grammar: &Grammar, slot: &mut Slot<'a>) {
        match self.place {
            Place::Header(name) => {
                if let Some(written) = name::header(header.name, name) {
                    slot.put_line(header.value, written);
                }
            }
            Place::Cookie(name) if same_name(header.name, "cookie") => take_cookie(header.value, name, slot),
            Place::Protocol(unmarked) if same_name(header.name, protocol::HEADER) => {
                protocol::take(header.value, unmarked, grammar, slot);
            }
            Place::Cookie(_) | Place::Protocol(_) | Place::Query(_) => {}
        }
    }

    /// The text in this carrier's form, which the grammar must still accept; `None` is malformed.
    pub(super) fn text<'a>(&self, value: &'a [u8], plus: Plus) -> Option<Text<'a>> {
        let text = match self.place {
            Place::Query(_) => decode(value, plus)?,
            // A space to Rack, which decodes cookies like forms: `K+` is `K ` there.
            Place::Cookie(_) if value.contains(&b'+') => return None,
            // White space after the mark is inside its list's entry, and part of the text.
            Place::Protocol(_) => Text::Borrowed(std::str::from_utf8(value).ok()?),
            Place::Header(_) | Place::Cookie(_) => Text::Borrowed(std::str::from_utf8(trim(value)).ok()?),
        };
        text.narrow(|text| self.form.read(text))
    }
}

impl Form {
    fn read(self, text: &str) -> Option<&str> {
        const SCHEME: &str = "bearer";
        match (self, text.split_once(' ')) {
            (Self::Never, _) => None,
            (Self::Bare, _) => Some(text),
            (_, Some((scheme, key))) => scheme.eq_ignore_ascii_case(SCHEME).then_some(key),
            (Self::BearerOrBare, None) if !starts_ignoring_case(text, SCHEME) => Some(text),
            (Self::Bearer | Self::BearerOrBare, None) => None,
        }
    }
}

/// One `Cookie` line (RFC 6265 §5.4). Envoy joins HTTP/1.1's lines with a comma, so a comma may hide a second cookie; so
/// may whatever some parser takes for white space or for a cookie's end.
fn take_cookie<'a>(line: &'a [u8], name: &str, slot: &mut Slot<'a>) {
    for part in line.split(|byte| *byte == b';').map(trim) {
        let end = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
        match (name::cookie(&part[..end], name), name::cookies_in(part, name)) {
            (_, 0) => {}
            (_, _) if part.contains(&b',') => *slot = Slot::Repeated,
            (Some(written), 1) => slot.put(part.get(end + 1..).unwrap_or_default(), written),
            (Some(_), _) => *slot = Slot::Repeated,
            (None, _) => slot.fill(Slot::Broken),
        }
    }
}

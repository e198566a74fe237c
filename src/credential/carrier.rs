//! The places where a request may carry a key, and the forms of a key there.

use super::{
    basic::{self, BasicPart},
    grammar::{Grammar, starts_ignoring_case},
    litellm,
    name::{self, same_name},
    placeholder::{self, Placeholder},
    protocol::{self, Unmarked},
    slot::{Slot, trim},
    text::{Plus, Text, decode},
};

/// A request header as Envoy sends it.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// The name; Envoy sends lower case.
    pub name: &'a str,
    /// The value's bytes. In Envoy's `headers` map, each byte that is not UTF-8 is already replaced by `!`.
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

/// The form of a key in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The key alone.
    Bare,
    /// `Bearer` in any case, exactly one space, the key (RFC 6750 §2.1).
    ///
    /// RFC 9110 §11.4 allows several spaces, but an upstream that removes a fixed `"Bearer "` would read another key
    /// then.
    Bearer,
    /// `Bearer` or the key alone.
    BearerOrBare,
    /// One of these schemes in any case, exactly one space, the key.
    Scheme(&'static [&'static str]),
    /// `Basic` in any case, exactly one space, and credentials of which this part is the key.
    Basic(BasicPart),
    /// What LiteLLM reads in `Authorization`.
    LiteLlm,
    /// Always malformed: the upstream may take a key from any part of the text.
    Never,
}

/// A place, a form, and the source that says that the upstream reads it.
#[derive(Clone, Copy, Debug)]
pub struct Carrier {
    /// The place.
    pub place: Place,
    /// The form.
    pub form: Form,
    /// Texts that real clients send here without a key, and that the upstream does not take for a key.
    pub placeholders: &'static [&'static str],
    /// Repository, commit and file, or the document.
    pub source: &'static str,
}

impl Carrier {
    /// The carrier's name in `credentials.passthrough`: a header's name, `?` and a parameter's name, or `cookie ` and a
    /// cookie's name.
    pub fn label(&self) -> String {
        match self.place {
            Place::Header(name) => name.to_owned(),
            Place::Query(name) => format!("?{name}"),
            Place::Cookie(name) => format!("cookie {name}"),
            Place::Protocol(_) => protocol::HEADER.to_owned(),
        }
    }

    /// Whether a key in it alone is enough for the upstream.
    pub(super) fn may_stand_alone(&self) -> bool {
        self.form != Form::Never && !matches!(self.place, Place::Protocol(_))
    }

    pub(super) fn has_label(&self, label: &str) -> bool {
        match self.place {
            Place::Header(name) => name == label,
            Place::Query(name) => label.strip_prefix('?') == Some(name),
            Place::Cookie(_) | Place::Protocol(_) => self.label() == label,
        }
    }

    /// Puts the values of this carrier in `header` into `slot`.
    pub(super) fn take<'a>(&self, header: &Header<'a>, grammar: &Grammar, slot: &mut Slot<'a>) {
        match self.place {
            Place::Header(name) => {
                if let Some(spelling) = name::header(header.name, name) {
                    match self.form == Form::LiteLlm && is_signature(header.value) {
                        true => slot.put(header.value, spelling),
                        false => slot.put_line(header.value, spelling),
                    }
                }
            }
            Place::Cookie(name) if same_name(header.name, "cookie") => take_cookie(header.value, name, slot),
            Place::Protocol(unmarked) if same_name(header.name, protocol::HEADER) => {
                protocol::take(header.value, unmarked, grammar, slot);
            }
            Place::Cookie(_) | Place::Protocol(_) | Place::Query(_) => {}
        }
    }

    /// The kind of placeholder in a value that does not have the carrier's form: `Bearer null` in a bare carrier, `null`
    /// in one for `Bearer`.
    ///
    /// Only the name of a scheme may precede it. Any other word may be a key to the upstream, which may ignore what
    /// follows: New API reads `K-1- null` as `K`, and LiteLLM `AWS4-HMAC-SHA256;Credential=K null`.
    pub(super) fn stray_placeholder(value: &[u8]) -> Option<Placeholder> {
        let text = std::str::from_utf8(trim(value)).ok()?;
        placeholder::find(text).or_else(|| placeholder::find(after_scheme(text, &SCHEMES)?))
    }

    /// Decodes the value and removes what the form adds to the key; the grammar must still accept the result. `None` is
    /// malformed.
    pub(super) fn text<'a>(
        &self,
        value: &'a [u8],
        plus: Plus,
        grammar: &Grammar,
        opaque_jwt: bool,
    ) -> Option<Text<'a>> {
        let text = match self.place {
            Place::Query(_) => decode(value, plus)?,
            // Rack decodes cookies like forms: it reads `K+` as `K `.
            Place::Cookie(_) if value.contains(&b'+') => return None,
            // White space after the mark is inside the list's entry, and part of the text.
            Place::Protocol(_) => Text::Borrowed(std::str::from_utf8(value).ok()?),
            Place::Header(_) | Place::Cookie(_) => Text::Borrowed(std::str::from_utf8(trim(value)).ok()?),
        };
        // The other part of Basic credentials.
        let may_hold_a_key =
            |other: &str| grammar.may_be_in(other.as_bytes()) || grammar.resembles_key(other.as_bytes(), opaque_jwt);
        match self.form {
            Form::Basic(part) => {
                let credentials = after_scheme(text.as_str(), &["Basic"])?;
                basic::read(credentials, part, may_hold_a_key).map(Text::Decoded)
            }
            Form::LiteLlm => match text {
                Text::Borrowed(text) => litellm::read(text, may_hold_a_key),
                // Only parameters are decoded.
                Text::Decoded(_) => None,
            },
            form => text.narrow(|text| form.read(text)),
        }
    }
}

impl Form {
    fn read(self, text: &str) -> Option<&str> {
        const SCHEME: &str = "bearer";
        match (self, text.split_once(' ')) {
            // The last two are read where the credentials are decoded.
            (Self::Never | Self::Basic(_) | Self::LiteLlm, _) => None,
            (Self::Bare, _) => Some(text),
            (Self::Scheme(names), _) => after_scheme(text, names),
            (_, Some((scheme, key))) => scheme.eq_ignore_ascii_case(SCHEME).then_some(key),
            (Self::BearerOrBare, None) if !starts_ignoring_case(text, SCHEME) => Some(text),
            (Self::Bearer | Self::BearerOrBare, None) => None,
        }
    }
}

/// The schemes that clients write before a placeholder where the carrier's form has none, or another. A carrier's own
/// schemes are removed with its form.
const SCHEMES: [&str; 5] = ["Bearer", "Basic", "Token", "ApiKey", "Key"];

/// Whether the commas in the value are those of one signature, and not those of joined lines.
fn is_signature(value: &[u8]) -> bool {
    std::str::from_utf8(trim(value)).is_ok_and(|text| litellm::in_signature(text).is_some())
}

/// What follows one of the schemes `names` and one space.
fn after_scheme<'a>(text: &'a str, names: &[&str]) -> Option<&'a str> {
    let (scheme, rest) = text.split_once(' ')?;
    names.iter().any(|name| scheme.eq_ignore_ascii_case(name)).then_some(rest)
}

/// Reads one `Cookie` line (RFC 6265 §5.4). A comma may hide a second cookie, because Envoy joins the lines of HTTP/1.1
/// with it. So may any character that some parser treats as white space or as a cookie's end.
fn take_cookie<'a>(line: &'a [u8], name: &str, slot: &mut Slot<'a>) {
    for part in line.split(|byte| *byte == b';').map(trim) {
        let end = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
        match (name::cookie(&part[..end], name), name::cookies_in(part, name)) {
            (_, 0) => {}
            (_, _) if part.contains(&b',') => *slot = Slot::Repeated,
            (Some(spelling), 1) => slot.put(part.get(end + 1..).unwrap_or_default(), spelling),
            (Some(_), _) => *slot = Slot::Repeated,
            (None, _) => slot.fill(Slot::Malformed),
        }
    }
}

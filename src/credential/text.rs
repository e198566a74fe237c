//! Percent-decoding, as upstreams that decode forms do it. Does not use a URL library: URL libraries disagree about
//! what a path is.

use zeroize::Zeroizing;

/// How the upstream reads `+` in a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plus {
    /// As a space, as in HTML forms: Go's `url.ParseQuery`, Python's `parse_qsl`, and nearly all others.
    #[default]
    Space,
    /// As `+`.
    Literal,
}

/// A carrier's text.
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    /// Zeroed on drop, because it may be a key.
    Decoded(Zeroizing<String>),
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Decoded(text) => text,
        }
    }

    /// The part of the text that `form` selects.
    pub(super) fn narrow(self, form: impl Fn(&str) -> Option<&str>) -> Option<Self> {
        match self {
            Self::Borrowed(text) => form(text).map(Text::Borrowed),
            Self::Decoded(text) => form(&text).map(|part| Self::Decoded(Zeroizing::new(part.to_owned()))),
        }
    }
}

/// Percent-decodes once; `None` for an invalid escape, and for what is not UTF-8.
pub(super) fn decode(value: &[u8], plus: Plus) -> Option<Text<'_>> {
    if !value.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return std::str::from_utf8(value).ok().map(Text::Borrowed);
    }
    let mut text = Zeroizing::new(String::with_capacity(value.len()));
    for byte in unescape(value, plus) {
        // Keys are ASCII.
        text.push(byte.filter(u8::is_ascii)?.into());
    }
    Some(Text::Decoded(text))
}

/// Yields each decoded byte, or `None` for an invalid escape.
pub(super) fn unescape(written: &[u8], plus: Plus) -> impl Iterator<Item = Option<u8>> {
    let mut rest = written;
    std::iter::from_fn(move || {
        let (&first, mut after) = rest.split_first()?;
        let byte = match (first, after) {
            (b'%', [high, low, tail @ ..]) => {
                after = tail;
                hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low)
            }
            (b'%', _) => None,
            (b'+', _) if plus == Plus::Space => Some(b' '),
            _ => Some(first),
        };
        rest = after;
        Some(byte)
    })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

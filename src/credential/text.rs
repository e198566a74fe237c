//! Texts as form-decoding upstreams read them. No URL library: those disagree about what a path is.

use zeroize::Zeroizing;

/// What the upstream takes `+` in a value for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plus {
    /// A space, as in HTML forms: Go's `url.ParseQuery`, Python's `parse_qsl`, and nearly everyone.
    #[default]
    Space,
    /// Itself.
    Literal,
}

/// A carrier's text.
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    /// Wiped when dropped: it may be a key.
    Decoded(Zeroizing<String>),
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Decoded(text) => text,
        }
    }

    /// The part that `form` takes out of it.
    pub(super) fn narrow(self, form: impl Fn(&str) -> Option<&str>) -> Option<Self> {
        match self {
            Self::Borrowed(text) => form(text).map(Text::Borrowed),
            Self::Decoded(text) => form(&text).map(|part| Self::Decoded(Zeroizing::new(part.to_owned()))),
        }
    }
}

/// Percent-decoded once; `None` for a bad escape and for what is not UTF-8.
pub(super) fn decode(value: &[u8], plus: Plus) -> Option<Text<'_>> {
    if !value.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return std::str::from_utf8(value).ok().map(Text::Borrowed);
    }
    let mut text = Zeroizing::new(String::with_capacity(value.len()));
    for byte in unescape(value, plus) {
        // No key has another character.
        text.push(byte.filter(u8::is_ascii)?.into());
    }
    Some(Text::Decoded(text))
}

/// Each byte, or `None` for a bad escape.
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

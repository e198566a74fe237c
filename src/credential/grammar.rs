//! Which texts are keys, and the canonical key of each.

use super::{
    jwt,
    placeholder::{self, Placeholder},
};
use crate::domain::{ApiKey, MAX_KEY};

/// A set of ASCII characters, as a bit set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alphabet(u128);

impl Alphabet {
    /// `0-9 A-Z a-z`.
    pub const ALNUM: Self = Self::of(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");
    /// `0-9 A-F a-f`.
    pub const HEX: Self = Self::of(b"0123456789ABCDEFabcdef");
    /// The URL-safe Base64 alphabet of RFC 4648 §5, without padding.
    pub const BASE64URL: Self = Self::ALNUM.and(b"-_");
    /// The token68 alphabet of RFC 9110 §11.2, and `:@$*`, which real key generators use.
    ///
    /// Excludes `|`, because Laravel Sanctum puts a number before it that is not looked up with the key (see
    /// `strip_through`); `!`, with which Envoy replaces a byte that is not UTF-8; `,`, with which Envoy joins repeated
    /// headers; and `%`, quotes, `;` and white space, which some upstreams decode, remove or split at.
    pub const TOKEN: Self = Self::ALNUM.and(b"-._~+/=:@$*");

    const fn of(characters: &[u8]) -> Self {
        Self(0).and(characters)
    }

    pub(super) const fn and(self, characters: &[u8]) -> Self {
        let mut bits = self.0;
        let mut at = 0;
        while at < characters.len() {
            bits |= 1 << characters[at];
            at += 1;
        }
        Self(bits)
    }

    pub(super) fn holds(self, text: &str) -> bool {
        text.bytes().all(|byte| self.has(byte))
    }

    fn has(self, byte: u8) -> bool {
        byte.is_ascii() && self.0 >> byte & 1 == 1
    }
}

/// The format of a key, from the upstream's own generator, so that other texts cannot claim.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// The prefix; may be empty.
    pub prefix: &'static str,
    /// The allowed characters, prefix included.
    pub alphabet: Alphabet,
    /// The minimum and maximum length in bytes, prefix included.
    pub length: (usize, usize),
}

/// How the upstream reduces a text to the key that it looks up. Profiles with the same canonicalisation give a key the
/// same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canonicalisation {
    /// The upstream removes everything through the first of these characters, before `strip`.
    pub strip_through: Option<char>,
    /// The upstream removes this prefix, once.
    pub strip: &'static str,
    /// The upstream reads what follows the first `-` as a channel number.
    pub channel: bool,
    /// The upstream's look-up ignores ASCII case.
    pub fold: bool,
}

impl Canonicalisation {
    /// The upstream looks up the text as it is.
    pub(super) const IDENTITY: Self = Self { strip_through: None, strip: "", channel: false, fold: false };
}

/// Which texts a profile accepts as keys.
#[derive(Clone, Copy, Debug)]
pub struct Grammar {
    /// How a text is reduced to the canonical key.
    pub canonical: Canonicalisation,
    /// The formats of the canonical key; it must have one of them.
    pub formats: &'static [Format],
    /// Whether `credentials.jwt = "opaque"` accepts JSON Web Tokens as keys, because this upstream accepts such tokens.
    pub may_be_jwt: bool,
    /// Schemes with which no key begins, in any case: an upstream that removes the word and trims would read `TokenK` as
    /// `K`. In addition to `bearer`.
    pub schemes: &'static [&'static str],
    /// The source of the formats.
    pub source: &'static str,
}

/// The most digits of a channel number, which upstreams parse as a 64-bit integer.
const MAX_CHANNEL: usize = 18;

impl Grammar {
    /// The canonical key of `text`, if `text` is exactly one key.
    pub(super) fn key(&self, text: &str, opaque_jwt: bool) -> Option<ApiKey> {
        let key = self.reduce(text).filter(|key| self.accepts(key, opaque_jwt))?;
        if self.placeholder(text).is_some() {
            return None;
        }
        Some(ApiKey::new(if self.canonical.fold { key.to_ascii_lowercase() } else { key.to_owned() }))
    }

    /// Whether `text`, or what the upstream would make of it, is what clients send when they have no key.
    pub(super) fn placeholder(&self, text: &str) -> Option<Placeholder> {
        let reduced = || self.reduce(text).filter(|key| key.len() != text.len());
        placeholder::find(text).or_else(|| reduced().and_then(placeholder::find))
    }

    fn reduce<'a>(&self, text: &'a str) -> Option<&'a str> {
        let Canonicalisation { strip_through, strip, channel, .. } = self.canonical;
        let mut key = text;
        if let Some((before, after)) = strip_through.and_then(|end| text.split_once(end)) {
            // How the upstream reads a second separator, or another text before it, is unknown.
            if strip_through.is_some_and(|end| after.contains(end)) || !Alphabet::BASE64URL.holds(before) {
                return None;
            }
            key = after;
        }
        if !strip.is_empty() {
            key = key.strip_prefix(strip).unwrap_or(key);
            // How the upstream reads the prefix twice, or in another case, is unknown.
            if starts_ignoring_case(key, strip) {
                return None;
            }
        }
        match key.split_once('-') {
            Some((key, number)) if channel => {
                let is_number = (1..=MAX_CHANNEL).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
                is_number.then_some(key)
            }
            _ => Some(key),
        }
    }

    fn accepts(&self, key: &str, opaque_jwt: bool) -> bool {
        // An upstream that removes the word and trims reads `BearerK` as `K`. LiteLLM removes every `Bearer ` in the
        // text, and so reads `KBearer ` as `K` if the final space was not trimmed. Neither may be a second name of `K`.
        if starts_ignoring_case(key, "bearer") || ends_ignoring_case(key, "bearer") {
            return false;
        }
        if self.schemes.iter().any(|scheme| starts_ignoring_case(key, scheme)) {
            return false;
        }
        // RFC 6750 §2.1 allows `=` only at the end. Rails reads `token=K` as `K`: rails/rails
        // actionpack/lib/action_controller/metal/http_authentication.rb Token.raw_params.
        if key.trim_end_matches('=').contains('=') {
            return false;
        }
        if jwt::looks_like_jwt(key) {
            return opaque_jwt && self.may_be_jwt && key.len() <= MAX_KEY && Alphabet::TOKEN.holds(key);
        }
        self.formats.iter().any(|format| self.has_format(key, format))
    }

    /// Whether `text` may contain a key. Uses only formats that another text is unlikely to have by chance: those with
    /// a prefix, and long ones.
    pub(super) fn may_be_in(&self, text: &[u8]) -> bool {
        self.formats.iter().filter(is_distinctive).any(|format| may_be_in(format, text))
    }

    /// Whether `text` may hold a key of this realm: one with the prefix of a format, a word that is a key of a distinctive
    /// format, or a JSON Web Token where such tokens are keys. Long formats without a prefix must be a whole word, because
    /// the segments of a token have them too.
    pub(super) fn resembles_key(&self, text: &[u8], opaque_jwt: bool) -> bool {
        let is_token = |word: &[u8]| std::str::from_utf8(word).is_ok_and(jwt::looks_like_jwt);
        let has_token = || text.split(|byte| !Alphabet::TOKEN.has(*byte)).any(is_token);
        let has_prefix = |format: &&Format| !format.prefix.is_empty();
        let is_key = |word: &[u8]| {
            let key = std::str::from_utf8(word).ok().and_then(|word| self.reduce(word));
            let mut formats = self.formats.iter().filter(is_distinctive);
            key.is_some_and(|key| !jwt::looks_like_jwt(key) && formats.any(|format| self.has_format(key, format)))
        };
        self.formats.iter().filter(has_prefix).any(|format| may_be_in(format, text))
            || text.split(|byte| matches!(byte, b' ' | b'\t')).any(is_key)
            || opaque_jwt && self.may_be_jwt && has_token()
    }

    fn has_format(&self, key: &str, Format { prefix, alphabet, length: (min, max) }: &Format) -> bool {
        let begins = if self.canonical.fold { starts_ignoring_case(key, prefix) } else { key.starts_with(prefix) };
        begins && (*min..=*max).contains(&key.len()) && alphabet.holds(key)
    }
}

/// Whether another text is unlikely to have this format by chance.
fn is_distinctive(format: &&Format) -> bool {
    const LONG: usize = 32;
    !format.prefix.is_empty() || format.length.0 >= LONG
}

fn may_be_in(Format { prefix, alphabet, length: (min, _) }: &Format, text: &[u8]) -> bool {
    let begins = |rest: &[u8]| rest.get(..prefix.len()).is_some_and(|it| it.eq_ignore_ascii_case(prefix.as_bytes()));
    let mut runs = text.split(|byte| !alphabet.has(*byte));
    // The first occurrence of the prefix leaves the longest rest.
    runs.any(|run| (0..run.len()).find(|at| begins(&run[*at..])).is_some_and(|at| run.len() - at >= *min))
}

fn ends_ignoring_case(text: &str, end: &str) -> bool {
    let tail = text.len().checked_sub(end.len()).and_then(|start| text.as_bytes().get(start..));
    tail.is_some_and(|tail| tail.eq_ignore_ascii_case(end.as_bytes()))
}

/// Whether `text` begins with `start`, in any ASCII case.
pub(super) fn starts_ignoring_case(text: &str, start: &str) -> bool {
    text.as_bytes().get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
}

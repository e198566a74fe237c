//! Which texts are keys, and the one canonical key that each stands for.

use super::jwt;
use crate::domain::ApiKey;

/// A set of ASCII characters, one bit each.
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
    /// Not `|`, in front of which Laravel Sanctum has a number that is not looked up with the key (see `strip_through`);
    /// nor `!`, which is how Envoy shows a byte that is not UTF-8; nor `,`, which is how it joins repeated headers; nor
    /// `%`, quotes, `;` or white space, which some upstream decodes, unwraps or splits.
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

/// The shape of a key, from the upstream's own generator: garbage must not claim.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// How it begins; empty means anyhow.
    pub prefix: &'static str,
    /// Its characters, prefix included.
    pub alphabet: Alphabet,
    /// Its shortest and longest length in bytes, prefix included.
    pub length: (usize, usize),
}

/// How the upstream reduces what it is shown to what it looks up. Two profiles with the same one give one key one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canonicalisation {
    /// The upstream drops all that is in front of the first one of these, and it too, before it strips.
    pub strip_through: Option<char>,
    /// The upstream drops this in front of a key, once, if it is there.
    pub strip: &'static str,
    /// The upstream takes what follows the first `-` for a channel's number.
    pub channel: bool,
    /// The upstream's look-up ignores ASCII case.
    pub fold: bool,
}

impl Canonicalisation {
    /// The upstream looks up what it is shown.
    pub(super) const IDENTITY: Self = Self { strip_through: None, strip: "", channel: false, fold: false };
}

/// Which texts a profile takes for keys.
#[derive(Clone, Copy, Debug)]
pub struct Grammar {
    /// How a text reduces to the canonical key.
    pub canonical: Canonicalisation,
    /// What the canonical key must look like; one is enough.
    pub formats: &'static [Format],
    /// Whether `credentials.jwt = "opaque"` may let JSON Web Tokens pass as keys: this upstream reads some.
    pub may_be_jwt: bool,
    /// Where the formats are from.
    pub source: &'static str,
}

/// The longest JSON Web Token that may count as an opaque key, in bytes.
const MAX_JWT: usize = 4096;

/// The longest channel number: upstreams read it into an integer.
const MAX_CHANNEL: usize = 18;

impl Grammar {
    /// The canonical key of `text`, if it is exactly a key.
    pub(super) fn key(&self, text: &str, opaque_jwt: bool) -> Option<ApiKey> {
        let key = self.reduce(text).filter(|key| self.accepts(key, opaque_jwt))?;
        Some(ApiKey::new(if self.canonical.fold { key.to_ascii_lowercase() } else { key.to_owned() }))
    }

    fn reduce<'a>(&self, text: &'a str) -> Option<&'a str> {
        let Canonicalisation { strip_through, strip, channel, .. } = self.canonical;
        let mut key = text;
        if let Some((before, after)) = strip_through.and_then(|end| text.split_once(end)) {
            // What the upstream makes of more of them, or of anything else in front, is not ours to guess.
            if strip_through.is_some_and(|end| after.contains(end)) || !Alphabet::BASE64URL.holds(before) {
                return None;
            }
            key = after;
        }
        if !strip.is_empty() {
            key = key.strip_prefix(strip).unwrap_or(key);
            // Twice, or in another case: whether the upstream drops it then is not ours to guess.
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
        // `BearerK` is the key `K` to upstreams that cut the word and trim; so is `KBearer ` to LiteLLM, which deletes
        // every `Bearer ` in the text, where the space at the end was not taken off before. They may be no other keys
        // to us.
        if starts_ignoring_case(key, "bearer") || ends_ignoring_case(key, "bearer") {
            return false;
        }
        // RFC 6750 §2.1 has `=` behind the rest only. `token=K` is the key `K` to Rails: rails/rails
        // actionpack/lib/action_controller/metal/http_authentication.rb Token.raw_params.
        if key.trim_end_matches('=').contains('=') {
            return false;
        }
        if jwt::looks_like_one(key) {
            return opaque_jwt && self.may_be_jwt && key.len() <= MAX_JWT && Alphabet::TOKEN.holds(key);
        }
        self.formats.iter().any(|format| self.has_format(key, format))
    }

    /// Whether a key may be in `text`, which is none. Only a format tells that no other text has by chance: one with a
    /// prefix, or a long one.
    pub(super) fn may_be_in(&self, text: &[u8]) -> bool {
        const LONG: usize = 32;
        let telling = |format: &&Format| !format.prefix.is_empty() || format.length.0 >= LONG;
        self.formats.iter().filter(telling).any(|Format { prefix, alphabet, length: (min, _) }| {
            let begins =
                |rest: &[u8]| rest.get(..prefix.len()).is_some_and(|it| it.eq_ignore_ascii_case(prefix.as_bytes()));
            let mut runs = text.split(|byte| !alphabet.has(*byte));
            // From the first place where the prefix is, which leaves the most.
            runs.any(|run| (0..run.len()).find(|at| begins(&run[*at..])).is_some_and(|at| run.len() - at >= *min))
        })
    }

    fn has_format(&self, key: &str, Format { prefix, alphabet, length: (min, max) }: &Format) -> bool {
        let begins = if self.canonical.fold { starts_ignoring_case(key, prefix) } else { key.starts_with(prefix) };
        begins && (*min..=*max).contains(&key.len()) && alphabet.holds(key)
    }
}

fn ends_ignoring_case(text: &str, end: &str) -> bool {
    let tail = text.len().checked_sub(end.len()).and_then(|start| text.as_bytes().get(start..));
    tail.is_some_and(|tail| tail.eq_ignore_ascii_case(end.as_bytes()))
}

/// Whether `text` begins with `start`, in any ASCII case.
pub(super) fn starts_ignoring_case(text: &str, start: &str) -> bool {
    text.as_bytes().get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
}

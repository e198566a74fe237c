//! Finds a secret in bytes, however it was written there.

use std::collections::HashMap;

/// So many bytes of a secret in a row are a leak. (A hint shows four at each end.)
const WINDOW: usize = 12;

/// The ways in which a piece of a secret may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is, or percent-encoded as far as anybody likes.
    Plain,
    /// The same letters in another case.
    Folded,
    Hex,
    /// Either alphabet, at any alignment.
    Base64,
}

/// A secret was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leak {
    pub(crate) secret: String,
    pub(crate) form: Form,
    pub(crate) place: String,
}

/// All pieces of all secrets, by their length and form.
#[derive(Default)]
pub(crate) struct Search {
    pieces: Vec<(Form, usize, HashMap<Vec<u8>, String>)>,
}

impl Search {
    /// Looks for these secrets; the names are for the report.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut search = Self::default();
        for (name, secret) in secrets {
            let window = WINDOW.min(secret.len());
            for piece in secret.windows(window) {
                search.add(Form::Plain, piece.to_owned(), name);
                search.add(Form::Folded, piece.to_ascii_lowercase(), name);
                search.add(Form::Hex, hex(piece), name);
                (0..3).for_each(|alignment| search.add(Form::Base64, base64_core(piece, alignment), name));
            }
        }
        search
    }

    fn add(&mut self, form: Form, piece: Vec<u8>, name: &str) {
        let length = piece.len();
        let place = self.pieces.iter().position(|(of, long, _)| *of == form && *long == length);
        let place = place.unwrap_or_else(|| {
            self.pieces.push((form, length, HashMap::new()));
            self.pieces.len() - 1
        });
        self.pieces[place].2.entry(piece).or_insert_with(|| name.to_owned());
    }

    /// The first leak of each form and secret in `haystack`.
    pub(crate) fn run(&self, haystack: &[u8]) -> Vec<Leak> {
        let decoded = percent_decoded(haystack);
        let folded = decoded.to_ascii_lowercase();
        let lower = haystack.to_ascii_lowercase();
        // `-_` are `+/` of the other alphabet; JSON may write `/` as `\/`.
        let base64: Vec<u8> = haystack.iter().filter(|byte| **byte != b'\\').map(standard_alphabet).collect();
        let mut leaks: Vec<Leak> = Vec::new();
        for (form, length, pieces) in &self.pieces {
            let text = match form {
                Form::Plain => &decoded,
                Form::Folded => &folded,
                Form::Hex => &lower,
                Form::Base64 => &base64,
            };
            for (at, window) in text.windows(*length).enumerate() {
                let Some(secret) = pieces.get(window) else { continue };
                if !leaks.iter().any(|leak| leak.secret == *secret && leak.form == *form) {
                    let around = &text[at.saturating_sub(80)..(at + length + 40).min(text.len())];
                    let place = around.escape_ascii().to_string();
                    leaks.push(Leak { secret: secret.clone(), form: *form, place });
                }
            }
        }
        leaks
    }
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn standard_alphabet(byte: &u8) -> u8 {
    match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => *other,
    }
}

/// Those characters of the Base64 of a text with `piece` inside that `piece` alone decides, when `alignment` bytes
/// (modulo 3) come before it.
fn base64_core(piece: &[u8], alignment: usize) -> Vec<u8> {
    let bit = |at: usize| piece[at / 8] >> (7 - at % 8) & 1;
    let first = (6 - alignment * 8 % 6) % 6;
    let sextets = (piece.len() * 8 - first) / 6;
    let sextet = |nth: usize| (0..6).fold(0, |value, at| value << 1 | bit(first + nth * 6 + at));
    (0..sextets).map(|nth| ALPHABET[usize::from(sextet(nth))]).collect()
}

fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|byte| (*byte as char).to_digit(16)).map(|digit| digit as u8);
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        match (bytes[at], digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(high << 4 | low);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"sk-Planted/0123+abcdefXYZ";

    fn found(haystack: impl AsRef<[u8]>) -> Vec<Form> {
        let search = Search::new([("a", SECRET)]);
        search.run(haystack.as_ref()).into_iter().map(|leak| leak.form).collect()
    }

    fn text(secret: &[u8]) -> String {
        String::from_utf8(secret.to_owned()).unwrap()
    }

    /// Plain Base64 by the book, to check the search against.
    fn base64(bytes: &[u8]) -> String {
        let groups = bytes.chunks(3).map(|chunk| {
            let bits = chunk.iter().chain(&[0; 2]).take(3).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
            let chars = (0..4).map(|nth| ALPHABET[(bits >> (18 - 6 * nth) & 63) as usize] as char);
            chars.take(chunk.len() + 1).collect::<String>()
        });
        groups.collect()
    }

    #[test]
    fn the_secret_and_each_slice_of_twelve_are_found() {
        assert!(found(format!("before {} after", text(SECRET))).contains(&Form::Plain));
        for slice in SECRET.windows(12) {
            assert!(found([b"\x00\xff".as_slice(), slice, b"\x00"].concat()).contains(&Form::Plain));
        }
        assert!(found(text(SECRET).to_uppercase()).contains(&Form::Folded));
    }

    #[test]
    fn every_encoding_of_it_is_found() {
        assert!(found(hex(SECRET)).contains(&Form::Hex));
        assert!(found(text(&hex(SECRET)).to_uppercase()).contains(&Form::Hex));
        let all: String = SECRET.iter().map(|byte| format!("%{byte:02X}")).collect();
        assert!(found(all).contains(&Form::Plain));
        assert!(found(text(SECRET).replace('/', "%2f").replace('+', "%2B")).contains(&Form::Plain));
        for before in ["", "x", "xy", "Bearer ", "user:"] {
            let standard = base64(&[before.as_bytes(), SECRET, b"tail"].concat());
            let url = standard.replace('+', "-").replace('/', "_");
            for encoded in [standard.clone(), url, standard.replace('/', "\\/")] {
                assert!(found(format!("\"{encoded}\"")).contains(&Form::Base64), "{before:?}");
            }
        }
    }

    #[test]
    fn a_hint_and_a_stranger_are_no_leak() {
        assert_eq!(found("sk-P…fXYZ"), []);
        assert_eq!(found("sk-Planted/ 0123+abcdef XYZ"), []);
        assert_eq!(found([0x61; 10_000]), []);
        let short = Search::new([("short", b"8-chars!".as_slice())]);
        assert!(!short.run(b"..8-chars!..").is_empty(), "a shorter secret is found whole");
        assert!(short.run(b"..8-chars..").is_empty());
    }
}

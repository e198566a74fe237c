//! The arguments that name a key: the beginning of its id, or a file with the key itself. The key is never an argument,
//! because the shell's history and every process on the machine could read it.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use zeroize::Zeroizing;

use super::failure::Failure;
use crate::{
    admin::api::{KeyReference, key_reference::Reference},
    domain::{KeyIdPrefix, MAX_KEY},
};

/// The longest key and its line end.
const MAX_KEY_FILE: usize = MAX_KEY + 2;

/// Names one key.
#[derive(Args)]
pub(super) struct KeyArgs {
    #[command(flatten)]
    key: IdOrFile,
    /// How the key in the file is read: credentials.profile (default) or one of credentials.route_profiles
    #[arg(long, value_name = "NAME", requires = "key_file", conflicts_with = "reference")]
    profile: Option<String>,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct IdOrFile {
    /// The first 8 or more hex digits of the key's id, with or without k_
    #[arg(value_name = "REF", value_parser = key_id)]
    reference: Option<KeyIdPrefix>,
    /// A file with the key itself, - for standard input
    #[arg(long, value_name = "PATH")]
    key_file: Option<PathBuf>,
}

impl KeyArgs {
    /// Takes the key from `key_file`, or else from the first of `words`. Returns the remaining words too.
    pub(super) fn first_of(
        mut words: Vec<String>,
        key_file: Option<PathBuf>,
        profile: Option<String>,
    ) -> Result<(Self, Vec<String>), Failure> {
        let reference = match key_file {
            Some(_) => None,
            None if words.is_empty() => {
                return Err(Failure::Usage("missing <REF|--key-file <PATH>>; --help shows how".to_owned()));
            }
            None => Some(key_id(&words.remove(0)).map_err(|why| usage("<REF>", why))?),
        };
        Ok((Self { key: IdOrFile { reference, key_file }, profile }, words))
    }

    /// Makes the message for the server. Reads the key file.
    pub(super) fn resolve(self) -> Result<KeyReference, Failure> {
        match self.key.key_file {
            Some(path) => by_file(&path, self.profile),
            None => Ok(self.key.reference.as_ref().map(by_id).unwrap_or_default()),
        }
    }
}

/// The keys whose id begins with `prefix`.
pub(super) fn by_id(prefix: &KeyIdPrefix) -> KeyReference {
    KeyReference { reference: Some(Reference::KeyId(prefix.as_str().to_owned())), profile: String::new() }
}

/// The key in the file at `path`, as `profile` reads it.
pub(super) fn by_file(path: &Path, profile: Option<String>) -> Result<KeyReference, Failure> {
    // The error does not repeat the path: an operator may have typed the key there.
    let mut key = open(path)
        .and_then(|input| read_bounded(input, MAX_KEY_FILE))
        .map_err(|error| Failure::Usage(format!("cannot read the key file: {error}")))
        .and_then(|bytes| bare_key(&bytes).map_err(|why| Failure::Usage(format!("the key file {why}"))))?;
    let reference = Some(Reference::ApiKey(std::mem::take(&mut *key)));
    Ok(KeyReference { reference, profile: profile.unwrap_or_default() })
}

/// The file at `path`; - is standard input.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    if path == Path::new("-") { Ok(Box::new(io::stdin())) } else { Ok(Box::new(File::open(path)?)) }
}

/// Reads at most `limit + 1` bytes, so that the caller can detect a longer input. Allocates once: a growing buffer
/// would leave copies of the key in memory.
pub(super) fn read_bounded(input: impl Read, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 2));
    input.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn bare_key(bytes: &[u8]) -> Result<Zeroizing<String>, &'static str> {
    if bytes.len() > MAX_KEY_FILE {
        return Err("is too long for a key; it must hold the bare key and nothing else");
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "is not text; it must hold the bare key and nothing else")?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err("is empty; it must hold the bare key");
    }
    if line.contains(['\n', '\r']) {
        return Err("has more than one line; it must hold one bare key and nothing else");
    }
    Ok(Zeroizing::new(line.to_owned()))
}

/// An error in the form of [`super::usage`]. Like those, it does not repeat the argument.
pub(super) fn usage(argument: &str, why: &str) -> Failure {
    Failure::Usage(format!("{argument}: {why}; --help shows how"))
}

pub(super) fn key_id(text: &str) -> Result<KeyIdPrefix, &'static str> {
    text.parse().map_err(|_| match text.len() {
        ..8 => {
            "a key id is 8 to 32 lower-case hex digits, with or without k_; to find a key by its last characters: \
             sentinel bindings list --hint 995y"
        }
        _ => {
            "a key id is 8 to 32 lower-case hex digits, with or without k_. The value is not repeated here: if it is a \
         key, it is now in your shell's history; pass keys with --key-file PATH (- for standard input)"
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_holds_one_line() {
        for text in ["sk-abc", "sk-abc\n", "sk-abc\r\n"] {
            assert_eq!(bare_key(text.as_bytes()).unwrap().as_str(), "sk-abc", "{text:?}");
        }
        // Blanks are kept: the profile's grammar decides whether they belong to the key.
        assert_eq!(bare_key(b" sk-abc ").unwrap().as_str(), " sk-abc ");
        for text in ["", "\n", "\r\n", "a\nb", "a\n\n", "a\rb", "\na"] {
            assert!(bare_key(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(bare_key(b"\xff\xfe").is_err());
        assert!(bare_key(&[b'a'; MAX_KEY_FILE + 1]).is_err());
    }
}

//! What was written, before anyone asks what it means: file and environment as one map of texts, and every fault.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    path::{Path, PathBuf},
};

use super::{
    settings::{Setting, env_name},
    values::secret,
};
use crate::files;

/// Everything that is wrong with a config, found in one go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<String>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Faults {}

impl Faults {
    /// Adds one fault, which must name the setting.
    pub(super) fn push(&mut self, fault: String) {
        self.0.push(fault);
    }

    pub(super) fn or<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

/// Which settings were written, and a hash of what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written(BTreeMap<String, u64>);

impl Written {
    /// The settings that are not the same in both.
    pub fn changed(&self, other: &Self) -> BTreeSet<String> {
        let differs = |key: &&String| self.0.get(*key) != other.0.get(*key);
        self.0.keys().chain(other.0.keys()).filter(differs).cloned().collect()
    }

    /// Has of `keys` from now on what `other` has.
    pub fn take_over(&mut self, other: &Self, keys: &[String]) {
        for key in keys {
            match other.0.get(key) {
                Some(hash) => self.0.insert(key.clone(), *hash),
                None => self.0.remove(key),
            };
        }
    }
}

/// A setting as written.
struct Entry {
    /// `sentinel.toml` or `SENTINEL_…`: where to look when it is wrong.
    place: String,
    text: Text,
}

#[derive(Hash)]
enum Text {
    One(String),
    Many(Vec<String>),
}

/// Settings as written, to be taken one by one.
pub(super) struct Source {
    written: BTreeMap<String, Entry>,
    /// `SENTINEL_HMAC_SECRET` and its `_FILE`, with their names: no settings of the table, but ways to give one.
    pub(super) hmac_secret: Vec<(&'static str, String)>,
    pub(super) secret_files: Vec<SecretFile>,
    pub(super) faults: Faults,
}

/// A file that holds a secret, and the setting or variable that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    /// Such as `pepper.secrets_file`.
    pub name: &'static str,
    /// Where.
    pub path: PathBuf,
}

/// The name of every environment variable of ours starts so.
const PREFIX: &str = "SENTINEL_";
/// Adds one pepper; kept for users of the Python Key-IP Sentinel.
const HMAC_SECRET: &str = "SENTINEL_HMAC_SECRET";
/// Names a file with one.
pub(super) const HMAC_SECRET_FILE: &str = "SENTINEL_HMAC_SECRET_FILE";
/// Where the file is; read by the command line.
const CONFIG: &str = "SENTINEL_CONFIG";

impl Source {
    /// Reads `file`, then lets `env` override it.
    pub(super) fn read(file: Option<&Path>, env: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut source = Self {
            written: BTreeMap::new(),
            hmac_secret: Vec::new(),
            secret_files: Vec::new(),
            faults: Faults::default(),
        };
        if let Some(file) = file {
            source.read_file(file);
        }
        for (name, value) in env {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            match value.to_str() {
                Some(value) => source.read_variable(name, value),
                // Not its value, which may be a secret.
                None => source.faults.push(format!("{name}: is not UTF-8")),
            }
        }
        source
    }

    /// What is written, to be compared with a later reading. Hashes, because it may be secret.
    pub(super) fn fingerprints(&self) -> Written {
        let hasher = BuildHasherDefault::<DefaultHasher>::new();
        Written(self.written.iter().map(|(key, entry)| (key.clone(), hasher.hash_one(&entry.text))).collect())
    }

    fn read_file(&mut self, file: &Path) {
        let place = file.display().to_string();
        let text = match files::read(file, files::CONFIG) {
            Ok(text) => text,
            Err(cause) => return self.faults.push(format!("{place}: {cause}")),
        };
        let Ok(text) = std::str::from_utf8(&text) else { return self.faults.push(format!("{place}: is not UTF-8")) };
        match text.parse::<toml::Table>() {
            Ok(table) => self.flatten(&place, String::new(), table),
            // Not the parser's whole message: it quotes the line, which may hold a secret.
            Err(cause) => {
                let line = cause.span().map_or(0, |span| text[..span.start.min(text.len())].lines().count().max(1));
                self.faults.push(format!("{place}: line {line}: {}", cause.message()));
            }
        }
    }

    fn flatten(&mut self, place: &str, prefix: String, table: toml::Table) {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            let text = match value {
                toml::Value::Table(inner) => {
                    self.flatten(place, format!("{key}."), inner);
                    continue;
                }
                toml::Value::Array(items) => {
                    let texts: Option<Vec<_>> = items.into_iter().map(scalar).collect();
                    texts.map(Text::Many)
                }
                value => scalar(value).map(Text::One),
            };
            match (Setting::find(&key), text) {
                (Some(_), Some(text)) => {
                    self.written.insert(key, Entry { place: place.to_owned(), text });
                }
                (Some(_), None) => {
                    self.faults.push(format!("{place}: {key}: a text, number or list of them is expected"))
                }
                (None, _) => self.faults.push(format!("{place}: {key}: there is no such setting in this version")),
            }
        }
    }

    fn read_variable(&mut self, name: &str, value: &str) {
        let key = name.strip_prefix(PREFIX).unwrap_or_default().to_ascii_lowercase().replace("__", ".");
        if Setting::find(&key).is_some() && env_name(&key) == name {
            let text = Text::One(value.to_owned());
            self.written.insert(key, Entry { place: name.to_owned(), text });
        } else if let Some(name) = [HMAC_SECRET, HMAC_SECRET_FILE].into_iter().find(|known| *known == name) {
            self.hmac_secret.push((name, value.to_owned()));
        } else if name != CONFIG && !is_service_link(name) {
            self.faults.push(format!("{name}: there is no such setting in this version"));
        }
    }

    /// The names of all custom profiles of which anything is written.
    pub(super) fn custom_names(&self) -> BTreeSet<String> {
        let names = self.written.keys().filter_map(|key| key.strip_prefix("credentials.custom.")?.split('.').next());
        names.map(str::to_owned).collect()
    }

    /// Whether the setting is written anywhere.
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.written.contains_key(key)
    }

    /// The setting's value, or its default where it is not written; `None` after a fault.
    pub(super) fn take<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let (place, text) = match self.written.remove(key) {
            Some(Entry { place, text: Text::One(text) }) => (place, text),
            Some(Entry { place, text: Text::Many(_) }) => {
                self.faults.push(format!("{place}: {key}: one value is expected, not a list"));
                return None;
            }
            None => ("default".into(), default(key).to_owned()),
        };
        self.parsed(&place, key, &text, parse)
    }

    /// A setting that may be left out: `Some(None)` where it is not written or written empty, `None` after a fault.
    pub(super) fn take_if_written<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        self.take(key, |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) })
    }

    /// As [`Source::take_if_written`], for the path of a file with a secret, which is what `parse` is given.
    pub(super) fn take_secret_file<T, E: fmt::Display>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&[u8]) -> Result<T, E>,
    ) -> Option<Option<T>> {
        let taken = self.take_if_written(key, |file| Ok((PathBuf::from(file), secret(file, &parse)?)))?;
        Some(taken.map(|(path, secret)| {
            self.secret_files.push(SecretFile { name: key, path });
            secret
        }))
    }

    /// The setting's list; empty where it is not written. A list that is written but empty is a fault: it reads as
    /// "nothing" and would mean "no restriction".
    pub(super) fn take_list<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let Some(Entry { place, text }) = self.written.remove(key) else { return Vec::new() };
        let texts = match text {
            Text::Many(texts) => texts,
            Text::One(text) if !place.starts_with(PREFIX) => {
                self.faults.push(format!("{place}: {key}: a list is expected, such as [\"{}\"]", redacted(key, &text)));
                return Vec::new();
            }
            Text::One(text) => {
                text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
            }
        };
        if texts.is_empty() {
            self.faults.push(format!("{place}: {key}: the list is empty; leave the setting out instead"));
        }
        texts.iter().filter_map(|text| self.parsed(&place, key, text, &parse)).collect()
    }

    fn parsed<T>(
        &mut self,
        place: &str,
        key: &str,
        text: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        parse(text).map_err(|fault| self.faults.push(format!("{place}: {key}: {fault}"))).ok()
    }
}

fn redacted<'a>(key: &str, text: &'a str) -> &'a str {
    if key.starts_with("pepper.") { "…" } else { text }
}

fn default(key: &str) -> &'static str {
    Setting::find(key).map_or("", |setting| setting.default)
}

fn scalar(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// Kubernetes puts a variable for every port of every Service of the namespace into a pod, and a Service may be named
/// `sentinel` or `sentinel-…`: `*_SERVICE_HOST`, `*_SERVICE_PORT[_NAME]`, `*_PORT`, `*_PORT_<n>_<TCP|UDP>[_…]`.
fn is_service_link(name: &str) -> bool {
    let numbered = |rest: &str| {
        let (number, protocol) = rest.split_once('_').unwrap_or((rest, ""));
        let is = |word: &str| protocol == word || protocol.strip_prefix(word).is_some_and(|tail| tail.starts_with('_'));
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) && (is("TCP") || is("UDP"))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.ends_with("_PORT")
        || name.match_indices("_PORT_").any(|(at, word)| numbered(&name[at + word.len()..]))
}

#[cfg(test)]
mod tests {
    use super::is_service_link;

    #[test]
    fn kubernetes_service_links_are_not_settings() {
        for name in [
            "SENTINEL_SERVICE_HOST",
            "SENTINEL_SERVICE_PORT",
            "SENTINEL_SERVICE_PORT_GRPC",
            "SENTINEL_PORT",
            "SENTINEL_PORT_9191_TCP",
            "SENTINEL_PORT_9191_TCP_ADDR",
            "SENTINEL_ADMIN_PORT_53_UDP_PORT",
            "SENTINEL_ADMIN_SERVICE_HOST",
        ] {
            assert!(is_service_link(name), "{name}");
        }
        for name in ["SENTINEL_PORT_X", "SENTINEL_PORT_1_SCTP", "SENTINEL_MODE", "SENTINEL_PORTS", "SENTINEL_SERVICE"] {
            assert!(!is_service_link(name), "{name}");
        }
    }
}

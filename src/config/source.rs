//! The written settings of the file and the environment, as one map of texts, and the list of faults.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fmt,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    path::{Path, PathBuf},
};

use toml::de::DeTable;
use zeroize::Zeroizing;

use super::{
    settings::{Setting, env_name},
    suggest::{nearest, unknown},
    values::secret,
};
use crate::files;

/// All faults of a configuration.
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

/// A hash of the value of each written setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written(BTreeMap<String, u64>);

impl Written {
    /// The settings whose values differ.
    pub fn changed(&self, other: &Self) -> BTreeSet<String> {
        let differs = |key: &&String| self.0.get(*key) != other.0.get(*key);
        self.0.keys().chain(other.0.keys()).filter(differs).cloned().collect()
    }

    /// Copies the values of `keys` from `other`.
    pub fn take_over(&mut self, other: &Self, keys: &[String]) {
        for key in keys {
            match other.0.get(key) {
                Some(hash) => self.0.insert(key.clone(), *hash),
                None => self.0.remove(key),
            };
        }
    }
}

/// A written setting.
struct Entry {
    /// The file and the line, or the variable, for a fault.
    origin: String,
    text: Text,
}

#[derive(Hash)]
enum Text {
    One(String),
    Many(Vec<String>),
}

/// The written settings that have not been taken yet.
pub(super) struct Source {
    written: BTreeMap<String, Entry>,
    /// `SENTINEL_HMAC_SECRET` and `SENTINEL_HMAC_SECRET_FILE`, which add a pepper but are not in the table of settings.
    pub(super) hmac_secret: Vec<(&'static str, String)>,
    pub(super) secret_files: Vec<SecretFile>,
    pub(super) faults: Faults,
    /// If not empty, the only settings whose faults matter.
    only: &'static [&'static str],
}

/// A file that holds a secret, and the setting or variable that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    /// The setting or variable, such as `pepper.secrets_file`.
    pub name: &'static str,
    /// The file.
    pub path: PathBuf,
}

/// The prefix of Sentinel's environment variables.
const PREFIX: &str = "SENTINEL_";
/// Adds one pepper; kept for users of the Python Key-IP Sentinel.
const HMAC_SECRET: &str = "SENTINEL_HMAC_SECRET";
/// Adds one pepper from a file.
pub(super) const HMAC_SECRET_FILE: &str = "SENTINEL_HMAC_SECRET_FILE";
/// The configuration file, which the command line reads.
const CONFIG: &str = "SENTINEL_CONFIG";

impl Source {
    /// Reads `file`, then `env`, which overrides it. If `only` is not empty, the faults of other settings are ignored.
    pub(super) fn read(
        only: &'static [&'static str],
        file: Option<&Path>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let mut source = Self {
            written: BTreeMap::new(),
            hmac_secret: Vec::new(),
            secret_files: Vec::new(),
            faults: Faults::default(),
            only,
        };
        if let Some(file) = file {
            match read_file(file) {
                Ok(text) => source.flatten(&text, String::new(), text.table.clone()),
                Err(fault) => source.faults.push(fault),
            }
        }
        for (name, value) in env {
            let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else { continue };
            match value.to_str() {
                Some(value) => source.read_variable(name, value),
                // The fault does not repeat the value, which may be a secret.
                None => source.faults.push(format!("{name}: is not UTF-8")),
            }
        }
        source
    }

    /// Hashes for a comparison at a reload. The values may be secret, so they are not kept.
    pub(super) fn fingerprints(&self) -> Written {
        let hasher = BuildHasherDefault::<DefaultHasher>::new();
        Written(self.written.iter().map(|(key, entry)| (key.clone(), hasher.hash_one(&entry.text))).collect())
    }

    /// Whether a fault of this setting matters.
    fn matters(&self, key: &str) -> bool {
        self.only.is_empty() || self.only.contains(&key)
    }

    fn flatten(&mut self, file: &File, prefix: String, table: toml::Table) {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            let origin = file.place(&key);
            let kind = value.type_str();
            let text = match value {
                toml::Value::Table(inner) => {
                    self.flatten(file, format!("{key}."), inner);
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
                    self.written.insert(key, Entry { origin, text });
                }
                (Some(_), None) if self.matters(&key) => {
                    self.faults.push(format!("{origin}: {key}: {}", instead_of(kind)));
                }
                // A misspelt name of a setting that matters leaves that setting at its default.
                (None, _) if self.only.is_empty() || nearest(&key).is_some_and(|known| self.matters(&known)) => {
                    self.faults.push(format!("{origin}: {key}: {}", unknown(&key, str::to_owned)));
                }
                _ => {}
            }
        }
    }

    fn read_variable(&mut self, name: &str, value: &str) {
        let key = name.strip_prefix(PREFIX).unwrap_or_default().to_ascii_lowercase().replace("__", ".");
        if Setting::find(&key).is_some() && env_name(&key) == name {
            let text = Text::One(value.to_owned());
            self.written.insert(key, Entry { origin: name.to_owned(), text });
        } else if let Some(name) = [HMAC_SECRET, HMAC_SECRET_FILE].into_iter().find(|known| *known == name) {
            self.hmac_secret.push((name, value.to_owned()));
        } else if name != CONFIG && !is_service_link(name) {
            self.faults.push(format!("{name}: {}", unknown(&key, env_name)));
        }
    }

    /// The names of all custom profiles with a written setting.
    pub(super) fn custom_names(&self) -> BTreeSet<String> {
        let names = self.written.keys().filter_map(|key| key.strip_prefix("credentials.custom.")?.split('.').next());
        names.map(str::to_owned).collect()
    }

    /// Whether the setting is written in the file or the environment.
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.written.contains_key(key)
    }

    /// Takes the setting's value, or its default if it is not written; `None` after a fault.
    pub(super) fn take<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        let (origin, text) = match self.written.remove(key) {
            Some(Entry { origin, text: Text::One(text) }) => (origin, text),
            Some(Entry { origin, text: Text::Many(_) }) => {
                self.faults.push(format!("{origin}: {key}: must be one value, not a list"));
                return None;
            }
            None => ("default".into(), default(key).to_owned()),
        };
        self.parsed(&origin, key, &text, parse)
    }

    /// Takes an optional setting: `Some(None)` if it is not written or empty, `None` after a fault.
    pub(super) fn take_if_written<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        self.take(key, |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) })
    }

    /// Takes an optional path of a file with a secret, and parses the content of the file.
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

    /// Takes a list; empty if it is not written. A list that is written but empty is a fault: it looks like "nothing",
    /// but would mean "no restriction".
    pub(super) fn take_list<T>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        self.take_list_or(key, "the list is empty; remove the setting instead", parse)
    }

    /// The same, with the fault of an empty list, for one that cannot be left out.
    pub(super) fn take_list_or<T>(
        &mut self,
        key: &str,
        if_empty: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(Entry { origin, text }) = self.written.remove(key) else { return Vec::new() };
        let texts = match text {
            Text::Many(texts) => texts,
            Text::One(text) if !origin.starts_with(PREFIX) => {
                let fix = match parse(&text) {
                    Ok(_) => format!("must be a list: [\"{}\"]", redacted(key, &text)),
                    Err(fault) => format!("must be a list in brackets, and {fault}"),
                };
                self.faults.push(format!("{origin}: {key}: {fix}"));
                return Vec::new();
            }
            Text::One(text) => {
                text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
            }
        };
        if texts.is_empty() {
            self.faults.push(format!("{origin}: {key}: {if_empty}"));
        }
        texts.iter().filter_map(|text| self.parsed(&origin, key, text, &parse)).collect()
    }

    fn parsed<T>(
        &mut self,
        origin: &str,
        key: &str,
        text: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        parse(text).map_err(|fault| self.faults.push(format!("{origin}: {key}: {fault}"))).ok()
    }
}

/// A configuration file.
struct File {
    /// Its path.
    origin: String,
    text: Zeroizing<String>,
    table: toml::Table,
}

fn read_file(file: &Path) -> Result<File, String> {
    let origin = file.display().to_string();
    let bytes = files::read(file, files::CONFIG).map_err(|cause| format!("{origin}: {cause}"))?;
    let Ok(text) = std::str::from_utf8(&bytes) else { return Err(format!("{origin}: is not UTF-8")) };
    match text.parse::<toml::Table>() {
        Ok(table) => Ok(File { origin, text: text.to_owned().into(), table }),
        // Without the parser's full message: it quotes the line, which may hold a secret.
        Err(cause) => {
            let line = cause.span().map_or(1, |span| line_of(text, span.start));
            Err(format!("{origin}: line {line}: {}", cause.message()))
        }
    }
}

impl File {
    /// The file and the line of a setting.
    fn place(&self, key: &str) -> String {
        match self.line(key) {
            Some(line) => format!("{}: line {line}", self.origin),
            None => self.origin.clone(),
        }
    }

    /// The line of the last name of `key`. Not known for a quoted name that contains a dot.
    fn line(&self, key: &str) -> Option<usize> {
        let table = DeTable::parse(&self.text).ok()?;
        let (mut table, mut names) = (table.get_ref(), key.split('.').peekable());
        loop {
            let name = names.next()?;
            let (found, value) = table.iter().find(|(known, _)| known.get_ref() == name)?;
            if names.peek().is_none() {
                return Some(line_of(&self.text, found.span().start));
            }
            table = value.get_ref().as_table()?;
        }
    }
}

fn line_of(text: &str, start: usize) -> usize {
    text.as_bytes()[..start.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

fn redacted<'a>(key: &str, text: &'a str) -> &'a str {
    if key == "pepper.secrets" { "…" } else { text }
}

/// What to write instead of a kind of TOML that no setting takes.
fn instead_of(kind: &str) -> &'static str {
    match kind {
        "float" => "is a fraction; write a whole number",
        "datetime" => "is a date; write a text in quotes",
        _ => "is a list of lists, fractions or dates; write a list of texts, whole numbers, true or false",
    }
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

/// Whether Kubernetes set the variable. It sets some for every port of every Service of the namespace, and a Service
/// may be named `sentinel` or `sentinel-…`: `*_SERVICE_HOST`, `*_SERVICE_PORT[_NAME]`, `*_PORT`,
/// `*_PORT_<n>_<TCP|UDP>[_…]`.
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

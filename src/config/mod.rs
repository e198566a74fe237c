//! From file and environment to typed settings. All faults are found at once; nothing is read twice; no other room
//! imports this one, so every module can be used without it.

mod answers;
mod audit;
mod binding;
mod callers;
mod client_ip;
mod credentials;
mod listen;
mod live;
mod peppers;
mod redis;
mod settings;
mod source;
mod store;
mod together;
mod values;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use tracing_subscriber::filter::LevelFilter;

pub use audit::Audit;
pub use listen::Listen;
pub use settings::{SETTINGS, Setting, env_name};
pub use source::{Faults, SecretFile, Written};
pub use store::Store;

use crate::{client_ip::Resolver, credential::Credentials, domain::Peppers, net::redis_link, settings::Settings};
use source::Source;
use values::{duration, flag, name, path, word};

/// The resolved settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// `data_dir`.
    pub data_dir: PathBuf,
    /// `listen.*`. Its `Debug` shows no secret.
    pub listen: Listen,
    /// `store.url`, `store.url_file` and `store.connections`.
    pub store: Store,
    /// `redis.*`. Its `Debug` shows no password.
    pub redis: Option<redis_link::Options>,
    /// `pepper.secrets`; `None` means the one in the data folder. Their `Debug` tells the ids only.
    pub peppers: Option<Peppers>,
    /// The files of `pepper.secrets_file`, `SENTINEL_HMAC_SECRET_FILE` and `listen.caller_token_file`.
    pub secret_files: Vec<SecretFile>,
    /// `client_ip.source`, `client_ip.trusted_proxies`, `client_ip.header`, `client_ip.nat64`.
    pub client_ip: Resolver,
    /// `credentials.profile`, `credentials.route_profiles`, `credentials.passthrough`, `credentials.jwt` and the custom
    /// profiles.
    pub credentials: Credentials,
    /// `credentials.realm`.
    pub realm: String,
    /// `credentials.hint`.
    pub hint: bool,
    /// What may change while serving.
    pub settings: Settings,
    /// `audit.*`.
    pub audit: Audit,
    /// `drain.delay`.
    pub drain_delay: Duration,
    /// `drain.deadline`.
    pub drain_deadline: Duration,
    /// `log.level`.
    pub log_level: LevelFilter,
    /// What all of this was read from.
    pub written: Written,
}

/// Reads the settings of `file` and `env` (every variable; other programs' are ignored).
pub fn load(file: Option<&Path>, env: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Config, Faults> {
    let mut source = Source::read(file, env);
    let written = source.fingerprints();
    let config = resolve(&mut source).map(|config| Config { written, ..config });
    source.faults.or(config)
}

/// Takes every setting before giving up on the first missing one, so that all faults are found.
fn resolve(source: &mut Source) -> Option<Config> {
    let data_dir = source.take("data_dir", path);
    let folder = data_dir.clone().unwrap_or_default();
    let listen = listen::take(source, &folder);
    let store = store::take(source, &folder);
    let redis = redis::take(source);
    let peppers = peppers::take(source);
    together::secrets(&mut source.faults, &source.secret_files);
    together::replicas(&mut source.faults, store.as_ref(), redis.as_ref(), peppers.as_ref());
    let (client_ip, unclaimable) = client_ip::take(source).unzip();
    let proxies = client_ip.as_ref().map(|resolver| resolver.trusted_proxies.clone());
    let credentials = credentials::take(source);
    if let (Some(client_ip), Some(credentials)) = (&client_ip, &credentials) {
        together::header(&mut source.faults, client_ip, credentials);
    }
    let realm = source.take("credentials.realm", name);
    let hint = source.take("credentials.hint", flag);
    let settings = live::take(source, proxies.zip(unclaimable));
    let audit = audit::take(source);
    let drain_delay = source.take("drain.delay", duration(Duration::ZERO..=Duration::from_secs(300)));
    let drain_deadline = source.take("drain.deadline", duration(Duration::ZERO..=Duration::from_secs(3600)));
    let log_level = source.take("log.level", word(&LEVELS));
    Some(Config {
        data_dir: data_dir?,
        listen: listen?,
        store: store?,
        redis: redis?,
        peppers: peppers?,
        secret_files: std::mem::take(&mut source.secret_files),
        client_ip: client_ip?,
        credentials: credentials?,
        realm: realm?,
        hint: hint?,
        settings: settings?,
        audit: audit?,
        drain_delay: drain_delay?,
        drain_deadline: drain_deadline?,
        log_level: log_level?,
        written: Written::default(),
    })
}

const LEVELS: [(&str, LevelFilter); 5] = [
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
];

#[cfg(test)]
mod tests;

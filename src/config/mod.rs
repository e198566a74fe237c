//! Reads typed settings from the file and the environment. Reports all faults at once. No module but [`crate::app`] and
//! [`crate::cli`] imports this one, so every other module can be used without it.

mod answers;
mod audit;
mod binding;
mod callers;
mod client_ip;
mod consistency;
mod credentials;
mod listen;
mod live;
mod peppers;
mod redis;
mod settings;
mod source;
mod store;
mod suggest;
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
    /// `pepper.*`; `None` means the one in the data directory. Their `Debug` shows only the ids.
    pub peppers: Option<Peppers>,
    /// The files with secrets that settings name.
    pub secret_files: Vec<SecretFile>,
    /// `client_ip.*` but `client_ip.unclaimable`.
    pub client_ip: Resolver,
    /// `credentials.profile`, `credentials.route_profiles`, `credentials.passthrough`, `credentials.jwt` and the custom
    /// profiles.
    pub credentials: Credentials,
    /// `credentials.realm`.
    pub realm: String,
    /// `credentials.hint`.
    pub hint: bool,
    /// The settings that can change at run time.
    pub settings: Settings,
    /// `audit.*`.
    pub audit: Audit,
    /// `drain.delay`.
    pub drain_delay: Duration,
    /// `drain.deadline`.
    pub drain_deadline: Duration,
    /// `log.level`.
    pub log_level: LevelFilter,
    /// Fingerprints of the written settings, to find changes at a reload.
    pub written: Written,
}

/// Reads the settings from `file` and `env`. Variables of other programs are ignored.
pub fn load(file: Option<&Path>, env: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Config, Faults> {
    let mut source = Source::read(&[], file, env);
    let written = source.fingerprints();
    let config = resolve(&mut source).map(|config| Config { written, ..config });
    source.faults.or(config)
}

/// Reads only what an operator's command needs, the path of the admin socket: the faults of other settings, and secrets
/// that only the server's environment has, do not keep an operator from a running server.
pub fn admin_socket(
    file: Option<&Path>,
    env: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<PathBuf, Faults> {
    const NEEDED: &[&str] = &["data_dir", "listen.admin"];
    let variables: Vec<_> = NEEDED.iter().map(|key| env_name(key)).collect();
    let env = env.into_iter().filter(|(name, _)| variables.iter().any(|variable| name == variable.as_str()));
    let mut source = Source::read(NEEDED, file, env);
    let data_dir = source.take("data_dir", path);
    let admin = listen::admin(&mut source, &data_dir.clone().unwrap_or_default());
    source.faults.or(data_dir.and(admin))
}

/// Takes every setting before it returns `None`, so that all faults are found.
fn resolve(source: &mut Source) -> Option<Config> {
    let data_dir = source.take("data_dir", path);
    let directory = data_dir.clone().unwrap_or_default();
    let listen = listen::take(source, &directory);
    let store = store::take(source, &directory);
    let redis = redis::take(source, store.as_ref());
    let peppers = peppers::take(source);
    consistency::secrets(&mut source.faults, &source.secret_files);
    consistency::replicas(&mut source.faults, store.as_ref(), peppers.as_ref());
    let (client_ip, unclaimable) = client_ip::take(source).unzip();
    let proxies = client_ip.as_ref().map(Resolver::proxies);
    let credentials = credentials::take(source);
    if let (Some(client_ip), Some(credentials)) = (&client_ip, &credentials) {
        consistency::header(&mut source.faults, client_ip, credentials);
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

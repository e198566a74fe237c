//! From file and environment to typed settings. All faults are found at once; nothing is read twice; no other room
//! imports this one, so every module can be used without it.

mod answers;
mod audit;
mod binding;
mod callers;
mod client_ip;
mod credentials;
mod parse;
mod redis;
mod settings;
mod source;
mod store;
mod together;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use tracing_subscriber::filter::LevelFilter;

pub use audit::Audit;
pub use settings::{SETTINGS, Setting, env_name};
pub use source::{Faults, SecretFile, Written};
pub use store::Store;

use crate::{
    client_ip::Resolver,
    credential::Credentials,
    domain::{BindingRules, Failsafe, Missing, Mode, Pepper, Peppers, RingFault},
    files,
    net::{
        caller::Callers,
        listen::{Access, Address},
        redis_link,
    },
    policy::PolicySet,
    settings::Settings,
};
use parse::{duration, file_mode, path, realm, word};
use source::{HMAC_SECRET_FILE, Source};

/// The resolved settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// `data_dir`.
    pub data_dir: PathBuf,
    /// `listen.grpc`.
    pub grpc: Address,
    /// `listen.grpc_mode` and `listen.grpc_group`.
    pub grpc_access: Access,
    /// `listen.caller_token_file` and `listen.allow_unauthenticated_callers`. Its `Debug` shows no secret.
    pub callers: Callers,
    /// `listen.http`.
    pub http: Address,
    /// `listen.admin`: the socket's path.
    pub admin: PathBuf,
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
    let mode = source.take("mode", word(&Mode::ALL.map(|mode| (mode.as_str(), mode))));
    let check_deadline = source.take("check_deadline", duration(Duration::from_millis(1)..=Duration::from_secs(10)));
    let data_dir = source.take("data_dir", path);
    let folder = data_dir.clone().unwrap_or_default();
    let grpc = source.take("listen.grpc", |text| match text.parse()? {
        Address::Unix(path) if path.is_relative() => Err(format!("{text:?} is not unix: and an absolute path")),
        address => Ok(address),
    });
    let grpc_mode = source.take("listen.grpc_mode", file_mode);
    let group = source.take("listen.grpc_group", |text| Ok(Some(text.to_owned()).filter(|name| !name.is_empty())));
    let callers = callers::take(source, grpc.as_ref());
    let http = source.take("listen.http", |text| match text.parse()? {
        Address::Tcp(address) => Ok(Address::Tcp(address)),
        Address::Unix(_) => Err("IP:PORT is expected; health probes and scrapes use TCP".into()),
    });
    let admin =
        source.take("listen.admin", |text| match text.replace("DATA_DIR", &folder.to_string_lossy()).parse()? {
            Address::Unix(path) => Ok(path),
            Address::Tcp(_) => Err("only unix:/path; the admin API has no authentication but the socket's mode".into()),
        });
    let store = store::take(source, &folder);
    let redis = redis::take(source);
    let failsafe = source.take("store.failsafe", word(&[("closed", Failsafe::Closed), ("open", Failsafe::Open)]));
    let stale_grace =
        source.take("store.stale_grace", duration(Duration::from_secs(2)..=Duration::from_secs(7 * 86_400)));
    let peppers = peppers(source);
    together::secrets(&mut source.faults, &source.secret_files);
    if let (Some(Store::Sqlite(_)), Some(Some(_))) = (&store, &redis) {
        source
            .faults
            .push("redis.url: is for many replicas of one postgres:// store; a file has one process".to_owned());
    }
    if let (Some(Store::Postgres(_)), Some(None)) = (&store, &peppers) {
        source.faults.push(
            "pepper.secrets: a postgres:// store needs one that every replica is given; `sentinel pepper new` makes it"
                .to_owned(),
        );
    }
    if let (Some(grpc), Some(http), Some(admin)) = (&grpc, &http, &admin) {
        together::listeners(&mut source.faults, grpc, http, admin);
    }
    let (client_ip, unclaimable) = client_ip::take(source).unzip();
    let proxies = client_ip.as_ref().map(|resolver| resolver.trusted_proxies.clone());
    let credentials = credentials::take(source);
    if let (Some(client_ip), Some(credentials)) = (&client_ip, &credentials) {
        together::header(&mut source.faults, client_ip, credentials);
    }
    let realm = source.take("credentials.realm", realm);
    let missing = source.take("credentials.missing", word(&[("deny", Missing::Deny), ("allow", Missing::Allow)]));
    let hint = source.take("credentials.hint", word(&[("true", true), ("false", false)]));
    let (first_use, shape) = binding::take(source).unzip();
    let claims = binding::claims(source);
    let archive_after =
        source.take("binding.archive_after", duration(Duration::ZERO..=Duration::from_hours(24 * 3650)));
    let audit = audit::take(source);
    let help = answers::take(source);
    let drain_delay = source.take("drain.delay", duration(Duration::ZERO..=Duration::from_secs(300)));
    let drain_deadline = source.take("drain.deadline", duration(Duration::ZERO..=Duration::from_secs(3600)));
    let log_level = source.take("log.level", word(&LEVELS));
    Some(Config {
        data_dir: data_dir?,
        grpc: grpc?,
        grpc_access: Access { mode: grpc_mode?, group: group? },
        callers: callers?,
        http: http?,
        admin: admin?,
        store: store?,
        redis: redis?,
        peppers: peppers?,
        secret_files: std::mem::take(&mut source.secret_files),
        client_ip: client_ip?,
        credentials: credentials?,
        realm: realm?,
        hint: hint?,
        settings: Settings {
            mode: mode?,
            missing: missing?,
            failsafe: failsafe?,
            stale_grace: stale_grace?,
            binding: BindingRules {
                first_use: first_use?,
                shape: shape?,
                unclaimable: unclaimable?,
                trusted_proxies: proxies?,
            },
            claims: claims?,
            policy: PolicySet,
            help: help?,
            check_deadline: check_deadline?,
            archive_after: archive_after?,
        },
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

/// `Some(None)` is no configured pepper, `None` is a fault.
fn peppers(source: &mut Source) -> Option<Option<Peppers>> {
    let before = source.faults.clone();
    let from_text = |text: &str| Pepper::written(text).map_err(|fault| fault.to_string());
    let from_file = |file: &str| {
        let text = files::read(Path::new(file), files::SECRET).map_err(|cause| format!("{file}: {cause}"))?;
        Pepper::given(text.trim_ascii_end()).map_err(|fault| format!("{file}: {fault}"))
    };
    let mut peppers = source.take_list("pepper.secrets", from_text);
    let noted = |name, file: &str| SecretFile { name, path: file.into() };
    for (file, pepper) in source.take_list("pepper.secrets_file", |file| Ok((file.to_owned(), from_file(file)?))) {
        source.secret_files.push(noted("pepper.secrets_file", &file));
        peppers.push(pepper);
    }
    for (name, value) in std::mem::take(&mut source.hmac_secret) {
        let is_file = name == HMAC_SECRET_FILE;
        if is_file {
            source.secret_files.push(noted(name, &value));
        }
        match if is_file { from_file(&value) } else { from_text(&value) } {
            Ok(pepper) => peppers.push(pepper),
            Err(fault) => source.faults.push(format!("{name}: {fault}")),
        }
    }
    let peppers = match Peppers::new(peppers) {
        Ok(peppers) => Some(peppers),
        Err(RingFault::Empty) => None,
        Err(fault) => {
            source.faults.push(format!("pepper.secrets: {fault} (with pepper.secrets_file and SENTINEL_HMAC_SECRET)"));
            None
        }
    };
    (source.faults == before).then_some(peppers)
}

#[cfg(test)]
mod tests;

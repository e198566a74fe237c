//! From `store.url` to connections.

use std::{
    collections::HashSet,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::server::Server;
use crate::files;

/// Where the server is and how it is spoken to. Prints without the password.
#[derive(Clone)]
pub struct Options {
    pub(super) config: tokio_postgres::Config,
    pub(super) tls: Tls,
    /// The most connections that decisions use; seven more are for everything else.
    pub(super) connections: usize,
    /// How long a decision waits.
    pub(super) patience: Duration,
}

#[derive(Clone)]
pub(super) enum Tls {
    /// Nobody is between us: a unix socket, loopback, or `sslmode=disable`.
    Off,
    /// The server's certificate is checked against these roots, or the system's, and against its name.
    VerifyFull(Option<PathBuf>),
}

/// `store.url` is not the address of a PostgreSQL server. Never tells the password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// PostgreSQL's own grammar of URLs.
    #[error("it is no postgres://USER:PASSWORD@HOST:PORT/DATABASE: {0}")]
    Malformed(String),
    /// libpq's modes in between protect from nobody who can answer for the server.
    #[error("sslmode={0} is not offered: it is disable, or verify-full (the default beyond this machine)")]
    Mode(String),
    /// Only one of them would count.
    #[error("{0} is given twice")]
    Twice(String),
    /// Whoever names authorities believes that they are asked.
    #[error("sslmode=disable verifies nobody, so that sslrootcert would not be read; leave one of the two out")]
    Unverified,
    /// What the store needs of its connections is not the operator's to say.
    #[error("{0} is not offered: Sentinel sets it")]
    Ours(&'static str),
    /// Without it the server would decide.
    #[error("it names no {0}")]
    Lacks(&'static str),
}

/// Why no TLS connection can be tried.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// The file with the certificates.
    #[error("sslrootcert {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Nobody to trust.
    #[error("{0} holds no certificate of an authority")]
    NoRoots(String),
    /// The library refused.
    #[error(transparent)]
    Library(#[from] rustls::Error),
}

impl Options {
    /// Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE?…` with libpq's parameters; `sslmode` is `disable` or
    /// `verify-full`, `sslrootcert` the file of the authorities.
    pub fn parse(url: &str, connections: usize) -> Result<Self, UrlFault> {
        let (place, query) = split(url);
        let (mut mode, mut roots, mut others) = (None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value),
                Some(("sslrootcert", value)) => roots = Some(PathBuf::from(value)),
                _ => others.push(pair),
            }
        }
        let mut config: tokio_postgres::Config = match &others[..] {
            [] => place.parse(),
            others => format!("{place}?{}", others.join("&")).parse(),
        }
        .map_err(|error| UrlFault::Malformed(super::session::message(&error)))?;
        check(&config)?;
        // Every name in it is one of PostgreSQL's by now, and no part of a password.
        if let Some(name) = given_twice(query) {
            return Err(UrlFault::Twice(name.to_owned()));
        }
        if let Some(name) = OURS.into_iter().find(|ours| names(query).any(|name| name == *ours)) {
            return Err(UrlFault::Ours(name));
        }
        let tls = tls_of(mode, roots, config.get_hosts())?;
        config.ssl_mode(if matches!(tls, Tls::Off) { SslMode::Disable } else { SslMode::Require });
        config.keepalives_idle(KEEPALIVE).tcp_user_timeout(UNACKNOWLEDGED).connect_timeout(CONNECT);
        if let hosts @ 2.. = config.get_hosts().len() {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite).connect_timeout(CONNECT_ALL / hosts as u32);
        }
        if config.get_application_name().is_none() {
            config.application_name("sentinel");
        }
        Ok(Self { config, tls, connections: connections.max(1), patience: Duration::ZERO })
    }

    /// The same for decisions that wait so long.
    pub fn with_patience(self, longest: Duration) -> Self {
        Self { patience: longest, ..self }
    }

    /// A pool of connections to `server`, which gives up on a statement after `patience`, and on a lock after [`LOCKED`].
    /// Nothing is connected yet.
    pub(super) fn pool(&self, size: usize, patience: Duration, server: &Arc<Server>) -> Result<Pool, TlsFault> {
        let mut config = self.config.clone();
        let given = self.config.get_options().unwrap_or_default();
        config.options(format!(
            "{given} {SETTINGS} -c statement_timeout={} -c lock_timeout={}",
            patience.as_millis(),
            patience.min(LOCKED).as_millis()
        ));
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match &self.tls {
            Tls::Off => Manager::from_config(config, tokio_postgres::NoTls, manager),
            Tls::VerifyFull(roots) => Manager::from_config(config, tls(roots.as_deref())?, manager),
        };
        // Under more load than the server can take, who waited for long would get a connection only to run out of time in
        // the middle of something, which costs the connection: the rest of the time is for what it is used for.
        let wait = Some(patience.min(CONNECTION) / 2);
        let pool = Pool::builder(manager).max_size(size).wait_timeout(wait).runtime(Runtime::Tokio1);
        let pool = pool.post_create(server.on_connect()).pre_recycle(server.on_reuse(OLDEST)).build();
        // Only timeouts without a runtime are refused.
        pool.map_err(|error| TlsFault::NoRoots(error.to_string()))
    }
}

/// Whether it says where the server is and who asks.
fn check(config: &tokio_postgres::Config) -> Result<(), UrlFault> {
    let odd = |host: &Host| matches!(host, Host::Tcp(name) if name.contains(['@', ':', '/']));
    if config.get_hosts().iter().any(odd) {
        // It may be the end of a password, so it is not repeated.
        return Err(UrlFault::Malformed("the host is none (in a password @ is %40, : is %3A, / is %2F)".to_owned()));
    }
    if !config.get_hostaddrs().is_empty() {
        return Err(UrlFault::Malformed(
            "hostaddr is not offered: it would be another server than the one verified".to_owned(),
        ));
    }
    if config.get_hosts().is_empty() {
        return Err(UrlFault::Lacks("host"));
    }
    if config.get_user().is_none() {
        return Err(UrlFault::Lacks("user"));
    }
    if config.get_dbname().is_none() {
        return Err(UrlFault::Lacks("database"));
    }
    Ok(())
}

/// Whatever the defaults of the role and the database are. A commit is on the disk before it is answered. What is read
/// under a lock is what is committed when the lock is there. Nobody's policy hides a ban: it is an error. Compiling a
/// look-up takes 300 ms, and of tables that were never analysed the server may think that it pays. A replica that dies in
/// the middle of a transaction does not hold its locks for long.
const SETTINGS: &str = "-c synchronous_commit=on -c default_transaction_isolation=read\\ committed -c row_security=off \
    -c jit=off -c idle_in_transaction_session_timeout=5000";

/// A replica that decides all by its cache makes no new connection for days, and would not hear of another server.
const OLDEST: Duration = Duration::from_mins(5);
/// How long the server may take to accept.
const CONNECT: Duration = Duration::from_secs(2);
/// How long all of several hosts together may take, of which the last is the primary: less than any operation waits, or
/// nobody would ever get past a first one that drops packets.
const CONNECT_ALL: Duration = Duration::from_millis(750);
/// Parameters of libpq's that would only be overwritten.
const OURS: [&str; 8] = [
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "target_session_attrs",
    "tcp_user_timeout",
];
/// The most that is waited for a lock: less than an operator waits for an answer, and than those who wait behind.
const LOCKED: Duration = Duration::from_secs(3);
/// For a connection and what it is used for.
const CONNECTION: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(15);
/// A server that vanished without a word.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

/// In front of the parameters, and the parameters. A password may have a question mark, too.
fn split(url: &str) -> (&str, &str) {
    let host = url.find('@').unwrap_or(0);
    url[host..].find('?').map_or((url, ""), |mark| (&url[..host + mark], &url[host + mark + 1..]))
}

/// The last of two would win without a word.
fn given_twice(query: &str) -> Option<&str> {
    let mut seen = HashSet::new();
    names(query).find(|name| !seen.insert(*name))
}

fn names(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter_map(|pair| Some(pair.split_once('=')?.0))
}

fn tls_of(mode: Option<&str>, roots: Option<PathBuf>, hosts: &[Host]) -> Result<Tls, UrlFault> {
    match mode {
        Some("disable") if roots.is_some() => Err(UrlFault::Unverified),
        Some("disable") => Ok(Tls::Off),
        Some("verify-full") => Ok(Tls::VerifyFull(roots)),
        None if roots.is_none() && hosts.iter().all(is_here) => Ok(Tls::Off),
        None => Ok(Tls::VerifyFull(roots)),
        Some(other) => Err(UrlFault::Mode(other.to_owned())),
    }
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback()),
    }
}

pub(super) fn tls(roots: Option<&Path>) -> Result<MakeRustlsConnect, TlsFault> {
    let mut store = RootCertStore::empty();
    match roots {
        Some(path) => {
            let failed = |source| TlsFault::File { path: path.to_owned(), source };
            let pem = files::read(path, MAX_ROOTS).map_err(failed)?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                store.add(certificate.map_err(|error| failed(io::Error::other(error)))?)?;
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if store.is_empty() {
        let place = roots.map_or_else(|| "this system".to_owned(), |path| path.display().to_string());
        return Err(TlsFault::NoRoots(place));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// A bundle of all public authorities has a quarter of it.
const MAX_ROOTS: u64 = 1 << 20;

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.config.get_ports();
        for (place, host) in self.config.get_hosts().iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
            }
            if let Some(port) = ports.get(place).or(ports.first()) {
                write!(f, ":{port}")?;
            }
        }
        write!(f, "/{}", self.config.get_dbname().unwrap_or_default())
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_prints_without_its_password() {
        let options = Options::parse("postgres://sentinel:s3cret@db.example:6432/keys", 8).unwrap();
        assert_eq!(options.to_string(), "db.example:6432/keys");
        assert!(!format!("{options:?}").contains("s3cret"));
    }

    #[test]
    fn beyond_this_machine_the_server_is_verified_unless_that_is_switched_off() {
        let off = |url: &str| matches!(Options::parse(url, 8).unwrap().tls, Tls::Off);
        assert!(off("postgres://u@127.0.0.1/d"));
        assert!(off("postgres://u@localhost/d"));
        assert!(off("postgres://u@%2Frun%2Fpostgresql/d"));
        assert!(off("postgres://u@db.example/d?sslmode=disable"));
        assert!(!off("postgres://u@db.example/d"));
        assert!(!off("postgres://u:a?sslmode=disable&sslmode=disable@db.example/d"), "that is the password");
        assert!(!off("postgres://u@127.0.0.1,db.example/d"));
        assert!(!off("postgres://u@127.0.0.1/d?sslmode=verify-full&sslrootcert=/ca.pem&application_name=x"));
    }

    #[test]
    fn a_parameter_that_would_be_ignored_is_refused() {
        let twice = |name: &str| UrlFault::Twice(name.to_owned());
        for (parameters, fault) in [
            ("sslmode=verify-full&sslmode=disable", twice("sslmode")),
            ("sslrootcert=/a.pem&sslrootcert=/b.pem", twice("sslrootcert")),
            ("connect_timeout=1&connect_timeout=2", twice("connect_timeout")),
            ("sslmode=disable&sslrootcert=/ca.pem", UrlFault::Unverified),
            ("sslrootcert=/ca.pem&sslmode=disable", UrlFault::Unverified),
        ] {
            let url = format!("postgres://u@h/d?{parameters}");
            assert_eq!(Options::parse(&url, 8).unwrap_err(), fault, "{url}");
        }
    }

    #[test]
    fn a_url_that_is_none_is_refused_without_its_password() {
        for (url, fault) in [
            ("postgres://u:s3cret@h/d?sslmode=require", UrlFault::Mode("require".to_owned())),
            ("postgres://u@h/d?target_session_attrs=read-only", UrlFault::Ours("target_session_attrs")),
            ("postgres://u@h/d?connect_timeout=9", UrlFault::Ours("connect_timeout")),
            ("postgres:///d", UrlFault::Lacks("host")),
            ("postgres://h/d", UrlFault::Lacks("user")),
            ("postgres://u@h", UrlFault::Lacks("database")),
        ] {
            assert_eq!(Options::parse(url, 8).unwrap_err(), fault, "{url}");
        }
        for url in [
            "postgres://u:p@s3cret@h/d",
            "postgres://u@localhost/d?hostaddr=203.0.113.9",
            "postgres://u:s3cret@h:port/d",
            "postgres://u:s3cret@h/d?what=ever",
            "mysql://u:s3cret@h/d",
        ] {
            let fault = Options::parse(url, 8).unwrap_err().to_string();
            assert!(fault.starts_with("it is no postgres://") && !fault.contains("s3cret"), "{fault}");
        }
    }
}

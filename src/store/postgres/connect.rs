//! Parses `store.url`, and makes connections.

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

/// How to reach the server. Printed without the password.
#[derive(Clone)]
pub struct Options {
    pub(super) config: tokio_postgres::Config,
    pub(super) tls: Tls,
    /// The most connections for decisions; seven more are for everything else.
    pub(super) connections: usize,
    /// How long a decision may wait.
    pub(super) patience: Duration,
}

#[derive(Clone)]
pub(super) enum Tls {
    /// The connection needs no encryption: a unix socket, loopback, or `sslmode=disable`.
    Off,
    /// The certificate of the server is verified against these roots, or those of the system, and against its name.
    VerifyFull(Option<PathBuf>),
}

/// Why `store.url` is not a usable PostgreSQL URL. Never shows the password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// It does not parse as a PostgreSQL URL.
    #[error("is not a valid postgres://USER:PASSWORD@HOST:PORT/DATABASE URL: {0}")]
    Malformed(String),
    /// The other modes of libpq do not verify the server.
    #[error("sslmode={0} is not supported: use disable or verify-full (the default for a remote server)")]
    Mode(String),
    /// Only one of the two values would have an effect.
    #[error("{0} is given twice; remove one")]
    Repeated(String),
    /// A root certificate implies that the server is to be verified.
    #[error("sslrootcert has no effect with sslmode=disable; remove one of the two")]
    UnusedRoots,
    /// Sentinel sets this parameter.
    #[error("{0} is not supported, because Sentinel sets it; remove it")]
    Reserved(&'static str),
    /// Without it, the server or the driver would choose a default.
    #[error("the URL has no {0}; add it")]
    Missing(&'static str),
}

/// Why TLS cannot be configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// The file of the certificates cannot be read.
    #[error("sslrootcert {}: {source}", path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// There is no trusted root.
    #[error("{0} has no certificate of a certificate authority")]
    NoRoots(String),
    /// rustls rejected the configuration.
    #[error(transparent)]
    Library(#[from] rustls::Error),
}

impl Options {
    /// Parses `postgres://USER:PASSWORD@HOST:PORT/DATABASE?…` with the parameters of libpq; `sslmode` is `disable` or
    /// `verify-full`, `sslrootcert` the file of the trusted roots.
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
        // All names are known parameters at this point, and not part of a password.
        if let Some(name) = repeated(query) {
            return Err(UrlFault::Repeated(name.to_owned()));
        }
        if let Some(name) = RESERVED.into_iter().find(|ours| names(query).any(|name| name == *ours)) {
            return Err(UrlFault::Reserved(name));
        }
        let tls = tls_of(mode, roots, config.get_hosts())?;
        config.ssl_mode(if matches!(tls, Tls::Off) { SslMode::Disable } else { SslMode::Require });
        config.keepalives_idle(KEEPALIVE).tcp_user_timeout(TCP_USER_TIMEOUT).connect_timeout(CONNECT);
        if let hosts @ 2.. = config.get_hosts().len() {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite).connect_timeout(CONNECT_ALL / hosts as u32);
        }
        if config.get_application_name().is_none() {
            config.application_name("sentinel");
        }
        Ok(Self { config, tls, connections: connections.max(1), patience: Duration::ZERO })
    }

    /// Adds the name of this replica to the `application_name`, where other replicas see that it is connected.
    pub(super) fn named(mut self, replica: &str) -> Self {
        // PostgreSQL truncates a longer name, and with it the end.
        const ROOM: usize = 63 - " kis-0123456789abcdef".len();
        let given = self.config.get_application_name().unwrap_or_default();
        let given: String = given.chars().filter(char::is_ascii).take(ROOM).collect();
        self.config.application_name(format!("{given} kis-{replica}"));
        self
    }

    /// Sets how long a decision may wait.
    pub fn with_patience(self, longest: Duration) -> Self {
        Self { patience: longest, ..self }
    }

    /// Creates a pool of connections to `server`, which cancels a statement after `patience`, and a wait for a lock
    /// after [`LOCK_TIMEOUT`]. Does not connect yet.
    pub(super) fn pool(&self, size: usize, patience: Duration, server: &Arc<Server>) -> Result<Pool, TlsFault> {
        let mut config = self.config.clone();
        let given = self.config.get_options().unwrap_or_default();
        config.options(format!(
            "{given} {SETTINGS} -c statement_timeout={} -c lock_timeout={}",
            patience.as_millis(),
            patience.min(LOCK_TIMEOUT).as_millis()
        ));
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match &self.tls {
            Tls::Off => Manager::from_config(config, tokio_postgres::NoTls, manager),
            Tls::VerifyFull(roots) => Manager::from_config(config, tls(roots.as_deref())?, manager),
        };
        // Half of the time is left for the work: under overload, an operation that gets its connection too late would
        // time out in the middle, which costs the connection.
        let wait = Some(patience.min(CONNECTION) / 2);
        let pool = Pool::builder(manager).max_size(size).wait_timeout(wait).runtime(Runtime::Tokio1);
        let pool = pool.post_create(server.on_connect()).pre_recycle(server.on_reuse(MAX_AGE)).build();
        // The builder fails only for timeouts without a runtime.
        pool.map_err(|error| TlsFault::NoRoots(error.to_string()))
    }
}

/// Checks that the URL names the host, the user and the database.
fn check(config: &tokio_postgres::Config) -> Result<(), UrlFault> {
    let odd = |host: &Host| matches!(host, Host::Tcp(name) if name.contains(['@', ':', '/']) && !is_ipv6(name));
    if config.get_hosts().iter().any(odd) {
        // The host may be the end of a password, so it is not repeated.
        return Err(UrlFault::Malformed(
            "the host is not valid (in a password write @ as %40, : as %3A, / as %2F; an IPv6 address is in brackets, but not \
             in ?host=)"
                .to_owned(),
        ));
    }
    if !config.get_hostaddrs().is_empty() {
        return Err(UrlFault::Malformed(
            "hostaddr is not supported: it could name another server than the verified one".to_owned(),
        ));
    }
    if config.get_hosts().is_empty() {
        return Err(UrlFault::Missing("host"));
    }
    if config.get_user().is_none() {
        return Err(UrlFault::Missing("user"));
    }
    if config.get_dbname().is_none() {
        return Err(UrlFault::Missing("database"));
    }
    Ok(())
}

/// Set regardless of the defaults of the role and the database. `synchronous_commit`: a commit is on the disk before it
/// is acknowledged. `read committed`: a read under a lock sees everything committed before the lock was granted.
/// `row_security=off`: a policy that hides rows (such as a ban) is an error. `jit=off`: compiling a look-up takes 300
/// ms, and the planner may choose it for tables that were never analysed. `idle_in_transaction_session_timeout`: a
/// replica that dies in a transaction does not hold its locks for long.
const SETTINGS: &str = "-c synchronous_commit=on -c default_transaction_isolation=read\\ committed -c row_security=off \
    -c jit=off -c idle_in_transaction_session_timeout=5000";

/// The maximum age of a connection: a replica that decides everything from its cache would make no new connection for
/// days, and would not notice another server.
const MAX_AGE: Duration = Duration::from_mins(5);
/// The connect timeout for one host.
const CONNECT: Duration = Duration::from_secs(2);
/// The connect timeout for several hosts together, because the primary may be the last. Shorter than the timeout of any
/// operation: otherwise a first host that drops packets would block every connection.
const CONNECT_ALL: Duration = Duration::from_millis(750);
/// Parameters of libpq that Sentinel sets, so that their values would be ignored.
const RESERVED: [&str; 8] = [
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "target_session_attrs",
    "tcp_user_timeout",
];
/// The lock timeout: shorter than an operator waits for an answer, and than operations that wait for the connection.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
/// For waiting for a connection and using it.
const CONNECTION: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Detects a server that vanished without closing the connection.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(5);

/// Splits the URL at its parameters. A password may contain a question mark.
fn split(url: &str) -> (&str, &str) {
    let host = url.find('@').unwrap_or(0);
    url[host..].find('?').map_or((url, ""), |mark| (&url[..host + mark], &url[host + mark + 1..]))
}

/// The last of two equal parameters would silently win.
fn repeated(query: &str) -> Option<&str> {
    let mut seen = HashSet::new();
    names(query).find(|name| !seen.insert(*name))
}

fn names(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter_map(|pair| Some(pair.split_once('=')?.0))
}

fn tls_of(mode: Option<&str>, roots: Option<PathBuf>, hosts: &[Host]) -> Result<Tls, UrlFault> {
    match mode {
        Some("disable") if roots.is_some() => Err(UrlFault::UnusedRoots),
        Some("disable") => Ok(Tls::Off),
        Some("verify-full") => Ok(Tls::VerifyFull(roots)),
        None if roots.is_none() && hosts.iter().all(is_local) => Ok(Tls::Off),
        None => Ok(Tls::VerifyFull(roots)),
        Some(other) => Err(UrlFault::Mode(other.to_owned())),
    }
}

fn is_ipv6(name: &str) -> bool {
    name.parse::<std::net::Ipv6Addr>().is_ok()
}

fn is_local(host: &Host) -> bool {
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

/// Four times the size of a bundle of all public roots.
const MAX_ROOTS: u64 = 1 << 20;

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.config.get_ports();
        for (place, host) in self.config.get_hosts().iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            match host {
                Host::Tcp(name) if is_ipv6(name) => write!(f, "{comma}[{name}]")?,
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
    fn a_parameter_that_would_be_ignored_is_rejected() {
        let twice = |name: &str| UrlFault::Repeated(name.to_owned());
        for (parameters, fault) in [
            ("sslmode=verify-full&sslmode=disable", twice("sslmode")),
            ("sslrootcert=/a.pem&sslrootcert=/b.pem", twice("sslrootcert")),
            ("connect_timeout=1&connect_timeout=2", twice("connect_timeout")),
            ("sslmode=disable&sslrootcert=/ca.pem", UrlFault::UnusedRoots),
            ("sslrootcert=/ca.pem&sslmode=disable", UrlFault::UnusedRoots),
        ] {
            let url = format!("postgres://u@h/d?{parameters}");
            assert_eq!(Options::parse(&url, 8).unwrap_err(), fault, "{url}");
        }
    }

    #[test]
    fn an_ipv6_address_is_a_host() {
        for (url, shown, local) in [
            ("postgres://u:p@[2001:db8::10]:5432/d", "[2001:db8::10]:5432/d", false),
            ("postgres://u:p@[2001:db8::10]/d", "[2001:db8::10]:5432/d", false),
            ("postgres://u:p@[::1]:6432/d", "[::1]:6432/d", true),
            ("postgres://u:p@[::1],[2001:db8::10]:6432/d", "[::1]:5432,[2001:db8::10]:6432/d", false),
            ("postgres://u:p@/d?host=::1&port=6432", "[::1]:6432/d", true),
            ("postgres://u:p@/d?host=2001:db8::10", "[2001:db8::10]/d", false),
        ] {
            let options = Options::parse(url, 8).unwrap();
            assert_eq!(options.to_string(), shown, "{url}");
            // Over a network, the certificate of the server is verified, as for a name.
            assert_eq!(matches!(options.tls, Tls::Off), local, "{url}");
        }
        for url in
            ["postgres://u:s3cret@2001:db8::10/d", "postgres://u:s3cret@/d?host=[::1]", "postgres://u:s3cret@[::1/d"]
        {
            let fault = Options::parse(url, 8).unwrap_err().to_string();
            assert!(fault.starts_with("is not a valid postgres://") && !fault.contains("s3cret"), "{fault}");
        }
    }

    #[test]
    fn an_invalid_url_is_rejected_without_its_password() {
        for (url, fault) in [
            ("postgres://u:s3cret@h/d?sslmode=require", UrlFault::Mode("require".to_owned())),
            ("postgres://u@h/d?target_session_attrs=read-only", UrlFault::Reserved("target_session_attrs")),
            ("postgres://u@h/d?connect_timeout=9", UrlFault::Reserved("connect_timeout")),
            ("postgres:///d", UrlFault::Missing("host")),
            ("postgres://h/d", UrlFault::Missing("user")),
            ("postgres://u@h", UrlFault::Missing("database")),
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
            assert!(fault.starts_with("is not a valid postgres://") && !fault.contains("s3cret"), "{fault}");
        }
    }
}

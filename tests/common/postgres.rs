//! A real PostgreSQL server, in its own folder, on a free port of the loopback interface.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use nix::sys::signal::Signal;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::{
    certificates::Certificates,
    daemon::{Daemon, folder_of, free_port, path_folders},
    eventually,
};

/// The role of every database's URL: it owns the database and is no superuser.
pub(crate) const USER: &str = "sentinel";

/// Its password, to be found in nothing that anyone reads.
pub(crate) const PASSWORD: &str = "a-database-password-for-tests";

const NAME: &str = "postgres";

/// `initdb` calls the superuser so; only over the socket in the server's folder.
const SUPERUSER: &str = "postgres";

pub(crate) struct Postgres {
    daemon: Daemon,
    port: u16,
    certificates: Option<Certificates>,
    databases: AtomicU32,
}

impl Postgres {
    /// A server for one test, which may stop and kill it.
    pub(crate) async fn start() -> Self {
        Self::with(None, Daemon::new(NAME)).await
    }

    /// A server that takes no connection without TLS.
    pub(crate) async fn with_tls() -> Self {
        let daemon = Daemon::new(NAME);
        let certificates = Certificates::in_folder(daemon.path());
        daemon.give(&certificates.key);
        Self::with(Some(certificates), daemon).await
    }

    async fn with(certificates: Option<Certificates>, daemon: Daemon) -> Self {
        initialise(&daemon);
        let host = if certificates.is_some() { "hostssl" } else { "host" };
        let rules = format!(
            "local all,replication all trust\n{host} all all 127.0.0.1/32 scram-sha-256\n{host} all all ::1/128 scram-sha-256\n"
        );
        fs::write(daemon.path().join("data/pg_hba.conf"), rules).unwrap();
        let mut postgres = Self { daemon, port: free_port(), certificates, databases: AtomicU32::new(0) };
        postgres.start_again().await;
        postgres.administer(&format!("CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")).await;
        postgres
    }

    /// A standby that follows this server, and can be read.
    pub(crate) async fn standby(&self) -> Self {
        let daemon = Daemon::new(NAME);
        let mut copy = daemon.command(&program("pg_basebackup"));
        copy.args(["--pgdata", "data", "--write-recovery-conf", "--checkpoint", "fast", "--no-sync"]);
        copy.args(["--username", SUPERUSER, "--port", &self.port.to_string(), "--host"]).arg(self.path());
        let output = copy.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&output.stderr));
        let mut standby = Self { daemon, port: free_port(), certificates: None, databases: AtomicU32::new(0) };
        standby.start_again().await;
        standby
    }

    /// Makes a standby a primary; the one that it followed does not hear of it.
    pub(crate) async fn promote(&self) {
        self.administer("SELECT pg_promote()").await;
    }

    /// The server that all tests of a binary share: each has a database of its own, and none can stop it.
    pub(crate) async fn shared() -> &'static Self {
        static SHARED: OnceCell<Postgres> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// Makes an empty database; its URL.
    pub(crate) async fn database(&self) -> String {
        let name = format!("kis_{}", self.databases.fetch_add(1, Ordering::SeqCst));
        self.administer(&format!("CREATE DATABASE {name} OWNER {USER}")).await;
        let tls = if self.certificates.is_some() { "?sslmode=require" } else { "" };
        format!("postgres://{USER}:{PASSWORD}@{}/{name}{tls}", self.address())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Of a server with TLS.
    pub(crate) fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("a server with TLS")
    }

    /// The folder of the server, which goes with it.
    pub(crate) fn path(&self) -> &Path {
        self.daemon.path()
    }

    /// What a superuser's statements return from the database of this URL, as text and NULL as nothing; past any
    /// [`Cut`](super::cut::Cut), over a connection of its own.
    pub(crate) async fn query(&self, url: &str, sql: &str) -> Vec<Vec<String>> {
        let url: tokio_postgres::Config = url.parse().unwrap();
        let found = self.try_query(url.get_dbname().expect("a URL that names a database"), sql).await;
        found.unwrap_or_else(|error| panic!("{sql}: {error:?}"))
    }

    /// What sessions of this database that begin from now on are set to.
    pub(crate) async fn alter(&self, url: &str, setting: &str) {
        let alter = format!("EXECUTE format('ALTER DATABASE %I SET {setting}', current_database())");
        self.query(url, &format!("SET transaction_read_only = off; DO $$ BEGIN {alter}; END $$")).await;
    }

    /// Whether sessions that begin from now on can only read, as on a standby. Those under way are as they were.
    pub(crate) async fn read_only(&self, url: &str, only: bool) {
        let only = if only { "on" } else { "off" };
        self.alter(url, &format!("default_transaction_read_only = {only}")).await;
    }

    /// Ends every session of this database, as an administrator or a failover does.
    pub(crate) async fn end_sessions(&self, url: &str) {
        let others = "datname = current_database() AND pid <> pg_backend_pid()";
        self.query(url, &format!("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE {others}")).await;
    }

    /// A fast shutdown: clients are told, and everything is written.
    pub(crate) async fn stop(&mut self) {
        self.daemon.stop(Signal::SIGINT).await;
    }

    /// As when the machine goes: what was not safe is lost.
    pub(crate) fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Starts the stopped or killed server on its port and its data.
    pub(crate) async fn start_again(&mut self) {
        self.daemon.start(self.server());
        eventually("postgres is ready", async || {
            self.daemon.assert_running();
            self.try_query(SUPERUSER, "SELECT 1").await.ok()
        })
        .await;
    }

    /// The server hangs without an error: connections are made and stay, nothing answers.
    pub(crate) fn pause(&mut self) {
        self.daemon.pause();
    }

    pub(crate) fn resume(&mut self) {
        self.daemon.resume();
    }

    pub(crate) fn log(&self) -> String {
        self.daemon.log()
    }

    /// `fsync` and `synchronous_commit` stay as they are: tests of durability mean them.
    fn server(&self) -> Command {
        let mut postgres = self.daemon.command(&server_folder().join("postgres"));
        let folder = self.daemon.path();
        postgres.arg("-D").arg(folder.join("data")).args(["-p", &self.port.to_string(), "-k"]).arg(folder);
        let settings = [
            // Where there is no ::1, PostgreSQL only warns.
            "listen_addresses=127.0.0.1,::1",
            "max_connections=1000",
            "shared_buffers=16MB",
            // In the server's folder instead of /dev/shm, where a killed server would leave it.
            "dynamic_shared_memory_type=mmap",
        ];
        let tls = self.certificates.iter().flat_map(|files| {
            let (certificate, key) = (files.certificate.display(), files.key.display());
            ["ssl=on".to_owned(), format!("ssl_cert_file={certificate}"), format!("ssl_key_file={key}")]
        });
        for setting in settings.map(str::to_owned).into_iter().chain(tls) {
            postgres.args(["-c", &setting]);
        }
        postgres
    }

    async fn administer(&self, sql: &str) {
        self.try_query(SUPERUSER, sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// A superuser's session in the database of this URL.
    pub(crate) async fn connect(&self, url: &str) -> Client {
        let url: tokio_postgres::Config = url.parse().unwrap();
        self.try_connect(url.get_dbname().expect("a URL that names a database")).await.unwrap()
    }

    async fn try_connect(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.daemon.path()).port(self.port).user(SUPERUSER).dbname(database);
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    async fn try_query(&self, database: &str, sql: &str) -> Result<Vec<Vec<String>>, tokio_postgres::Error> {
        let client = self.try_connect(database).await?;
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        };
        let rows = client.simple_query(sql).await?.into_iter().filter_map(row);
        let cells = |row: tokio_postgres::SimpleQueryRow| {
            (0..row.len()).map(|cell| row.get(cell).unwrap_or_default().to_owned()).collect()
        };
        Ok(rows.map(cells).collect())
    }
}

/// A client program of PostgreSQL, such as `pg_dump`.
pub(crate) fn program(name: &str) -> PathBuf {
    folder(&[name]).join(name)
}

/// The PATH first, then Debian's folders, the newest version first.
fn folder(programs: &[&str]) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut versions: Vec<PathBuf> = versions.collect();
    versions.sort_by_key(|path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()));
    let versions = versions.into_iter().rev().map(|path| path.join("bin"));
    folder_of(path_folders().into_iter().chain(versions), programs).unwrap_or_else(|| {
        panic!("no {} of PostgreSQL in PATH or /usr/lib/postgresql/*/bin: run `make setup`", programs.join(" and "))
    })
}

fn server_folder() -> PathBuf {
    folder(&["initdb", "postgres"])
}

fn initialise(daemon: &Daemon) {
    let mut initdb = daemon.command(&server_folder().join("initdb"));
    initdb.args(["--pgdata", "data", "--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8", "--no-locale"]);
    // What is lost with the machine's power is the test as well. One-megabyte segments make the folder half as big.
    initdb.args(["--no-sync", "--wal-segsize", "1"]);
    let output = initdb.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "initdb: {}{}", text(&output.stdout), text(&output.stderr));
}

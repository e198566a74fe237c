//! The real `sentinel`, in its own folder, on ports that the kernel chose.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder},
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
};

use key_ip_sentinel::{domain::Peppers, store::Store};
use nix::sys::signal::Signal;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus};

use super::{
    admin::Admin,
    check::Check,
    database::{Database, Lock},
    eventually,
    grpc::{Channel, Target},
    http_client::Call,
    process::Process,
};

/// The pepper of every test server.
pub(crate) const PEPPER: &str = "a-pepper-for-tests-0123456789-abcdefgh";

/// What Envoy shows to a server that was made with [`Home::with_caller_token`].
pub(crate) const CALLER_TOKEN: &str = "a-caller-token-for-tests-0123456789";

const STORE_URL: &str = "store.url";

/// A server with the settings that suit tests: free ports, a deadline that a busy machine keeps, and an audit that no
/// job deletes from while a test reads it.
pub(crate) fn sentinel() -> Home {
    let dir = tempfile::Builder::new().prefix("kis").tempdir().unwrap();
    let path = dir.path().display().to_string();
    Home { dir, settings: BTreeMap::new(), wrapper: Vec::new(), binary: env!("CARGO_BIN_EXE_sentinel").into() }
        .set("listen.grpc", "\"127.0.0.1:0\"")
        .set("listen.http", "\"127.0.0.1:0\"")
        .set("listen.admin", &format!("\"unix:{path}/admin.sock\""))
        .set("data_dir", &format!("\"{path}/data\""))
        .set("pepper.secrets", &format!("[\"{PEPPER}\"]"))
        .set("check_deadline", "\"10s\"")
        .set("audit.retention", "\"0\"")
        // Tests use more keys a minute than any client.
        .set("claims.per_network", "\"off\"")
        .set("drain.delay", "\"0s\"")
        .set("drain.deadline", "\"5s\"")
}

/// A server that is not running: its folder and settings.
pub(crate) struct Home {
    dir: TempDir,
    settings: BTreeMap<String, String>,
    wrapper: Vec<String>,
    binary: PathBuf,
}

impl Home {
    /// Sets a config key (dotted) to a TOML value.
    pub(crate) fn set(mut self, key: &str, toml: &str) -> Self {
        self.settings.insert(key.to_owned(), toml.to_owned());
        self
    }

    /// Leaves a config key at its default.
    pub(crate) fn unset(mut self, key: &str) -> Self {
        self.settings.remove(key);
        self
    }

    /// Asks every caller for [`CALLER_TOKEN`].
    pub(crate) fn with_caller_token(self) -> Self {
        let file = self.path().join("caller-token");
        fs::write(&file, format!("{CALLER_TOKEN}\n")).unwrap();
        self.set("listen.caller_token_file", &format!("\"{}\"", file.display()))
    }

    /// On SQLite whatever the other tests run on, for what is about its file.
    pub(crate) fn on_sqlite(self) -> Self {
        let url = format!("\"sqlite:{}\"", self.database().display());
        self.set(STORE_URL, &url)
    }

    /// Listens on a unix socket in the server's folder.
    pub(crate) fn on_unix_socket(self) -> Self {
        let socket = format!("\"unix:{}\"", self.path().join("grpc.sock").display());
        self.set("listen.grpc", &socket)
    }

    /// Starts the server under another program, which must keep its process id (`strace -D`).
    pub(crate) fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Runs another `sentinel` than this version's, also for an operator's commands.
    pub(crate) fn running(mut self, binary: &Path) -> Self {
        self.binary = binary.to_owned();
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path().join("data")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.data_dir().join("sentinel.db")
    }

    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.path().join("admin.sock")
    }

    /// Writes the settings to a file.
    pub(crate) fn config(&self) -> PathBuf {
        let path = self.path().join("sentinel.toml");
        let text: String = self.settings.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        fs::write(&path, text).unwrap();
        path
    }

    /// Replaces the running server's file by what `change` makes of it, in one step.
    pub(crate) fn rewrite_config(&self, change: impl Fn(&str) -> String) {
        let path = self.path().join("sentinel.toml");
        let new = path.with_extension("new");
        fs::write(&new, change(&fs::read_to_string(&path).unwrap())).unwrap();
        fs::rename(&new, &path).unwrap();
    }

    /// Spawns `sentinel serve` without waiting for it to serve.
    pub(crate) fn spawn(&self) -> Process {
        let binary = self.binary.to_str().unwrap();
        let mut words = self.wrapper.iter().map(String::as_str).chain([binary]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).args(["serve", "--config"]).arg(self.config());
        // Nothing of the machine's environment is a setting.
        command.env_clear().env("RUST_BACKTRACE", "1");
        Process::spawn("sentinel", &mut command, self.path())
    }

    /// Starts the server and waits until it serves.
    pub(crate) async fn start(self) -> Sentinel {
        let sentinel = self.listen().await;
        eventually("sentinel is ready", async || (sentinel.get("/readyz").await.0 == 200).then_some(())).await;
        sentinel
    }

    /// Starts the server and waits until it listens; its store may be away.
    pub(crate) async fn listen(self) -> Sentinel {
        let home = self.with_store().await.initialised().await;
        let mut process = home.spawn();
        let listening = eventually("sentinel says where it listens", async || {
            let log = process.stderr();
            let found = log.lines().find_map(listening);
            if found.is_none() {
                assert!(process.ended().is_none(), "sentinel ended at its start:\n{log}");
            }
            found
        })
        .await;
        let address = |field: &str| listening[field].as_str().unwrap_or_else(|| panic!("no {field} in {listening}"));
        let grpc = Target::parse(address("grpc"));
        let http: SocketAddr = address("http").parse().unwrap();
        Sentinel { process, grpc, http, channel: OnceCell::new(), home }
    }

    /// Creates the store as an operator does before the first start, where a pepper is configured. Once for each store:
    /// one that is lost later stays lost. Replicas that start together wait for it.
    pub(crate) async fn initialised(self) -> Self {
        static KNOWN: Mutex<BTreeMap<String, Arc<OnceCell<()>>>> = Mutex::new(BTreeMap::new());
        let home = self.with_store().await;
        let known = Arc::clone(KNOWN.lock().unwrap().entry(home.store().url()).or_default());
        known.get_or_init(|| home.init()).await;
        home
    }

    async fn init(&self) {
        let exists = matches!(self.store(), Database::Sqlite(file) if file.exists());
        // Another version than this one may not know `--init`.
        let is_this = self.binary == Path::new(env!("CARGO_BIN_EXE_sentinel"));
        if exists || !is_this || !self.settings.keys().any(|key| key.starts_with("pepper.")) {
            return;
        }
        let mut command = Command::new(&self.binary);
        command.env_clear().args(["migrate", "--init", "--config"]).arg(self.config()).stdin(Stdio::null());
        // Not on this thread, which may serve a proxy between Sentinel and its store.
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "migrate --init: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// With the store that tests run on, unless this one says otherwise.
    async fn with_store(self) -> Self {
        if self.settings.contains_key(STORE_URL) {
            return self;
        }
        match Database::new(self.database()).await {
            Database::Sqlite(_) => self,
            database => self.set(STORE_URL, &format!("\"{}\"", database.url())),
        }
    }

    /// The store, once the server was started.
    pub(crate) fn store(&self) -> Database {
        match self.settings.get(STORE_URL).map(|url| url.trim_matches('"')) {
            Some(url) if url.starts_with("postgres:") => Database::Postgres(url.to_owned()),
            _ => Database::Sqlite(self.database()),
        }
    }

    /// Fills the store before the server starts.
    pub(crate) async fn filled(self, peppers: &Peppers, fill: impl AsyncFnOnce(&dyn Store)) -> Self {
        let home = self.with_store().await;
        let Database::Sqlite(file) = home.store() else {
            fill(&*home.store().open(peppers).await).await;
            return home;
        };
        DirBuilder::new().mode(0o700).create(home.data_dir()).unwrap();
        // Filled elsewhere and copied: a child that another test is just forking holds our lock until it is a program of
        // its own, and the server would find its database owned.
        let elsewhere = tempfile::tempdir().unwrap();
        let filled = elsewhere.path().join("sentinel.db");
        fill(&*Database::Sqlite(filled.clone()).open(peppers).await).await;
        fs::copy(&filled, file).unwrap();
        home
    }

    /// Opens SQLite's file beside the running server, as a second reader or writer.
    pub(crate) fn open_database(&self) -> Connection {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(self.database(), flags).unwrap()
    }

    /// Runs an operator's command against this server.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        let socket = format!("unix:{}", self.admin_socket().display());
        let mut command = Command::new(&self.binary);
        command.env_clear().args(["--admin", &socket]).args(arguments).stdin(Stdio::null());
        command.output().unwrap()
    }
}

/// The log line that tells the bound addresses.
fn listening(line: &str) -> Option<Value> {
    let entry: Value = serde_json::from_str(line).ok()?;
    let fields = if entry["fields"].is_object() { entry["fields"].clone() } else { entry };
    (fields["message"] == "listening").then_some(fields)
}

/// A running server.
pub(crate) struct Sentinel {
    process: Process,
    grpc: Target,
    http: SocketAddr,
    channel: OnceCell<Channel>,
    home: Home,
}

impl Sentinel {
    /// A check to fill in and send.
    pub(crate) fn check(&self) -> Check<'_> {
        Check::new(self)
    }

    /// The connection that all checks share unless they bring their own.
    pub(crate) async fn channel(&self) -> &Channel {
        self.channel.get_or_init(|| self.connect()).await
    }

    /// A further connection to the ext_authz port.
    pub(crate) async fn connect(&self) -> Channel {
        Channel::connect(&self.grpc).await
    }

    pub(crate) async fn admin(&self) -> Admin {
        Admin::new(Channel::connect(&Target::Unix(self.home.admin_socket())).await)
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// The unix socket or the address of the ext_authz port.
    pub(crate) fn grpc(&self) -> &Target {
        &self.grpc
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    /// Status and text of a page of the HTTP listener.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let reply = Call::get(self.http, path).send().await;
        (reply.status, reply.text())
    }

    /// What `grpc.health.v1` says of `service`.
    pub(crate) async fn health(&self, service: &str) -> ServingStatus {
        let request = HealthCheckRequest { service: service.to_owned() };
        let reply = self.channel().await.unary::<HealthCheckResponse>("/grpc.health.v1.Health/Check", &request).await;
        reply.unwrap().status()
    }

    pub(crate) fn log(&self) -> String {
        self.process.stderr()
    }

    pub(crate) fn stdout(&self) -> String {
        self.process.stdout()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until every change in the store is in effect.
    pub(crate) async fn catches_up(&self) {
        let stored = self.home.store().number("SELECT value FROM revision").await;
        assert!(self.admin().await.applies(stored).await);
    }

    /// Keeps writers out of the store until the guard goes: to every writer it is lost.
    pub(crate) async fn lock_store(&self) -> Lock {
        self.home.store().lock().await
    }

    /// Asserts that nothing panicked so far.
    pub(crate) fn assert_no_panic(&self) {
        let log = self.log();
        assert!(!log.contains("panicked at"), "a panic in the log:\n{log}");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Ends the server with SIGTERM; it must end well.
    pub(crate) async fn stop(mut self) -> Home {
        let status = self.process.terminate().await;
        assert!(status.success(), "sentinel ended with {status}");
        self.assert_no_panic();
        self.home
    }

    /// Waits until the server has ended by itself: how, and what it has logged.
    pub(crate) async fn ended(mut self) -> (ExitStatus, String, Home) {
        let status = self.process.wait().await;
        self.assert_no_panic();
        (status, self.log(), self.home)
    }

    /// Sends SIGKILL while others still use the server.
    pub(crate) fn kill_now(&self) {
        self.process.signal(Signal::SIGKILL);
    }

    /// Ends the server with SIGKILL.
    pub(crate) fn kill(mut self) -> Home {
        self.process.kill();
        self.home
    }
}

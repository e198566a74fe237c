//! A real Redis server that remembers nothing, on a free port of the loopback interface.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use nix::sys::signal::Signal;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisResult, TlsCertificates, aio::MultiplexedConnection};

use super::{
    PATIENCE,
    certificates::Certificates,
    daemon::{Daemon, folder_of, free_port, path_folders},
    eventually,
};

/// The password of a server that asks for one.
pub(crate) const PASSWORD: &str = "a-redis-password-for-tests";

const NAME: &str = "redis";

pub(crate) struct Redis {
    daemon: Daemon,
    port: u16,
    password: bool,
    certificates: Option<Certificates>,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        Self::with(Daemon::new(NAME), false, None).await
    }

    /// A server that asks for [`PASSWORD`].
    pub(crate) async fn with_password() -> Self {
        Self::with(Daemon::new(NAME), true, None).await
    }

    /// A server that speaks TLS only, and asks for [`PASSWORD`].
    pub(crate) async fn with_tls() -> Self {
        let daemon = Daemon::new(NAME);
        let certificates = Certificates::in_folder(daemon.path());
        daemon.give(&certificates.key);
        Self::with(daemon, true, Some(certificates)).await
    }

    async fn with(daemon: Daemon, password: bool, certificates: Option<Certificates>) -> Self {
        let mut redis = Self { daemon, port: free_port(), password, certificates };
        redis.start_again().await;
        redis
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn url(&self) -> String {
        let password = if self.password { format!(":{PASSWORD}@") } else { String::new() };
        let scheme = if self.certificates.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://{password}{}/", self.address())
    }

    /// Of a server with TLS.
    pub(crate) fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("a server with TLS")
    }

    /// What a command returns, over a connection of its own.
    pub(crate) async fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_command(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    pub(crate) async fn try_command<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let client = match &self.certificates {
            None => Client::open(self.url())?,
            Some(files) => trusting(&self.url(), &files.ca)?,
        };
        let mut connection = connect(&client).await?;
        let (name, arguments) = words.split_first().expect("a command");
        redis::cmd(name).arg(arguments).query_async(&mut connection).await
    }

    /// An orderly end: clients see their connections closed.
    pub(crate) async fn stop(&mut self) {
        self.daemon.stop(Signal::SIGTERM).await;
    }

    pub(crate) fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Starts the stopped or killed server on its port, empty.
    pub(crate) async fn start_again(&mut self) {
        let mut command = self.daemon.command(&server());
        let port = self.port.to_string();
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        match &self.certificates {
            None => command.args(["--port", &port]),
            Some(files) => command
                .args(["--port", "0", "--tls-port", &port, "--tls-auth-clients", "no", "--tls-cert-file"])
                .arg(&files.certificate)
                .arg("--tls-key-file")
                .arg(&files.key)
                .arg("--tls-ca-cert-file")
                .arg(&files.ca),
        };
        if self.password {
            command.args(["--requirepass", PASSWORD]);
        }
        self.daemon.start(command);
        eventually("redis is ready", async || {
            self.daemon.assert_running();
            self.try_command::<String>(&["PING"]).await.ok()
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
}

/// A connection without the client's own limits, which are far shorter than what a busy machine may need.
pub(crate) async fn connect(client: &Client) -> RedisResult<MultiplexedConnection> {
    let limits = AsyncConnectionConfig::new();
    let limits = limits.set_connection_timeout(Some(PATIENCE)).set_response_timeout(Some(PATIENCE));
    client.get_multiplexed_async_connection_with_config(&limits).await
}

/// A client that trusts the authority of this file and no other.
pub(crate) fn trusting(url: &str, ca: &Path) -> RedisResult<Client> {
    let root_cert = Some(fs::read(ca).unwrap());
    Client::build_with_tls(url, TlsCertificates { client_tls: None, root_cert })
}

/// The PATH first, then what `make setup` put below `.tools/`.
fn server() -> PathBuf {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/bin");
    let folder = folder_of(path_folders().into_iter().chain([tools]), &["redis-server"]);
    folder.expect("no redis-server in PATH or .tools/bin: run `make setup`").join("redis-server")
}

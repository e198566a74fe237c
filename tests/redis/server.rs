//! A real Redis server on a port of its own, and the cable to it, which can be cut.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener as StdListener,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use redis::FromRedisValue;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::common::eventually;

/// Lives as long as the input of its shell is open: it does not outlive the tests, however they end.
const SHELL: &str = r#"redis-server --bind 127.0.0.1 --port "$1" --save '' --daemonize no >/dev/null &
echo $!; read -r _; kill -9 $!"#;

pub(crate) struct Redis {
    shell: Child,
    pid: Pid,
    port: u16,
}

impl Redis {
    pub(crate) async fn start() -> Self {
        let port = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::start_at(port).await
    }

    pub(crate) async fn start_at(port: u16) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", SHELL, "sh", &port.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = shell.spawn().unwrap();
        let mut pid = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        let this = Self { shell, pid: Pid::from_raw(pid.trim().parse().unwrap()), port };
        eventually("redis is ready", async || this.try_command::<String>(&["PING"]).await.ok()).await;
        this
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub(crate) async fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_command(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    pub(crate) async fn try_command<T: FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let mut connection = redis::Client::open(self.url())?.get_multiplexed_async_connection().await?;
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await
    }

    pub(crate) async fn set(&self, key: &str, value: &[u8]) {
        let mut connection = redis::Client::open(self.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
        redis::cmd("SET").arg(key).arg(value).exec_async(&mut connection).await.unwrap();
    }

    /// Connections are made and stay, nothing answers.
    pub(crate) fn pause(&self) {
        kill(self.pid, Signal::SIGSTOP).unwrap();
    }

    pub(crate) fn resume(&self) {
        kill(self.pid, Signal::SIGCONT).unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.shell.stdin.take().map(|mut input| input.write_all(b"\n"));
        let _ = self.shell.wait();
    }
}

/// Leads to a server as long as it is not cut; what the server holds stays.
#[derive(Clone)]
pub(crate) struct Cable {
    port: u16,
    /// How often it was cut or mended; odd while it is cut.
    changes: Arc<watch::Sender<u64>>,
}

impl Cable {
    pub(crate) async fn to(server: &Redis) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self { port: listener.local_addr().unwrap().port(), changes: Arc::new(watch::Sender::new(0)) };
        let (changes, port) = (Arc::clone(&this.changes), server.port());
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let mut changes = changes.subscribe();
                let now = *changes.borrow_and_update();
                tokio::spawn(async move {
                    let mut to = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    let _ = (from.set_nodelay(true), to.set_nodelay(true));
                    tokio::select! {
                        _ = copy_bidirectional(&mut from, &mut to) => {}
                        _ = changes.wait_for(|changes| *changes != now || changes % 2 == 1) => {}
                    }
                });
            }
        });
        this
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub(crate) fn cut(&self) {
        self.changes.send_modify(|changes| *changes |= 1);
    }

    pub(crate) fn mend(&self) {
        self.changes.send_modify(|changes| *changes += *changes % 2);
    }
}

//! The measured processes: started, pinned to a core, and read from `/proc`.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    busy,
    frames::{Client, Draw, Frames, From},
    http2::Pace,
    run::drive,
};

/// A server process, killed on drop.
pub(crate) struct Server {
    child: Child,
    pub(crate) target: String,
    dir: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The token that callers show.
pub(crate) const TOKEN: &str = "a-caller-token-for-benchmarks-0123456789";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    Tcp,
    Unix,
}

impl Socket {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Unix => "unix socket",
        }
    }
}

pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

fn address(dir: &Path, socket: Socket) -> String {
    match socket {
        Socket::Tcp => format!("127.0.0.1:{}", free_port()),
        Socket::Unix => format!("unix:{}", dir.join("check.sock").display()),
    }
}

fn wait_for(target: &str) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let is_up = match target.strip_prefix("unix:") {
            Some(path) => std::os::unix::net::UnixStream::connect(path).is_ok(),
            None => std::net::TcpStream::connect(target).is_ok(),
        };
        if is_up {
            return;
        }
        assert!(Instant::now() < end, "{target} does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn on_cores(cores: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cores]).arg(program).stdin(Stdio::null());
    command
}

impl Server {
    /// The yardstick.
    pub(crate) fn noop(cores: &str, socket: Socket) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let target = address(dir.path(), socket);
        let program = std::env::current_exe().expect("this program");
        let child = on_cores(cores, &program).args(["noop", &target]).spawn().expect("taskset");
        wait_for(&target);
        Self { child, target, dir }
    }

    /// Sentinel with these settings in addition, and its embedded store unless they name another.
    pub(crate) fn sentinel(binary: &Path, cores: &str, socket: Socket, more: &str) -> Self {
        let home = Home::new(binary, socket, more);
        home.start(cores)
    }
}

/// A Sentinel that does not run yet.
pub(crate) struct Home {
    binary: PathBuf,
    dir: TempDir,
    target: String,
    http: u16,
}

impl Home {
    /// Writes its files, and creates its store.
    pub(crate) fn new(binary: &Path, socket: Socket, more: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("kisbench").tempdir().expect("a folder");
        let path = dir.path().display();
        let target = address(dir.path(), socket);
        let http = free_port();
        let claims = if more.contains("claims.") { "" } else { "claims.per_network = \"off\"\n" };
        let config = format!(
            r#"
listen.grpc = "{target}"
listen.http = "127.0.0.1:{http}"
listen.admin = "unix:{path}/admin.sock"
listen.caller_token_file = "{path}/token"
data_dir = "{path}/data"
pepper.secrets = ["a-pepper-for-benchmarks-0123456789-abcdefgh"]
credentials.profile = "openai"
check_deadline = "5s"
{more}
{claims}"#
        );
        fs::write(dir.path().join("token"), TOKEN).expect("a file");
        let file = dir.path().join("sentinel.toml");
        fs::write(&file, config).expect("a file");
        let init = Command::new(binary).args(["migrate", "--init", "--config"]).arg(&file).output().expect("sentinel");
        assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
        Self { binary: binary.to_owned(), dir, target, http }
    }

    /// SQLite's file.
    pub(crate) fn database(&self) -> PathBuf {
        self.dir.path().join("data/sentinel.db")
    }

    /// Starts it, and waits until it is ready.
    pub(crate) fn start(self, cores: &str) -> Server {
        let Self { binary, dir, target, http } = self;
        let file = dir.path().join("sentinel.toml");
        let log = File::create(dir.path().join("log")).expect("a file");
        let mut command = on_cores(cores, &binary);
        command.arg("serve").arg("--config").arg(&file);
        command.stdout(log.try_clone().expect("a file")).stderr(log);
        let mut child = command.spawn().expect("taskset");
        let ready = Instant::now() + Duration::from_secs(20);
        while !is_ready(http) {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("{status}: {}", fs::read_to_string(dir.path().join("log")).unwrap_or_default());
            }
            assert!(Instant::now() < ready, "sentinel does not start");
            std::thread::sleep(Duration::from_millis(1));
        }
        Server { child, target, dir }
    }
}

fn is_ready(http: u16) -> bool {
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", http)) else { return false };
    let mut answer = String::new();
    let asked = stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
}

impl Server {
    /// Sentinel as the shipped Envoy file asks for it: on a unix socket, for local callers.
    pub(crate) fn sentinel_for_envoy(binary: &Path, cores: &str, settings: &str) -> Self {
        let home = Home::new(binary, Socket::Unix, settings);
        let file = home.dir.path().join("sentinel.toml");
        let text = fs::read_to_string(&file).expect("a file");
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("listen.caller_token_file")).collect();
        fs::write(&file, lines.join("\n")).expect("a file");
        home.start(cores)
    }

    /// Has the first `keys` keys used by their owners.
    pub(crate) async fn bound(self, keys: u32) -> Self {
        let each = Frames::new(Client::OpenAi, &Draw::Each(0), From::Owner);
        for _ in 0..5 {
            // A claim that came too late is repeated.
            let seen = drive(&self, &each, Pace::Closed(16), Duration::from_secs(300), keys.into()).await;
            if seen.allowed == u64::from(keys) {
                return self;
            }
        }
        panic!("{keys} keys are not bound after five attempts");
    }

    /// The folder of its data.
    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Runs an operator's command.
    pub(crate) fn command(&self, binary: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary);
        command.arg("--admin").arg(format!("unix:{}", self.folder().join("admin.sock").display())).args(arguments);
        command
    }

    /// The threads whose name begins so.
    pub(crate) fn threads(&self, name: &str) -> Vec<PathBuf> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("a process");
        let tasks = tasks.filter_map(|task| Some(task.ok()?.path()));
        tasks.filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.starts_with(name))).collect()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The processor time of all threads until now.
    pub(crate) fn cpu(&self) -> Duration {
        // USER_HZ is 100 on Linux.
        Duration::from_millis(busy::ticks(self.pid()) * 10)
    }

    /// Resident memory in bytes.
    pub(crate) fn rss(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/statm", self.pid())).unwrap_or_default();
        text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0u64) * 4096
    }
}

/// The `sentinel` that was built beside this program.
pub(crate) fn binary() -> PathBuf {
    env!("CARGO_BIN_EXE_sentinel").into()
}

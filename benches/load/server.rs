//! The measured processes: started, pinned to a core, and read from `/proc`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// A server process, killed on drop.
pub(crate) struct Server {
    child: Child,
    pub(crate) target: String,
    _dir: Option<TempDir>,
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

fn free_port() -> u16 {
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

fn on_cores(cores: &str, program: &Path) -> Command {
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
        Self { child, target, _dir: Some(dir) }
    }

    /// Sentinel with its embedded store and these settings in addition.
    pub(crate) fn sentinel(binary: &Path, cores: &str, socket: Socket, more: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("kisbench").tempdir().expect("a folder");
        let path = dir.path().display();
        let target = address(dir.path(), socket);
        let http = free_port();
        let config = format!(
            r#"
listen.grpc = "{target}"
listen.http = "127.0.0.1:{http}"
listen.admin = "unix:{path}/admin.sock"
listen.caller_token_file = "{path}/token"
data_dir = "{path}/data"
pepper.secrets = ["a-pepper-for-benchmarks-0123456789-abcdefgh"]
credentials.profile = "openai"
claims.per_network = "off"
claims.global = "off"
check_deadline = "5s"
{more}
"#
        );
        fs::write(dir.path().join("token"), TOKEN).expect("a file");
        let file = dir.path().join("sentinel.toml");
        fs::write(&file, config).expect("a file");
        let init = Command::new(binary).args(["migrate", "--init", "--config"]).arg(&file).output().expect("sentinel");
        assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
        let log = File::create(dir.path().join("log")).expect("a file");
        let mut command = on_cores(cores, binary);
        command.arg("serve").arg("--config").arg(&file);
        command.stdout(log.try_clone().expect("a file")).stderr(log);
        let mut child = command.spawn().expect("taskset");
        let ready = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", http)).is_err() {
            if let Ok(Some(status)) = child.try_wait() {
                panic!("{status}: {}", fs::read_to_string(dir.path().join("log")).unwrap_or_default());
            }
            assert!(Instant::now() < ready, "sentinel does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        wait_for(&target);
        Self { child, target, _dir: Some(dir) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The processor time of all threads until now.
    pub(crate) fn cpu(&self) -> Duration {
        cpu(self.pid())
    }

    /// Resident memory in bytes.
    pub(crate) fn rss(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/statm", self.pid())).unwrap_or_default();
        text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0u64) * 4096
    }
}

/// User and system time of a process, with that of threads that have ended.
pub(crate) fn cpu(pid: u32) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = text.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    // USER_HZ is 100 on Linux.
    Duration::from_millis(ticks * 10)
}

/// The `sentinel` that was built beside this program.
pub(crate) fn binary() -> PathBuf {
    env!("CARGO_BIN_EXE_sentinel").into()
}

//! A server that is none of ours, in a folder of its own, and the end of both whatever becomes of the test.

use std::{
    fs::{self, Permissions},
    io::Write,
    net::{Ipv4Addr, TcpListener},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::{PermissionsExt, chown},
            net::{SocketAddr, UnixListener},
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User, getuid},
};

use super::{Dice, PATIENCE, process::Process};

/// Reads the server's process id for as long as the test process lives, then ends the server and removes the folder.
/// A value in a `static` is never dropped, and a test process can be killed: neither may leave a server or 30 MB behind.
///
/// A server that is killed cannot remove its System V shared memory, of which the kernel has few.
const KEEPER: &str = r#"
while read -r line; do server=$line; done
if [ "$server" ]; then
    kill -STOP "$server"    # it starts no more children
    kill -KILL "$server" $(grep -l "^PPid:[[:space:]]*$server\$" /proc/[0-9]*/status | cut -d/ -f3)
fi
if [ -s data/postmaster.pid ]; then
    read -r key memory <<END
$(sed -n 7p data/postmaster.pid)
END
    [ "$memory" ] && ipcrm -m "$memory"
fi
cd /
for try in 1 2 3 4 5; do rm -rf "$FOLDER" && break; sleep 1; done
"#;

/// A server and its folder.
pub(crate) struct Daemon {
    name: &'static str,
    process: Option<Process>,
    folder: PathBuf,
    /// The user that it runs as, if not ours: PostgreSQL refuses to run as root.
    user: Option<User>,
    keeper: Child,
}

impl Daemon {
    /// An empty folder.
    pub(crate) fn new(name: &'static str) -> Self {
        let user = getuid().is_root().then(|| User::from_name("nobody").unwrap().expect("a user named nobody"));
        // Whoever reaches PostgreSQL's socket in it is its superuser.
        let private = Permissions::from_mode(0o700);
        let folder = tempfile::Builder::new().prefix("kis").permissions(private).tempdir().unwrap().keep();
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER]).current_dir(&folder).env("FOLDER", &folder);
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // What ends the group of the test process, such as Ctrl-C, must not end the one who cleans up after it.
        let keeper = keeper.process_group(0).spawn().unwrap();
        let daemon = Self { name, process: None, folder, user, keeper };
        daemon.give(&daemon.folder);
        daemon
    }

    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// Makes the server's user the owner of a file.
    pub(crate) fn give(&self, path: &Path) {
        if let Some(user) = &self.user {
            chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        }
    }

    /// A program that will run as the server's user, in its folder.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // Nothing of the machine's environment is a setting.
        command.env_clear().env("LC_ALL", "C").current_dir(&self.folder);
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
    }

    /// Starts the server, which must stay the process that it was started as.
    pub(crate) fn start(&mut self, mut command: Command) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        let process = Process::spawn(self.name, &mut command, &self.folder);
        self.tell_keeper(&process.pid().to_string());
        self.process = Some(process);
    }

    /// Panics if the server has ended by itself.
    pub(crate) fn assert_running(&mut self) {
        let process = self.process.as_mut().unwrap_or_else(|| panic!("{} was not started", self.name));
        assert!(process.ended().is_none(), "{} ended by itself:\n{}{}", self.name, process.stdout(), process.stderr());
    }

    /// What the server has logged since its last start.
    pub(crate) fn log(&self) -> String {
        self.process.as_ref().map(|process| process.stdout() + &process.stderr()).unwrap_or_default()
    }

    /// Ends the server by a signal to which it shuts down in order.
    pub(crate) async fn stop(&mut self, signal: Signal) {
        self.resume();
        let mut process = self.process.take().unwrap_or_else(|| panic!("{} is not running", self.name));
        process.signal(signal);
        let status = process.wait().await;
        self.tell_keeper("");
        assert!(status.success(), "{} ended with {status}", self.name);
    }

    /// `kill -9` for the server and its children at once, as when the machine goes; returns when they are gone.
    pub(crate) fn kill(&mut self) {
        self.pause();
        let family = self.family();
        let Some(mut process) = self.process.take() else { return };
        for &member in &family {
            let _ = kill(member, Signal::SIGKILL);
        }
        process.kill();
        at_last("the processes are gone", || family.iter().all(|&member| matches!(state(member), None | Some('Z'))));
        self.tell_keeper("");
    }

    /// Stops the server and its children in their tracks: connections stay open, new ones are made, nothing answers.
    pub(crate) fn pause(&mut self) {
        // The parent first: once it stands still, no more children come.
        for members in [self.family().into_iter().take(1).collect(), self.family()] {
            for &member in &members {
                let _ = kill(member, Signal::SIGSTOP);
            }
            at_last("the processes stand still", || {
                members.iter().all(|&member| matches!(state(member), None | Some('T' | 'Z')))
            });
        }
    }

    /// Undoes [`Self::pause`].
    pub(crate) fn resume(&mut self) {
        for member in self.family().into_iter().rev() {
            let _ = kill(member, Signal::SIGCONT);
        }
    }

    /// The server, then its children. Only the server itself has any.
    fn family(&self) -> Vec<Pid> {
        let Some(server) = self.process.as_ref().map(Process::pid) else { return Vec::new() };
        let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
        let processes = processes.filter_map(|name| name.to_str()?.parse::<i32>().ok()).map(Pid::from_raw);
        let server = Pid::from_raw(server as i32);
        let parent = |process: &Pid| status(*process, "PPid:").and_then(|parent| parent.parse().ok());
        let children = processes.filter(|process| parent(process) == Some(server.as_raw()));
        [server].into_iter().chain(children).collect()
    }

    fn tell_keeper(&mut self, server: &str) {
        writeln!(self.keeper.stdin.as_mut().unwrap(), "{server}").unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        // Closes its input first: the sign to remove the folder.
        let _ = self.keeper.wait();
    }
}

/// A port of the loopback interface that nothing listens on, and which stays the server's while it is stopped.
///
/// It is below those that the kernel gives to clients. From among them another process could get it, or a client that
/// keeps trying to reach the stopped server: its connection would in the end be one to itself.
pub(crate) fn free_port() -> u16 {
    static TAKEN: AtomicU64 = AtomicU64::new(0);
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let clients: u16 = range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768);
    let (first, end) = (10_000, clients.max(12_000));
    let mut dice = Dice::new(u64::from(std::process::id()) << 32 | TAKEN.fetch_add(1, Ordering::SeqCst));
    let mut ports = std::iter::repeat_with(|| first + dice.below(usize::from(end - first)) as u16).take(1000);
    ports.find(|&port| reserve(port).is_some()).expect("a free port")
}

/// Takes the port from all other test processes until this one ends; none if it is taken. They agree by a name, because
/// the port itself has to be free for the server to bind.
fn reserve(port: u16) -> Option<()> {
    let name = SocketAddr::from_abstract_name(format!("key-ip-sentinel-test-port-{port}")).ok()?;
    let reserved = UnixListener::bind_addr(&name).ok()?;
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
    std::mem::forget(reserved);
    Some(())
}

/// The first of `folders` that holds all of `programs`.
pub(crate) fn folder_of(folders: impl IntoIterator<Item = PathBuf>, programs: &[&str]) -> Option<PathBuf> {
    folders.into_iter().find(|folder| programs.iter().all(|program| folder.join(program).is_file()))
}

pub(crate) fn path_folders() -> Vec<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH").expect("PATH is set")).collect()
}

/// Like [`super::eventually`], for what also a `drop` must wait for: the state of a process that is not a child, of which
/// the kernel tells only by being asked.
fn at_last(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// `R`, `S`, `T`...; none for a process that is gone.
fn state(process: Pid) -> Option<char> {
    status(process, "State:")?.chars().next()
}

fn status(process: Pid, field: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    Some(status.lines().find_map(|line| line.strip_prefix(field))?.trim().to_owned())
}

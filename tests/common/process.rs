//! A child process whose output is kept and shown when the test fails, and which never outlives the test.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::eventually;

pub(crate) struct Process {
    name: &'static str,
    child: Child,
    out: PathBuf,
    err: PathBuf,
    /// Where this run's part of the error log begins: a restart appends to the same file.
    err_start: usize,
}

impl Process {
    /// Starts `command` with its output appended to `<dir>/<name>.out` and `.err`.
    pub(crate) fn spawn(name: &'static str, command: &mut Command, dir: &Path) -> Self {
        let open = |path: &Path| OpenOptions::new().create(true).append(true).open(path).unwrap();
        let (out, err) = (dir.join(format!("{name}.out")), dir.join(format!("{name}.err")));
        let (out_file, err_file) = (open(&out), open(&err));
        let err_start = err_file.metadata().unwrap().len() as usize;
        let spawned = command.stdin(Stdio::null()).stdout(out_file).stderr(err_file).spawn();
        let child = spawned.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { name, child, out, err, err_start }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that was written to standard output, by earlier runs too.
    pub(crate) fn stdout(&self) -> String {
        text(&self.out, 0)
    }

    /// What this run has written to standard error.
    pub(crate) fn stderr(&self) -> String {
        text(&self.err, self.err_start)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// The exit status, if the process has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub(crate) async fn wait(&mut self) -> ExitStatus {
        let what = format!("{} ends", self.name);
        eventually(&what, async || self.ended()).await
    }

    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait().await
    }

    /// `kill -9`: no handler runs, nothing is flushed.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if std::thread::panicking() {
            eprintln!("---- {} stdout\n{}", self.name, tail(&self.stdout()));
            eprintln!("---- {} stderr\n{}", self.name, tail(&self.stderr()));
        }
    }
}

/// Nothing, if the folder went before the process did: a panic in `drop` would end all tests of the binary.
fn text(path: &Path, from: usize) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned()
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

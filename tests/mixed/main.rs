//! The version before this one, beside it and in its place: a rolling upgrade, and the way back.
//!
//! Which version that is, says `.ci/previous.txt`; `.ci/previous build` builds it, in about a minute, from the history.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on panics; figures are printed")]

mod beside;
#[path = "../common/mod.rs"]
mod common;
#[path = "../replicas/fleet.rs"]
#[allow(dead_code, reason = "tests/replicas uses the rest")]
mod fleet;
mod in_place;
#[path = "../replicas/work.rs"]
mod work;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use common::{Home, within};

/// The binary of this version.
const THIS: &str = env!("CARGO_BIN_EXE_sentinel");

/// The binary of the version before.
fn before() -> &'static Path {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
        let (root, target) = (Path::new(env!("CARGO_MANIFEST_DIR")), Path::new(THIS).ancestors().nth(2).unwrap());
        let built =
            Command::new(root.join(".ci/previous")).arg("build").env("CARGO_TARGET_DIR", target).output().unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        PathBuf::from(String::from_utf8(built.stdout).unwrap().trim())
    });
    &BUILT
}

/// An operator's command by this binary, to the server of `home`, which may be of the other one.
fn cli(binary: &Path, home: &Home, arguments: &[&str]) -> String {
    let socket = format!("unix:{}", home.admin_socket().display());
    let mut command = Command::new(binary);
    let Output { status, stdout, stderr } =
        command.env_clear().args(["--admin", &socket]).args(arguments).output().unwrap();
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// A start of the version before that must fail, because its schema is not that of the store any more.
async fn knows_better_than_to_start(home: &Home) {
    let mut process = home.spawn();
    let status = within("the start fails", process.wait()).await;
    let told = process.stderr();
    assert_eq!(status.code(), Some(1), "{told}");
    assert!(told.lines().last().unwrap().contains("use a newer sentinel"), "{told}");
}

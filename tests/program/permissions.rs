//! Who may touch what a running server makes, whatever umask it was started with, and what it refuses to start on.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
};

use crate::common::{Home, sentinel};
use nix::unistd::{Gid, Group, Uid};

/// Starts a program as the most careless service manager would.
const CARELESS: [&str; 3] = ["/bin/sh", "-c", "umask 000; exec \"$0\" \"$@\""];

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).mode() & 0o7777
}

/// All that is below `folder` and not a socket.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}

#[tokio::test]
async fn everything_a_server_makes_is_its_own_whatever_the_umask() {
    let home = sentinel().on_sqlite().unset("pepper.secrets").unset("listen.admin").on_unix_socket().under(&CARELESS);
    let data = home.data_dir();
    let sentinel = home.start().await;
    assert_eq!(sentinel.check().key("sk-0123456789").send().await.reason(), "first_use");
    assert_eq!(mode(&data), 0o700);
    for name in ["sentinel.db", "sentinel.db-wal", "sentinel.db-shm", "sentinel.db.lock", "pepper"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
    assert_eq!(files(&data).len(), 5, "{:?}", files(&data));
    assert_eq!(mode(&data.join("admin.sock")), 0o600);
    // The mode of a socket is set after it was made: until then only the umask keeps others out.
    let status = fs::read_to_string(format!("/proc/{}/status", sentinel.pid())).unwrap();
    assert!(status.lines().any(|line| line == "Umask:\t0077"), "{status}");
    sentinel.stop().await;
}

/// A group that is not the one that files get anyway.
fn other_group() -> Group {
    let mut ids: Vec<Gid> = nix::unistd::getgroups().unwrap();
    if Uid::effective().is_root() {
        // Root may give a file to any group.
        ids.extend((1..100).map(Gid::from_raw));
    }
    let others = ids.into_iter().filter(|id| *id != Gid::effective());
    let mut groups = others.filter_map(|id| Group::from_gid(id).unwrap());
    groups.next().unwrap_or_else(|| panic!("only root, or a user of two groups, can give a socket to another group"))
}

#[tokio::test]
async fn the_checks_socket_has_the_mode_and_the_group_of_the_configuration() {
    let group = other_group();
    let home = sentinel().on_sqlite().on_unix_socket().under(&CARELESS);
    let socket = home.path().join("grpc.sock");
    let sentinel = home.start().await;
    assert_eq!(mode(&socket), 0o660);
    assert_eq!(fs::metadata(&socket).unwrap().gid(), Gid::effective().as_raw());
    let home = sentinel.stop().await;

    let home = home.set("listen.grpc_mode", "\"0640\"").set("listen.grpc_group", &format!("\"{}\"", group.name));
    let sentinel = home.start().await;
    assert_eq!(mode(&socket), 0o640);
    assert_eq!(fs::metadata(&socket).unwrap().gid(), group.gid.as_raw(), "{}", group.name);
    assert_eq!(sentinel.check().key("sk-0123456789").send().await.reason(), "first_use");
    sentinel.stop().await;
}

#[tokio::test]
async fn a_group_that_does_not_exist_ends_the_start() {
    let home = sentinel().on_unix_socket().set("listen.grpc_group", "\"no-such-group\"");
    let error = refusal(&home).await;
    assert!(error.contains("listen.grpc_group: there is no group \"no-such-group\""), "{error}");
}

/// Why the server did not start.
async fn refusal(home: &Home) -> String {
    let mut refused = home.spawn();
    assert_eq!(refused.wait().await.code(), Some(1), "{}", refused.stderr());
    refused.stderr().lines().last().unwrap().to_owned()
}

#[tokio::test]
async fn a_data_folder_that_others_may_enter_is_refused_and_left_as_it_is() {
    let home = sentinel();
    let data = home.data_dir();
    fs::create_dir(&data).unwrap();
    for looser in [0o755, 0o750, 0o701, 0o770, 0o710, 0o740, 0o777] {
        fs::set_permissions(&data, fs::Permissions::from_mode(looser)).unwrap();
        let error = refusal(&home).await;
        assert_eq!(error, format!("error: data_dir {} has mode {looser:04o}; it must be 0700", data.display()));
        assert_eq!((mode(&data), fs::read_dir(&data).unwrap().count()), (looser, 0));
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    home.start().await.stop().await;
}

#[tokio::test]
async fn a_data_folder_of_another_user_is_refused_and_left_as_it_is() {
    let home = sentinel();
    let data = home.data_dir();
    let we = Uid::effective();
    let (home, data) = if we.is_root() {
        fs::create_dir(&data).unwrap();
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
        chown(&data, Some(65_534), None).unwrap();
        (home, data)
    } else {
        // Root's.
        (home.set("data_dir", "\"/\""), "/".into())
    };
    let owner = fs::metadata(&data).unwrap().uid();
    let error = refusal(&home).await;
    let data = data.display();
    assert_eq!(error, format!("error: data_dir {data} belongs to uid {owner}, this process runs as {we}"));
    assert!(!home.database().exists());
}

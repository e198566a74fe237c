//! The permissions of the files that a server creates, under any umask, and the permissions that stop its start.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
};

use crate::common::{Home, eventually, sentinel};
use nix::unistd::{Gid, Group, Uid};

/// Starts a program with umask 000.
const UMASK_000: [&str; 3] = ["/bin/sh", "-c", "umask 000; exec \"$0\" \"$@\""];

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).mode() & 0o7777
}

/// The regular files in `directory`.
fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}

#[tokio::test]
async fn a_server_creates_private_files_under_any_umask() {
    let home = sentinel().on_sqlite().unset("pepper.secrets").unset("listen.admin").on_unix_socket().under(&UMASK_000);
    let data = home.data_dir();
    let sentinel = home.start().await;
    assert_eq!(sentinel.check().key("sk-0123456789").send().await.reason(), "first_use");
    assert_eq!(mode(&data), 0o700);
    for name in ["sentinel.db", "sentinel.db-wal", "sentinel.db-shm", "sentinel.db.lock", "pepper"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
    assert_eq!(files(&data).len(), 5, "{:?}", files(&data));
    assert_eq!(mode(&data.join("admin.sock")), 0o600);
    // The mode of a socket is set after it is created: until then only the umask protects it.
    let status = fs::read_to_string(format!("/proc/{}/status", sentinel.pid())).unwrap();
    assert!(status.lines().any(|line| line == "Umask:\t0077"), "{status}");
    sentinel.stop().await;
}

/// A group other than the default one of new files.
fn other_group() -> Group {
    let mut ids: Vec<Gid> = nix::unistd::getgroups().unwrap();
    if Uid::effective().is_root() {
        // Root may use any group.
        ids.extend((1..100).map(Gid::from_raw));
    }
    let others = ids.into_iter().filter(|id| *id != Gid::effective());
    let mut groups = others.filter_map(|id| Group::from_gid(id).unwrap());
    groups.next().unwrap_or_else(|| panic!("only root, or a user of two groups, can give a socket to another group"))
}

#[tokio::test]
async fn the_grpc_socket_has_the_configured_mode_and_group() {
    let group = other_group();
    let home = sentinel().on_sqlite().on_unix_socket().under(&UMASK_000);
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
    let home = sentinel().on_unix_socket().initialised().await.set("listen.grpc_group", "\"no-such-group\"");
    let error = start_error(&home).await;
    assert!(error.contains("listen.grpc_group: there is no group \"no-such-group\""), "{error}");
}

/// Why the server did not start.
async fn start_error(home: &Home) -> String {
    let mut server = home.spawn();
    assert_eq!(server.wait().await.code(), Some(1), "{}", server.stderr());
    server.stderr().lines().last().unwrap().to_owned()
}

/// systemd creates a `StateDirectory` with 0755, and a remount with an fsGroup adds the group's access and the setgid bit to
/// everything, at each start. Sabotage: without `directory.set_permissions` in src/app/data_dir.rs.
#[tokio::test]
async fn what_systemd_or_kubernetes_opened_is_closed_again_and_logged() {
    let home = sentinel().on_sqlite().unset("pepper.secrets").start().await;
    assert_eq!(home.check().key("sk-0123456789").send().await.reason(), "first_use");
    let mut home = home.stop().await;
    let data = home.data_dir();
    let files = ["pepper", "sentinel.db", "sentinel.db.lock"];
    for (directory, file) in [(0o755, 0o644), (0o2770, 0o660), (0o2775, 0o664), (0o750, 0o640), (0o701, 0o604)] {
        for name in files {
            fs::set_permissions(data.join(name), fs::Permissions::from_mode(file)).unwrap();
        }
        fs::set_permissions(data.join("audit"), fs::Permissions::from_mode(directory)).unwrap();
        fs::set_permissions(&data, fs::Permissions::from_mode(directory)).unwrap();
        let config = home.config();
        let checked = crate::run::run(&["check-config", "--config", config.to_str().unwrap()], b"");
        assert_eq!((checked.code, mode(&data)), (0, directory), "{checked:?}");
        let sentinel = home.start().await;
        assert_eq!(sentinel.check().key("sk-0123456789").send().await.reason(), "bound");
        assert_eq!((mode(&data), mode(&data.join("audit"))), (0o700, 0o700));
        for name in files {
            assert_eq!(mode(&data.join(name)), 0o600, "{name}");
        }
        let warned = async || {
            let log = sentinel.log();
            let line = log.lines().find(|line| line.contains("its mode is now 0700"))?;
            assert!(line.contains("WARN") && line.contains(&format!("{directory:04o}")), "{line}");
            assert!(line.contains("StateDirectoryMode=0700") && line.contains("fsGroupChangePolicy: OnRootMismatch"));
            log.contains(data.join("pepper").to_str().unwrap()).then_some(())
        };
        eventually("it is logged", warned).await;
        home = sentinel.stop().await;
    }
    let sentinel = home.start().await;
    assert_eq!(sentinel.check().key("sk-0123456789").send().await.reason(), "bound");
    assert!(!sentinel.log().contains("could access"), "{}", sentinel.log());
    sentinel.stop().await;
}

#[tokio::test]
async fn a_data_directory_that_any_user_can_fill_is_rejected_and_not_changed() {
    let home = sentinel();
    let data = home.data_dir();
    fs::create_dir(&data).unwrap();
    for looser in [0o777, 0o1777, 0o702] {
        fs::set_permissions(&data, fs::Permissions::from_mode(looser)).unwrap();
        let error = start_error(&home).await;
        let expected = format!("error: data_dir {} has mode {looser:04o}; it must be 0700. Any user", data.display());
        assert!(error.starts_with(&expected) && error.ends_with("then chmod 0700"), "{error}");
        assert_eq!((mode(&data), fs::read_dir(&data).unwrap().count()), (looser, 0));
    }
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
    home.start().await.stop().await;
}

/// Another user, as which only root can run the server.
const USER: [&str; 5] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];

/// The pepper and the database were made before the socket could not be.
#[tokio::test]
async fn a_socket_in_a_folder_of_root_is_refused_before_anything_is_made() {
    assert!(Uid::effective().is_root(), "run as root, or without this test: --skip a_socket_in_a_folder");
    let home = sentinel().unset("pepper.secrets").unset("listen.admin").under(&USER);
    let folder = home.path().join("run");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    chown(home.path(), Some(65_534), None).unwrap();
    let home = home.set("listen.grpc", &format!("\"unix:{}/grpc.sock\"", folder.display()));
    let error = start_error(&home).await;
    let expected = format!("uid 65534 cannot write to the directory {}: give the directory to it", folder.display());
    assert!(error.starts_with("error: listen.grpc: ") && error.contains(&expected), "{error}");
    assert!(!home.data_dir().exists());
}

/// A volume of Kubernetes: its root belongs to root and the fsGroup, and the process runs as another user. Only root can
/// act this out; `a_data_directory_of_another_user_is_rejected_and_not_changed` has a part of it for every user.
#[tokio::test]
async fn the_root_of_a_volume_is_named_with_its_fix() {
    const GROUP: u32 = 65_534;
    assert!(Uid::effective().is_root(), "run as root, or without this test: --skip the_root_of_a_volume");
    let home = sentinel().unset("pepper.secrets").unset("listen.admin").under(&USER);
    let home = home.set("store.url", "\"sqlite:DATA_DIR/sentinel.db\"");
    let volume = home.data_dir();
    fs::create_dir(&volume).unwrap();
    for path in [home.path(), &volume] {
        chown(path, None, Some(GROUP)).unwrap();
    }
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&volume, fs::Permissions::from_mode(0o2775)).unwrap();
    let error = start_error(&home).await;
    let sub = volume.join("sentinel");
    assert!(error.contains("belongs to uid 0, but this process runs as uid 65534"), "{error}");
    assert!(error.ends_with(&format!("use a sub folder: data_dir = {sub:?}")), "{error}");

    // As the error says. The admin socket is in the folder.
    let home = home.set("data_dir", &format!("{sub:?}")).set("listen.grpc", "\"127.0.0.1:0\"");
    let sentinel = home.start().await;
    assert_eq!(sentinel.check().key("sk-0123456789").send().await.reason(), "first_use");
    assert_eq!(mode(&sub) & 0o777, 0o700);
    let home = sentinel.stop().await;

    // Without fsGroup, the process cannot create it.
    fs::set_permissions(&volume, fs::Permissions::from_mode(0o755)).unwrap();
    let other = volume.join("other");
    let home = home.set("data_dir", &format!("{other:?}"));
    let error = start_error(&home).await;
    assert!(error.contains(&format!("cannot be created in {}: Permission denied", volume.display())), "{error}");
    assert!(error.contains("for uid 65534") && error.contains("set fsGroup"), "{error}");

    // A file of another user, which only the group may write.
    let database = sub.join("sentinel.db");
    chown(&database, Some(0), Some(GROUP)).unwrap();
    fs::set_permissions(&database, fs::Permissions::from_mode(0o660)).unwrap();
    let error = start_error(&home.set("data_dir", &format!("{sub:?}"))).await;
    let expected = "its mode is 0660, and cannot be changed to 0600: Operation not permitted (os error 1); it belongs to uid 0; \
                    chown it to the user of the server";
    assert!(error.ends_with(expected), "{error}");
}

#[tokio::test]
async fn a_data_directory_of_another_user_is_rejected_and_not_changed() {
    let home = sentinel();
    let data = home.data_dir();
    let own = Uid::effective();
    let (home, data) = if own.is_root() {
        fs::create_dir(&data).unwrap();
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();
        chown(&data, Some(65_534), None).unwrap();
        (home, data)
    } else {
        // Owned by root.
        (home.set("data_dir", "\"/\""), "/".into())
    };
    let owner = fs::metadata(&data).unwrap().uid();
    let error = start_error(&home).await;
    let data = data.display();
    let expected = format!("error: data_dir {data} belongs to uid {owner}, but this process runs as uid {own}; ");
    assert!(error.starts_with(&expected), "{error}");
    assert!(!home.database().exists());
}

//! `check-config` and `serve` find the same faults, and a check changes nothing.

use std::{
    fs,
    net::TcpListener,
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    path::Path,
};

use crate::{
    common::{Home, sentinel},
    lost_store::files,
    run::{Seen, run},
};

fn check_config(home: &Home) -> Seen {
    run(&["check-config", "--config", home.config().to_str().unwrap()], b"")
}

/// `check-config` and `serve` report this fault of this setting, and nothing is created or changed. Returns the fault.
async fn assert_refused(home: &Home, setting: &str, fault: &str) -> String {
    let before = files(home.path());
    let Seen { code, out, err } = check_config(home);
    let line = err.lines().find(|line| line.contains(fault)).unwrap_or_else(|| panic!("{setting}: {fault}: {err}"));
    assert!(code == 2 && out.is_empty() && line.starts_with(setting), "{setting}: {err}");
    assert_eq!(files(home.path()), before, "a check changes nothing");
    let mut server = home.spawn();
    assert_eq!(server.wait().await.code(), Some(1), "{setting}: {}", server.stderr());
    let faults = err.replacen("error: the configuration is not valid:\n", "error: ", 1);
    assert!(server.stderr().ends_with(&faults), "{setting}: {}\nnot: {faults}", server.stderr());
    assert_eq!(files(home.path()), before, "a refused start changes nothing");
    line.to_owned()
}

fn assert_valid(home: &Home, note: &str) {
    let before = files(home.path());
    let Seen { code, out, err } = check_config(home);
    assert_eq!((code, out.as_str()), (0, "The configuration is valid.\n"), "{err}");
    assert!(err.contains(note) && err.is_empty() == note.is_empty(), "{err}");
    assert_eq!(files(home.path()), before, "a check changes nothing");
}

#[test]
fn check_config_reports_what_would_stop_serve() {
    let directory = tempfile::tempdir().unwrap();
    let (file, data, open) =
        (directory.path().join("c.toml"), directory.path().join("data"), directory.path().join("open"));
    for (path, mode) in [(&data, 0o757), (&open, 0o777)] {
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let text = format!("data_dir = {data:?}\nlisten.grpc = 'unix:{}'", open.join("s").display());
    fs::write(&file, text).unwrap();
    let Seen { code, out, err } = run(&["check-config", "--config", file.to_str().unwrap()], b"");
    assert_eq!((code, out.as_str(), err.lines().count()), (2, "", 3), "{err}");
    assert!(err.contains("has mode 0757; it must be 0700") && err.contains("listen.grpc: "));
    assert!(err.contains("open is world-writable"), "{err}");
    assert!(fs::read_dir(&data).unwrap().chain(fs::read_dir(&open).unwrap()).next().is_none(), "a check makes nothing");
}

/// Each of these passed `check-config`, and `serve` failed.
#[tokio::test]
async fn serve_fails_on_what_check_config_reports() {
    let here = tempfile::tempdir().unwrap();
    let path = |name: &str| here.path().join(name).display().to_string();
    fs::write(path("file"), "no database, and no socket").unwrap();
    let missing = path("missing");
    for (setting, value, fault) in [
        (
            "listen.grpc",
            format!("unix:{missing}/x.sock"),
            format!("the directory {missing} of the socket does not exist"),
        ),
        ("listen.admin", format!("unix:{missing}/x.sock"), "does not exist; create it".to_owned()),
        ("listen.grpc", format!("unix:{}", path("file")), "exists and is not a socket".to_owned()),
        (
            "listen.grpc",
            format!("unix:{}", path(&"x".repeat(110))),
            "the path of a unix socket has at most 107".to_owned(),
        ),
        ("listen.grpc_group", "no-such-group".to_owned(), "there is no group \"no-such-group\"".to_owned()),
        ("store.url", format!("sqlite:{}", path("file")), "it is not a SQLite database".to_owned()),
        ("store.url", format!("sqlite:{missing}/a.db"), format!("its directory {missing}: No such file")),
        ("data_dir", path("file"), "is not a directory".to_owned()),
        ("data_dir", path("file/data"), "Not a directory".to_owned()),
    ] {
        let home = sentinel().on_sqlite().unset("pepper.secrets").on_unix_socket().set(setting, &format!("{value:?}"));
        let home = if setting == "data_dir" { home.unset("store.url") } else { home };
        assert_refused(&home, setting, &fault).await;
        assert!(!home.data_dir().exists(), "a refused start makes nothing");
    }
    // The admin socket is in the data directory.
    let data_dir = path(&"x".repeat(110));
    let home = sentinel().on_sqlite().unset("pepper.secrets").unset("listen.admin").unset("store.url");
    let home = home.set("data_dir", &format!("{data_dir:?}"));
    assert_refused(&home, "listen.admin", "the path of a unix socket has at most 107").await;
    assert!(!Path::new(&data_dir).exists());
}

#[tokio::test]
async fn an_address_in_use_names_its_setting() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for setting in ["listen.grpc", "listen.http"] {
        let home = sentinel().on_sqlite().unset("pepper.secrets").set(setting, &format!("\"{address}\""));
        let expected = format!("{setting}: cannot listen on {address}: Address already in use");
        let fault = assert_refused(&home, setting, &expected).await;
        assert!(fault.ends_with("or use another port"), "{fault}");
        assert!(!home.data_dir().exists());
    }
    let home = sentinel().on_sqlite().unset("pepper.secrets").on_unix_socket();
    let _taken = UnixListener::bind(home.path().join("grpc.sock")).unwrap();
    assert_refused(&home, "listen.grpc", "another process listens on this socket; stop it, or use another path").await;
}

#[tokio::test]
async fn a_database_that_another_program_made_is_refused() {
    let home = sentinel().on_sqlite();
    fs::create_dir(home.data_dir()).unwrap();
    fs::set_permissions(home.data_dir(), fs::Permissions::from_mode(0o700)).unwrap();
    let foreign = rusqlite::Connection::open(home.database()).unwrap();
    foreign.execute_batch("CREATE TABLE precious (x); INSERT INTO precious VALUES (1)").unwrap();
    for journal in ["DELETE", "WAL"] {
        foreign.query_row(&format!("PRAGMA journal_mode = {journal}"), [], |_| Ok(())).unwrap();
        assert_refused(&home, "store.url", "is a SQLite database, but was not made by Sentinel; use another path")
            .await;
    }
    // A number that any program may use for its own versions.
    for version in [7, 1000] {
        foreign.execute_batch(&format!("PRAGMA user_version = {version}")).unwrap();
        assert_refused(&home, "store.url", "but was not made by Sentinel; use another path").await;
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_or_a_damaged_one_is_refused() {
    let home = sentinel().on_sqlite().start().await.stop().await;
    let store = rusqlite::Connection::open(home.database()).unwrap();
    store.execute_batch("PRAGMA user_version = 1000; PRAGMA journal_mode = DELETE").unwrap();
    drop(store);
    assert_refused(&home, "store.url", "has schema version 1000, but this version of Sentinel supports").await;
    fs::OpenOptions::new().write(true).open(home.database()).unwrap().set_len(5_000).unwrap();
    assert_refused(&home, "store.url", "; restore the database from a backup").await;
}

/// One judged the directory of the link, and the other that of the database. Whoever can replace either chooses the owners
/// of all keys.
#[tokio::test]
async fn the_directories_of_a_database_and_of_each_link_to_it_are_private() {
    let home = sentinel().on_sqlite().unset("pepper.secrets");
    let folders = ["first", "second", "real"].map(|name| home.path().join(name));
    let chmod = |folder: &Path, mode| fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    for folder in &folders {
        fs::create_dir(folder).unwrap();
        chmod(folder, 0o700);
    }
    let [first, second, real] = folders.each_ref().map(|folder| folder.join("a.db"));
    fs::write(&real, "").unwrap();
    symlink("../second/a.db", &first).unwrap();
    symlink(&real, &second).unwrap();
    let home = home.set("store.url", &format!("\"sqlite:{}\"", first.display()));
    assert_valid(&home, "");
    for folder in &folders {
        chmod(folder, 0o777);
        assert_refused(&home, "store.url", "its directory is world-writable").await;
        chmod(folder, 0o700);
    }
    fs::remove_file(&second).unwrap();
    symlink(&first, &second).unwrap();
    assert_refused(&home, "store.url", "it leads through too many symbolic links").await;
}

/// It made a pepper and a database before it found the socket in use.
#[tokio::test]
async fn a_start_beside_another_program_on_its_admin_socket_makes_nothing() {
    let home = sentinel().on_sqlite().unset("pepper.secrets").on_unix_socket();
    let admin = home.path().join("admin.sock");
    let home = home.set("listen.admin", &format!("\"unix:{}\"", admin.display()));
    let _stranger = UnixListener::bind(&admin).unwrap();
    assert_valid(&home, "note: a server listens on listen.admin: ");
    let before = files(home.path());
    let mut server = home.spawn();
    assert_eq!(server.wait().await.code(), Some(1));
    let log = server.stderr();
    assert!(log.contains("listen.admin: cannot listen on ") && log.contains("another process listens"), "{log}");
    assert_eq!(files(home.path()), before, "a refused start changes nothing");
}

#[tokio::test]
async fn a_pepper_other_than_the_stores_is_refused() {
    const OTHER: &str = "[\"another-pepper-for-tests-0123456789-abcd\"]";
    // Killed, so that what it wrote is in the write-ahead log.
    let killed = sentinel().on_sqlite().start().await;
    assert_eq!(killed.check().key("sk-0123456789").send().await.reason(), "first_use");
    let home = killed.kill();
    assert!(home.database().with_extension("db-wal").metadata().unwrap().len() > 0);
    assert_valid(&home, "");
    fs::remove_file(home.database().with_extension("db-shm")).unwrap();
    assert_valid(&home, "");
    let home = home.set("pepper.secrets", OTHER);
    let fault = assert_refused(&home, "pepper.secrets", "the active pepper of this store is ").await;
    assert!(!fault.contains("another-pepper"), "{fault}");
    // No pepper is generated for a store in use.
    let home = home.unset("pepper.secrets");
    assert_refused(&home, "the store was filled with pepper ", "restore it from a backup").await;
    assert!(!home.data_dir().join("pepper").exists());

    // Stopped, so that all of it is in the database.
    let home = sentinel().on_sqlite().start().await.stop().await;
    assert_valid(&home, "");
    let home = home.set("pepper.secrets", OTHER);
    assert_refused(&home, "pepper.secrets", "the active pepper of this store is ").await;
}

/// Litestream reads all the time, also while the server is down.
#[tokio::test]
async fn a_backup_program_that_reads_the_database_of_a_killed_server_is_no_obstacle() {
    let killed = sentinel().on_sqlite().start().await;
    assert_eq!(killed.check().key("sk-0123456789").send().await.reason(), "first_use");
    let home = killed.kill();
    let backup = rusqlite::Connection::open(home.database()).unwrap();
    backup.execute_batch("BEGIN; SELECT count(*) FROM bindings").unwrap();
    // Not `assert_valid`: to close a file that this process has read would end the locks of `backup` on it.
    let Seen { code, err, .. } = check_config(&home);
    assert_eq!((code, err.as_str()), (0, ""));
    let sentinel = home.start().await;
    assert_eq!(sentinel.check().key("sk-0123456789").send().await.reason(), "bound");
    backup.execute_batch("COMMIT").unwrap();
}

#[tokio::test]
async fn a_database_in_use_names_its_process_and_the_server_goes_on() {
    let first = sentinel().on_sqlite().start().await;
    assert_eq!(first.check().key("sk-0123456789").send().await.reason(), "first_use");
    let named = format!("{}: is in use by process {}, started ", first.home().database().display(), first.pid());
    let url = format!("\"sqlite:{}\"", first.home().database().display());
    let other = sentinel().on_unix_socket().set("store.url", &url);
    assert_refused(&other, "store.url", &named).await;

    // Before a restart, the server that the configuration is for still runs, and writes.
    let Seen { code, err, .. } = check_config(first.home());
    assert!(code == 0 && err.starts_with("note: a server listens on listen.admin: "), "{err}");
    let mut second = first.home().spawn();
    assert_eq!(second.wait().await.code(), Some(1));
    // The first writes into the same file.
    let log = second.stderr();
    assert!(log.lines().any(|line| line.starts_with(&format!("store.url: {named}"))), "{log}");
    assert_eq!(first.check().key("sk-0123456789").send().await.reason(), "bound");
    assert!(first.home().cli(&["status"]).status.success());
}

#[test]
fn check_config_reports_a_missing_certificate_authority_of_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let (file, data) = (directory.path().join("sentinel.toml"), directory.path().join("data"));
    let url = "postgres://u:SeCrEt@db.example/s?sslrootcert=/nonexistent.pem";
    let pepper = "0123456789abcdef0123456789abcdef";
    fs::write(&file, format!("data_dir = {data:?}\nstore.url = \"{url}\"\npepper.secrets = [\"{pepper}\"]\n")).unwrap();
    let Seen { code, out, err } = run(&["check-config", "--config", file.to_str().unwrap()], b"");
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains("\nstore.url: sslrootcert /nonexistent.pem: No such file"), "{err}");
    assert!(!err.contains("SeCrEt") && !data.exists(), "{err}");
}

//! A store that is lost is not an empty one: without its bindings, every key would belong to the next network that uses it.
//! `tests/outage/refused.rs` has the same for PostgreSQL.

use std::{
    fs,
    hash::{DefaultHasher, Hasher},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use crate::{
    common::{Home, sentinel, within},
    run::{Seen, run},
};

const KEY: &str = "sk-0123456789";
const OWNER: &str = "203.0.113.7";
const ATTACKER: &str = "198.51.100.9";

async fn reason(home: Home, from: &str) -> (String, Home) {
    let sentinel = home.start().await;
    let reason = sentinel.check().key(KEY).from(from).send().await.reason().to_owned();
    (reason, sentinel.stop().await)
}

/// A server that has had a key, and is stopped.
async fn used(home: Home) -> Home {
    let (first, home) = reason(home, OWNER).await;
    assert_eq!(first, "first_use");
    home
}

fn command(home: &Home, words: &[&str]) -> Seen {
    let config = home.config();
    run(&[words, &["--config", config.to_str().unwrap()]].concat(), b"")
}

/// `serve`, `check-config` and `migrate` say the same, and create nothing.
async fn assert_lost(home: &Home, cause: &str) {
    let fix = "keys that had an owner would have none. Mount the volume or restore the backup; only for a new store, run \
               `sentinel migrate --init` with this configuration, as the user of the server";
    let fault = format!("store.url: {cause}; {fix}");
    let before = tree(home.path());
    let mut server = home.spawn();
    assert_eq!(within("the start fails", server.wait()).await.code(), Some(1), "{}", server.stderr());
    assert_eq!(server.stderr().lines().last(), Some(&*format!("error: {fault}")));
    let Seen { code, err, .. } = command(home, &["check-config"]);
    assert_eq!((code, err), (2, format!("error: the configuration is not valid:\n{fault}\n")));
    let Seen { code, err, .. } = command(home, &["migrate"]);
    assert_eq!((code, err), (1, format!("error: {fault}\n")));
    assert_eq!(tree(home.path()), before, "nothing is created");
}

/// The files below `directory` but the lock and the files of SQLite, with their sizes. A refused start may set the mode and
/// the journal of an empty database.
fn tree(directory: &Path) -> Vec<(String, u64)> {
    let is_kept = |file: &File| ![".lock", "-wal", "-shm"].iter().any(|end| file.path.ends_with(end));
    let size = |path: &str| fs::metadata(path).unwrap().len();
    files(directory).into_iter().filter(is_kept).map(|file| (file.path.clone(), size(&file.path))).collect()
}

/// What a test sees of a file or a directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: String,
    mode: u32,
    /// A hash; `None` for what is not a file.
    content: Option<u64>,
}

/// The files below `directory` but those of this harness.
pub(crate) fn files(directory: &Path) -> Vec<File> {
    let mut found: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    let is_ours = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        !["sentinel.out", "sentinel.err", "sentinel.toml"].contains(&name)
    };
    let entries = found.into_iter().filter(|path| is_ours(path));
    let read = |path: &Path| {
        path.is_file().then(|| {
            let mut hash = DefaultHasher::new();
            hash.write(&fs::read(path).unwrap());
            hash.finish()
        })
    };
    entries
        .flat_map(|path| {
            let mode = path.symlink_metadata().unwrap().permissions().mode();
            let mut found = vec![File { path: path.display().to_string(), mode, content: read(&path) }];
            if path.is_dir() {
                found.extend(files(&path));
            }
            found
        })
        .collect()
}

/// Sabotage: `None => Database::open(path).map_err(file_fault)?` for every `evidence` in src/app/store.rs.
#[tokio::test]
async fn with_a_configured_pepper_a_lost_store_ends_the_start() {
    let home = used(sentinel().on_sqlite()).await;
    let (data, database) = (home.data_dir(), home.database());
    let copy = home.path().join("copy.db");
    fs::copy(&database, &copy).unwrap();
    let missing = format!("{}: does not exist, but a pepper is configured", database.display());
    let empty = format!("{}: is empty, but a pepper is configured", database.display());

    // The volume is not mounted, mounted elsewhere, emptied, or another one.
    fs::rename(&data, home.path().join("elsewhere")).unwrap();
    assert_lost(&home, &missing).await;
    assert!(!data.exists(), "not even the directory is created");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    assert_lost(&home, &missing).await;
    fs::write(&database, "").unwrap();
    assert_lost(&home, &empty).await;
    // An empty database, as sqlite3 makes it from a file that does not exist; and one without its rows.
    let sqlite = rusqlite::Connection::open(&database).unwrap();
    sqlite.execute_batch("VACUUM").unwrap();
    drop(sqlite);
    assert_lost(&home, &empty).await;
    fs::copy(&copy, &database).unwrap();
    let sqlite = rusqlite::Connection::open(&database).unwrap();
    sqlite.execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM bindings; DELETE FROM peppers").unwrap();
    drop(sqlite);
    assert_lost(&home, &empty).await;

    // Restored, it is as before; an operator may also begin anew, and repeat the command.
    fs::copy(&copy, &database).unwrap();
    let (restored, home) = reason(home, ATTACKER).await;
    assert_eq!(restored, "ip_mismatch");
    fs::remove_dir_all(&data).unwrap();
    for _ in 0..2 {
        let Seen { code, out, err } = command(&home, &["migrate", "--init"]);
        assert_eq!((code, out), (0, format!("sqlite:{} is up to date.\n", database.display())), "{err}");
    }
    let (begun, home) = reason(home, ATTACKER).await;
    assert_eq!(begun, "first_use");
    let Seen { code, .. } = command(&home, &["migrate", "--init"]);
    let (kept, _) = reason(home, OWNER).await;
    assert_eq!((code, kept.as_str()), (0, "ip_mismatch"), "it never empties a store");
}

#[tokio::test]
async fn a_generated_pepper_and_its_store_are_lost_one_by_one() {
    let home = used(sentinel().on_sqlite().unset("pepper.secrets")).await;
    let (pepper, database) = (home.data_dir().join("pepper"), home.database());
    let aside = home.path().join("aside");
    let cause = format!("{}: does not exist, but the pepper {} exists", database.display(), pepper.display());

    fs::rename(&database, &aside).unwrap();
    assert_lost(&home, &cause).await;
    fs::rename(&aside, &database).unwrap();

    fs::rename(&pepper, &aside).unwrap();
    let mut server = home.spawn();
    assert_eq!(within("the start fails", server.wait()).await.code(), Some(1));
    let error = server.stderr().lines().last().unwrap().to_owned();
    assert!(error.starts_with("error: the store was filled with pepper ") && error.contains("backup"), "{error}");
    assert!(!pepper.exists());
    fs::rename(&aside, &pepper).unwrap();

    let content = fs::read(&pepper).unwrap();
    fs::write(&pepper, "").unwrap();
    let damaged = command(&home, &["check-config"]).err;
    assert!(damaged.contains("if a store was filled with it, restore it from a backup"), "{damaged}");
    fs::write(&pepper, content).unwrap();

    let (kept, home) = reason(home, ATTACKER).await;
    assert_eq!(kept, "ip_mismatch");
    // Nothing in the folder is a first start, by itself.
    fs::remove_dir_all(home.data_dir()).unwrap();
    let (first, home) = reason(home, ATTACKER).await;
    assert_eq!(first, "first_use");
    // As at a move to another pepper: the generated one was copied before the first start.
    fs::remove_file(home.database()).unwrap();
    assert_eq!(command(&home, &["migrate", "--init"]).code, 0);
    let (begun, _) = reason(home, OWNER).await;
    assert_eq!(begun, "first_use");
}

/// The first start of all was cut off at any of its steps: the next one completes it.
#[tokio::test]
async fn an_interrupted_first_start_is_completed_by_the_next() {
    let home = used(sentinel().on_sqlite().unset("pepper.secrets")).await;
    let (data, pepper) = (home.data_dir(), home.data_dir().join("pepper"));
    // After the store, before the name of the pepper.
    fs::rename(&pepper, data.join("pepper.new")).unwrap();
    let (kept, home) = reason(home, ATTACKER).await;
    assert_eq!(kept, "ip_mismatch");
    assert!(pepper.exists() && !data.join("pepper.new").exists());
    // After the schema, before the pepper is recorded.
    fs::rename(&pepper, data.join("pepper.new")).unwrap();
    let sqlite = home.open_database();
    sqlite.execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM bindings; DELETE FROM peppers").unwrap();
    drop(sqlite);
    let (first, home) = reason(home, ATTACKER).await;
    assert_eq!(first, "first_use");
    assert!(pepper.exists(), "{}", home.path().display());
}

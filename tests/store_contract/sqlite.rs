//! The SQLite backend, and what only a file can do.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use futures_util::{FutureExt, future::join_all};
use key_ip_sentinel::{
    domain::{Fingerprint, Pepper, PepperId, Peppers, Timestamp},
    store::{
        Action, Change, ChangeError, Claim, Claimed, Decisions, KeyQuery, Operators, PepperMismatch, Revision,
        Rotation, Store, StoreError, Target, Upkeep, WriteObstacle,
        sqlite::{Database, OpenError, SqliteStore, Unusable},
    },
};
use rusqlite::Connection;

use crate::fixture::*;

/// A folder with a database.
pub(crate) struct File {
    folder: tempfile::TempDir,
}

#[async_trait(?Send)]
impl Backend for File {
    async fn fresh() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.start())
    }

    async fn make_provisional(&self, key: &Fingerprint, expires_at: Timestamp) {
        let sql = "UPDATE bindings SET state = 'provisional', expires_at = ?2 WHERE digest = ?1";
        let changed = self.shell().execute(sql, (key.digest.as_bytes(), expires_at.as_millis())).unwrap();
        assert_eq!(changed, 1);
    }
}

impl File {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("sentinel.db")
    }

    fn start(&self) -> SqliteStore {
        Database::open(&self.path()).unwrap().start(&pepper().into()).unwrap()
    }

    /// A stranger's connection, such as a `sqlite3` shell.
    fn shell(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }
}

fn open_error(path: &Path) -> String {
    Database::open(path).unwrap_err().to_string()
}

#[test]
fn a_database_has_one_owner_and_says_who() {
    let place = File::new();
    let first = Database::open(&place.path()).unwrap();
    let owned = format!("is in use by process {}, started 20", std::process::id());
    let error = open_error(&place.path());
    assert!(error.contains(&owned), "{error}");

    let store = first.start(&pepper().into()).unwrap();
    assert!(open_error(&place.path()).contains(&owned));
    let link = place.folder.path().join("link.db");
    std::os::unix::fs::symlink(place.path(), &link).unwrap();
    assert!(open_error(&link).contains(&owned), "by another name it is the same database");
    drop(store);
    Database::open(&place.path()).unwrap();
}

#[test]
fn an_error_names_the_file() {
    let place = File::new();
    let missing = place.folder.path().join("missing/sentinel.db");
    assert!(open_error(&missing).contains("missing/sentinel.db: its directory "), "{}", open_error(&missing));
    std::fs::write(place.path(), "not a database, but long enough for the header of one".repeat(10)).unwrap();
    let error = open_error(&place.path());
    assert!(error.contains("sentinel.db: it is not a SQLite database"), "{error}");
}

/// Before it was looked at, it got the mode of a database and a lock beside it: as root, of a device too.
#[test]
fn a_file_that_is_not_a_database_is_left_unchanged() {
    let file = File::new();
    let notes = file.folder.path().join("notes.txt");
    std::fs::write(&notes, "some notes, longer than a header").unwrap();
    std::fs::set_permissions(&notes, Permissions::from_mode(0o644)).unwrap();
    std::os::unix::fs::symlink(&notes, file.path()).unwrap();
    let before = names(file.folder.path());
    assert!(open_error(&file.path()).contains("it is not a SQLite database"));
    let folder = file.folder.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    assert!(open_error(&folder).ends_with("it is not a regular file; use another path"));
    std::fs::remove_dir(&folder).unwrap();
    assert_eq!(std::fs::metadata(&notes).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(std::fs::read_to_string(&notes).unwrap(), "some notes, longer than a header");
    assert_eq!(names(file.folder.path()), before);
}

#[test]
fn a_folder_that_others_write_to_is_refused() {
    let file = File::new();
    std::fs::set_permissions(file.folder.path(), Permissions::from_mode(0o777)).unwrap();
    assert!(open_error(&file.path()).contains("world-writable"));
    assert!(names(file.folder.path()).is_empty());
}

#[test]
fn a_lock_that_is_a_link_is_not_followed() {
    let file = File::new();
    let precious = file.folder.path().join("precious");
    std::fs::write(&precious, "precious").unwrap();
    std::os::unix::fs::symlink(&precious, file.folder.path().join("sentinel.db.lock")).unwrap();
    open_error(&file.path());
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn only_their_owner_can_read_the_files() {
    let place = File::new();
    std::fs::write(place.path(), "").unwrap();
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let _store = place.start();
    let files: Vec<_> = std::fs::read_dir(place.folder.path()).unwrap().map(|file| file.unwrap()).collect();
    assert_eq!(files.len(), 4, "database, lock, -wal, -shm: {files:?}");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[test]
fn a_store_belongs_to_its_first_pepper() {
    let place = File::new();
    let database = Database::open(&place.path()).unwrap();
    assert_eq!(database.recorded_pepper().unwrap(), None);
    drop(database.start(&pepper().into()).unwrap());

    let database = Database::open(&place.path()).unwrap();
    let recorded = database.recorded_pepper().unwrap().unwrap();
    assert_eq!((&recorded.id, &recorded.check_value), (&pepper().id(), pepper().check_value()));
    let wrong = Pepper::new(&[8; 32]).unwrap();
    let error = database.start(&wrong.clone().into()).unwrap_err();
    let text = error.to_string();
    let ids: (PepperId, String) = match error {
        OpenError::Pepper(PepperMismatch::Wrong { recorded, given }) => (recorded, given),
        other => panic!("{other}"),
    };
    assert_eq!(ids, (pepper().id(), wrong.id().to_string()));
    assert!(
        text.contains(&format!("the active pepper of this store is {}", pepper().id()))
            && text.contains(wrong.id().as_str()),
        "{text}"
    );
    place.start();
}

#[test]
fn a_pepper_is_never_recorded_over_keys() {
    let place = File::new();
    place.start();
    place.shell().execute_batch("INSERT INTO archive (key_id, digest, pepper, realm, networks, created_at, archived_at)
        SELECT 'k_', zeroblob(32), id, 'default', '', 0, 0 FROM peppers; PRAGMA foreign_keys = OFF; DELETE FROM peppers;").unwrap();
    let error = Database::open(&place.path()).unwrap().start(&pepper().into()).unwrap_err();
    assert!(error.to_string().contains("none is active, but the store is not empty"), "{error}");
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let place = File::new();
    place.start();
    place.shell().execute_batch("PRAGMA user_version = 99").unwrap();
    let error = Database::open(&place.path()).unwrap_err();
    assert!(matches!(error, OpenError::File { fault: Unusable::Schema { found: 99, .. }, .. }), "{error}");
    assert!(error.to_string().contains("schema version 99"), "{error}");
    let version: i64 = place.shell().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 99);
}

#[test]
fn another_programs_database_is_refused_and_left_alone() {
    let place = File::new();
    place.shell().execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();
    let error = open_error(&place.path());
    assert!(error.contains("was not made by Sentinel"), "{error}");
    let tables: i64 = place.shell().query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
}

#[tokio::test]
async fn a_store_in_use_is_not_closed() {
    let place = File::new();
    let store = place.start();
    store.counts().await.unwrap();
    assert!(store.closed().now_or_never().is_none());
    let closed = store.closed();
    drop(store);
    closed.await;
}

#[tokio::test]
async fn the_one_row_of_many_that_cannot_be_read_is_named() {
    let place = File::new();
    let store = place.start();
    let keys = ["broken", "sound"].map(key);
    for key in &keys {
        bind(&store, key, "203.0.113.7").await;
    }
    let shell = place.shell();
    shell.execute_batch("PRAGMA ignore_check_constraints = ON; UPDATE audit SET kind = 'gossip' WHERE id = 1").unwrap();
    let id = keys[0].digest.new_id().to_string();
    shell.execute("UPDATE bindings SET state = 'owned' WHERE key_id = ?1", [id]).unwrap();
    crate::listing::names_what_it_cannot_read(&store, &keys[0]).await;
}

#[tokio::test]
async fn unreadable_values_are_corrupt_and_named() {
    let place = File::new();
    let store = place.start();
    let key = key("laptop");
    bind(&store, &key, "203.0.113.7").await;
    change(&store, &key, FOREVER).await;
    let shell = place.shell();
    shell.execute_batch("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF").unwrap();
    for (break_it, repair, name) in [
        ("UPDATE bindings SET state = 'loaned'", "UPDATE bindings SET state = 'learned'", "bindings.state"),
        (
            "UPDATE binding_networks SET network = '203.0.113.7/24'",
            "UPDATE binding_networks SET network = '203.0.113.7/32'",
            "binding_networks.network",
        ),
        ("UPDATE bans SET key_id = 'k_' || key_id", "UPDATE bans SET key_id = substr(key_id, 3)", "bans.key_id"),
    ] {
        shell.execute_batch(break_it).unwrap();
        let read = store.lookup(&key.digest.into()).await;
        assert!(matches!(&read, Err(StoreError::Corrupt(text)) if text.contains(name)), "{read:?}");
        let claimed = store.claim(claim(&key, "203.0.113.7", START)).await;
        assert!(matches!(&claimed, Err(StoreError::Corrupt(text)) if text.contains(name)), "{claimed:?}");
        let listed = store.list(ALL_KEYS).await;
        assert!(matches!(listed, Err(StoreError::Corrupt(_))), "{listed:?}");
        shell.execute_batch(repair).unwrap();
        store.lookup(&key.digest.into()).await.unwrap();
    }
    for (break_it, name) in [
        ("UPDATE audit SET kind = 'gossip'", "audit.kind"),
        ("UPDATE audit SET kind = 'ban', reason = 'whim'", "audit.reason"),
        ("UPDATE audit SET reason = NULL, count = -1", "audit.count"),
        ("UPDATE audit SET count = 1, network = 'here'", "audit.network"),
    ] {
        shell.execute_batch(break_it).unwrap();
        let read = store.audit(WHOLE_AUDIT).await;
        assert!(matches!(&read, Err(StoreError::Corrupt(text)) if text.contains(name)), "{read:?}");
    }
    shell.execute_batch("UPDATE changes SET digest = x'00'").unwrap();
    let read = store.changes_after(Revision(0)).await;
    assert!(matches!(&read, Err(StoreError::Corrupt(text)) if text.contains("changes.digest")), "{read:?}");
    shell.execute_batch("DELETE FROM revision").unwrap();
    let read = store.lookup(&key.digest.into()).await;
    assert!(matches!(&read, Err(StoreError::Corrupt(text)) if text.contains("revision")), "{read:?}");
}

#[tokio::test]
async fn a_strangers_lock_makes_writes_unavailable_until_it_is_gone() {
    let place = File::new();
    let store = place.start();
    let key = key("laptop");
    let shell = place.shell();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let claimed = store.claim(claim(&key, "203.0.113.7", START)).await;
    assert!(matches!(claimed, Err(StoreError::NotWritten(WriteObstacle::Passing, _))), "{claimed:?}");
    let target = Target::Key(key.clone());
    let applied = store.apply(Change::Key { target, action: FOREVER }, ADMIN, START).await;
    let unwritten = matches!(applied, Err(ChangeError::Store(StoreError::NotWritten(WriteObstacle::Passing, _))));
    assert!(unwritten, "{applied:?}");
    assert!(store.lookup(&key.digest.into()).await.unwrap().facts.is_empty(), "readers do not wait for writers");
    shell.execute_batch("ROLLBACK").unwrap();
    bind(&store, &key, "203.0.113.7").await;
}

/// Makes writes that carry the word `boom` fail as `how` says.
fn sabotage(place: &File, how: &str) {
    place
        .shell()
        .execute_batch(&format!(
            "CREATE TRIGGER sabotage BEFORE INSERT ON audit
             WHEN 'boom' IN (new.actor, new.detail, new.decision_id) BEGIN SELECT RAISE({how}, 'boom'); END"
        ))
        .unwrap();
}

fn boom(key: &Fingerprint) -> Claim {
    Claim { decision_id: "boom".into(), ..claim(key, "203.0.113.1", START) }
}

#[tokio::test]
async fn without_its_audit_record_nothing_happens() {
    let place = File::new();
    let store = place.start();
    let (bound, new) = (key("bound"), key("new"));
    bind(&store, &bound, "203.0.113.7").await;
    let before = store.lookup(&bound.digest.into()).await.unwrap();
    sabotage(&place, "ABORT");

    store.claim(boom(&new)).await.unwrap_err();
    assert_eq!(binding(&store, &new).await, None);
    for action in [Action::Reserve, Action::Open, FOREVER] {
        let change = Change::Key { target: Target::Key(bound.clone()), action };
        store.apply(change, "boom", START).await.unwrap_err();
        assert_eq!(store.lookup(&bound.digest.into()).await.unwrap(), before);
    }
    let [good] = &audit(&store, WHOLE_AUDIT).await[..] else { panic!("not one record") };
    let bad = key_ip_sentinel::domain::event::Record { detail: Some("boom".into()), ..good.clone() };
    let records = vec![good.clone(), good.clone(), bad];
    store.deliver(new_batch(), records).await.unwrap_err();
    assert_eq!(audit(&store, WHOLE_AUDIT).await.len(), 1, "all or none");
}

#[tokio::test]
async fn a_failure_in_a_batch_leaves_the_others_alone() {
    let place = File::new();
    let store = place.start();
    sabotage(&place, "ABORT");
    let keys: Vec<_> = (0..200).map(|number| key(&number.to_string())).collect();
    let claims = keys
        .iter()
        .zip(0..)
        .map(|(key, number)| store.claim(if number % 5 == 0 { boom(key) } else { claim(key, "203.0.113.1", START) }));
    for (number, answer) in (0..).zip(join_all(claims).await) {
        match answer {
            Ok(Claimed::Won { .. }) => assert_ne!(number % 5, 0),
            Err(StoreError::Corrupt(_)) => assert_eq!(number % 5, 0),
            other => panic!("{number}: {other:?}"),
        }
    }
    assert_eq!(store.counts().await.unwrap().learned, 160);
}

#[tokio::test]
async fn no_call_of_a_transaction_that_sqlite_rolled_back_succeeds() {
    let place = File::new();
    let store = place.start();
    sabotage(&place, "ROLLBACK");
    let keys: Vec<_> = (0..50).map(|number| key(&number.to_string())).collect();
    let claims = keys
        .iter()
        .zip(0..)
        .map(|(key, number)| store.claim(if number == 30 { boom(key) } else { claim(key, "203.0.113.1", START) }));
    let answers = join_all(claims).await;
    assert!(answers[30].is_err());
    for (key, answer) in keys.iter().zip(answers) {
        assert_eq!(binding(&store, key).await.is_some(), answer.is_ok(), "{answer:?}");
    }
    bind(&store, &key("after"), "203.0.113.1").await;
}

#[tokio::test]
async fn an_archived_key_keeps_its_name() {
    let place = File::new();
    let store = place.start();
    let key = key("archived");
    bind(&store, &key, "203.0.113.7").await;
    // What the archiving job will do, under an id that a digest of today no longer gives.
    place
        .shell()
        .execute_batch(
            "INSERT INTO archive (key_id, digest, pepper, realm, hint, networks, created_at, archived_at)
             SELECT 'k_0123456789abcdef0123456789abcdef', digest, pepper, realm, hint, '203.0.113.7/32', created_at, 9
             FROM bindings; DELETE FROM binding_networks; DELETE FROM bindings",
        )
        .unwrap();
    let id = "k_0123456789abcdef0123456789abcdef".parse().unwrap();
    for target in [Target::Id(prefix("01234567")), Target::Key(key.clone())] {
        let row = store.find(target.clone()).await.unwrap();
        assert_eq!((row.key_id, row.facts.is_empty()), (id, true));
        assert_eq!(refusal(&store, target.clone(), Action::Open).await, key_ip_sentinel::store::Refusal::NotBound(id));
        assert_eq!(refusal(&store, target, Action::Unban).await, key_ip_sentinel::store::Refusal::NotBanned(id));
    }
    assert_eq!(store.list(KeyQuery { ..ALL_KEYS }).await.unwrap(), []);

    let by_prefix = Change::Key { target: Target::Id(prefix("01234567")), action: FOREVER };
    let banned = store.apply(by_prefix, ADMIN, START).await.unwrap();
    assert_eq!((banned.key_id, banned.after.ban.clone().unwrap().hint), (id, key.hint.clone()));
    assert_eq!(store.lookup(&key.digest.into()).await.unwrap().facts, banned.after);
    change(&store, &key, Action::Unban).await;
    assert_eq!(bind(&store, &key, "198.51.100.9").await.facts.binding.unwrap().id, id);
}

/// An archived binding owns nothing: its pepper can be retired, and the archived row is deleted with it.
#[tokio::test]
async fn archived_rows_go_with_their_pepper_and_not_before() {
    let place = File::new();
    let store = place.start();
    bind(&store, &key("archived"), "203.0.113.7").await;
    let archive = "INSERT INTO archive (key_id, digest, pepper, realm, hint, networks, created_at, archived_at)
        SELECT key_id, digest, pepper, realm, hint, '203.0.113.7/32', created_at, 9 FROM bindings;
        DELETE FROM binding_networks; DELETE FROM bindings";
    place.shell().execute_batch(archive).unwrap();
    let next = Pepper::new(&[8; 32]).unwrap();
    let activate = Rotation::Activate { id: next.id(), check_value: *next.check_value() };
    store.rotate(activate, ADMIN, START).await.unwrap();
    drop(store);
    let error = Database::open(&place.path()).unwrap().start(&next.clone().into()).unwrap_err();
    assert!(error.to_string().contains("1 archived key), but not listed"), "{error}");

    let both = Peppers::new(vec![next.clone(), pepper()]).unwrap();
    let store = Database::open(&place.path()).unwrap().start(&both).unwrap();
    let retire = Rotation::Retire { id: pepper().id(), forget: false };
    let retired = store.rotate(retire, ADMIN, START).await.unwrap();
    let detail = retired.records[0].detail.clone().unwrap();
    assert!(detail.ends_with("; archived rows deleted: 1"), "{detail}");
    let rows: i64 = place.shell().query_row("SELECT count(*) FROM archive", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
    drop(store);
    Database::open(&place.path()).unwrap().start(&next.into()).unwrap();
}

/// More than a cache's window has room for: the newest of them, and from where on they are all.
#[tokio::test]
async fn of_too_many_changes_the_newest_are_returned() {
    let place = File::new();
    let store = place.start();
    let many = "BEGIN IMMEDIATE;
         WITH RECURSIVE number(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM number WHERE value < 100010)
         INSERT INTO changes (revision, digest, at) SELECT value, randomblob(32), unixepoch() * 1000 FROM number;
         UPDATE revision SET value = 100010; COMMIT;";
    place.shell().execute_batch(many).unwrap();
    for (applied, complete_from) in [(0, 10), (9, 10), (10, 10), (11, 11), (100_010, 100_010), (100_011, 10)] {
        let changes = store.changes_after(Revision(applied)).await.unwrap();
        assert_eq!(changes.complete_from, Revision(complete_from));
        let revisions: Vec<_> = changes.changed.iter().map(|(revision, _)| revision.0).collect();
        assert_eq!(revisions, (complete_from + 1..=100_010).collect::<Vec<_>>());
    }
}

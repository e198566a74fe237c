//! A store that answers and cannot be written: a full disk, a read-only database, a role without rights. What is known is
//! decided, what would be written is refused, everyone who asks is told, and the end is noticed without a restart.
//!
//! SQLite's disk is a real one that is full. PostgreSQL's is acted out by a trigger that fails as a full disk does.

use std::{
    fs::{self, DirBuilder},
    io::Write,
    os::unix::fs::DirBuilderExt,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{
    OWNER, answers,
    common::{Home, Sentinel, eventually, postgres::Postgres, sentinel},
    log_lines, metric, reason, replica,
};

const KNOWN: &str = "sk-known-0123456789";
const NEW: &str = "sk-new-0123456789";

/// Exit code and error of an operator's command with this key in a file.
fn with_key(sentinel: &Sentinel, key: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let file = sentinel.home().path().join("a-key");
    fs::write(&file, key).unwrap();
    let seen = sentinel.home().cli(&[arguments, &["--key-file", file.to_str().unwrap()]].concat());
    (seen.status.code(), String::from_utf8([seen.stderr, seen.stdout].concat()).unwrap())
}

/// What `explain` says of a request with this key, in JSON.
fn explained(sentinel: &Sentinel, key: &str) -> String {
    let socket = format!("unix:{}", sentinel.home().admin_socket().display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel"));
    command.env_clear().args(["--admin", &socket, "explain", "--peer", OWNER, "--output", "json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let head = format!("GET / HTTP/1.1\nhost: h\nauthorization: Bearer {key}\n\n");
    child.stdin.take().unwrap().write_all(head.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap().stdout;
    serde_json::from_slice::<serde_json::Value>(&out).unwrap()["verdict"]["reason"].as_str().unwrap().to_owned()
}

/// Cannot be written from `fail` to `mend`, because of `cause`, which `fix` ends.
async fn degraded(sentinel: &Sentinel, fail: impl AsyncFn(), mend: impl AsyncFn(), [cause, fix]: [&str; 2]) {
    assert_eq!(reason(sentinel, KNOWN, OWNER).await, "first_use");
    assert_eq!(explained(sentinel, NEW), "first_use");
    assert_eq!((sentinel.get("/readyz").await.1.as_str(), metric(sentinel, WRITABLE).await), ("ok\n", 1.0));
    fail().await;

    // The first of all to find out, so that what it says does not depend on an earlier failure.
    assert_eq!(explained(sentinel, NEW), "store_unavailable", "{cause}");
    for arguments in [&["bindings", "claim", OWNER][..], &["ban"]] {
        let (code, said) = with_key(sentinel, NEW, arguments);
        let store = sentinel.home().store().place();
        let expected = format!(
            "error: nothing was changed: the store {store} cannot be written: {cause}; {fix}, then repeat the command (no \
             restart is needed)\n"
        );
        assert_eq!((code, said), (Some(1), expected), "{arguments:?}");
    }
    assert_eq!(reason(sentinel, NEW, OWNER).await, "store_unavailable");
    assert_eq!(reason(sentinel, KNOWN, OWNER).await, "bound", "what is known is decided");
    let (status, body) = sentinel.get("/readyz").await;
    assert_eq!(status, 200, "{body}");
    assert!(body.starts_with(&format!("ok, but degraded: the store cannot be written: {cause}; ")), "{body}");
    assert!(sentinel.get("/healthz").await.1.contains(r#""writable":false"#));
    assert_eq!(metric(sentinel, WRITABLE).await, 0.0);
    let status = sentinel.home().cli(&["status"]);
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.lines().any(|line| line.starts_with("cannot write") && line.contains(cause)), "{status}");
    let warned = log_lines(sentinel, &["WARN", "the store cannot be written", cause, fix]);
    assert_eq!(warned.len(), 1, "{}", sentinel.log());

    mend().await;
    eventually("it is noticed", async || (sentinel.get("/readyz").await.1 == "ok\n").then_some(())).await;
    assert_eq!(metric(sentinel, WRITABLE).await, 1.0);
    assert_eq!(log_lines(sentinel, &["INFO", "the store can be written again"]).len(), 1);
    assert_eq!(explained(sentinel, NEW), "first_use");
    answers(sentinel, NEW, OWNER, "first_use").await;
    let (code, said) = with_key(sentinel, "sk-other-0123456789", &["bindings", "claim", OWNER]);
    assert_eq!(code, Some(0), "{said}");
    assert!(!String::from_utf8(sentinel.home().cli(&["status"]).stdout).unwrap().contains("cannot write"));
}

const WRITABLE: &str = "sentinel_store_writable";

/// A server whose data directory is a disk of its own, which only it can see, and that directory as others see it. It has
/// made its pepper itself, because `migrate` would not see the disk.
async fn on_a_small_disk() -> (Sentinel, PathBuf) {
    let home = sentinel().on_sqlite().unset("pepper.secrets");
    DirBuilder::new().mode(0o700).create(home.data_dir()).unwrap();
    let mount =
        format!("mount -t tmpfs -o size=2m,mode=0700 tmpfs {} && exec \"$0\" \"$@\"", home.data_dir().display());
    // A user other than root has a mount namespace only inside a user namespace.
    let flags = if nix::unistd::Uid::effective().is_root() { "-m" } else { "-rm" };
    let sentinel = home.under(&["unshare", flags, "/bin/sh", "-c", &mount]).start().await;
    let path = format!("/proc/{}/root{}", sentinel.pid(), sentinel.home().data_dir().display());
    (sentinel, path.into())
}

/// Sabotage: `Unavailable` for a failed COMMIT in src/store/sqlite/worker.rs. For the others: `53100` without an obstacle in
/// src/store/postgres/session.rs.
#[tokio::test]
async fn a_full_disk_under_sqlite() {
    let (sentinel, disk) = on_a_small_disk().await;
    let filler = disk.join("filler");
    let fill = async || {
        let mut file = fs::File::create(&filler).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    };
    let free = async || fs::remove_file(&filler).unwrap();
    degraded(&sentinel, fill, free, ["its disk is full", "free space on the disk that holds it"]).await;
    // A copy, because SQLite opens no path that leads through `/proc`; nothing writes meanwhile.
    let copy = sentinel.home().path().join("copy.db");
    fs::copy(disk.join("sentinel.db"), &copy).unwrap();
    fs::copy(disk.join("sentinel.db-wal"), copy.with_extension("db-wal")).unwrap();
    let rows = rusqlite::Connection::open(&copy).unwrap();
    let sound: String = rows.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    let keys: i64 = rows.query_row("SELECT count(*) FROM bindings", [], |row| row.get(0)).unwrap();
    assert_eq!((sound.as_str(), keys), ("ok", 3), "what was refused was not written");
    drop(rows);
    sentinel.stop().await;
}

async fn degraded_postgres(fail: &[&str], mend: &[&str], words: [&str; 2]) {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let sentinel: Home = replica(&url);
    let sentinel = sentinel.start().await;
    let run = async |statements: &[&str]| {
        for sql in statements {
            postgres.query(&url, sql).await;
        }
        if statements.iter().any(|sql| sql.contains("ALTER DATABASE")) {
            // A setting of the database is that of new sessions.
            postgres.end_sessions(&url).await;
            let sessions =
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
            let connects = async || (!postgres.query(&url, sessions).await.is_empty()).then_some(());
            eventually("it connects again", connects).await;
            let polls = async || (metric(&sentinel, "sentinel_store_cut_off_seconds").await == 0.0).then_some(());
            eventually("it polls again", polls).await;
        }
    };
    degraded(&sentinel, async || run(fail).await, async || run(mend).await, words).await;
    sentinel.stop().await;
}

#[tokio::test]
async fn a_full_disk_under_postgres() {
    let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         RAISE EXCEPTION 'could not extend file \"base/5/16384\": No space left on device' USING ERRCODE = '53100';
     END $$;
     CREATE TRIGGER full_disk BEFORE INSERT ON bindings EXECUTE FUNCTION full_disk();
     CREATE TRIGGER full_disk BEFORE INSERT ON bans EXECUTE FUNCTION full_disk();
     CREATE TRIGGER full_disk BEFORE INSERT ON audit EXECUTE FUNCTION full_disk()";
    let mend = "DROP FUNCTION full_disk CASCADE";
    degraded_postgres(&[full], &[mend], ["its disk is full", "free space on the disk that holds it"]).await;
}

#[tokio::test]
async fn a_read_only_database() {
    let only = |value: &str| {
        format!(
            "SET transaction_read_only = off; DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET \
             default_transaction_read_only = {value}', current_database()); END $$"
        )
    };
    let words = ["it is read-only", "make it writable, or point store.url to the primary"];
    degraded_postgres(&[&only("on")], &[&only("off")], words).await;
}

#[tokio::test]
async fn a_role_without_rights() {
    let words =
        ["its role has no right to write", "grant the role of store.url INSERT, UPDATE and DELETE on all tables"];
    for tables in ["bindings, bans, audit", "audit"] {
        let (revoke, grant) =
            (format!("REVOKE INSERT ON {tables} FROM sentinel"), format!("GRANT INSERT ON {tables} TO sentinel"));
        degraded_postgres(&[&revoke], &[&grant], words).await;
    }
}

//! No key and no pepper in anything that is written down: logs, database, metrics, audit, Envoy's logs.

mod search;

use std::{fs, io::ErrorKind, path::Path, process::Command};

use crate::common::{
    Encoding, PEPPER, Sentinel,
    database::Database,
    envoy::EnvoyConfig,
    eventually,
    http_client::Version,
    postgres::{PASSWORD, Postgres, program},
    sentinel,
    upstream::Upstream,
};
use search::{Form, Search};

/// Keys that are used well, used wrongly, and used where no key belongs.
const KEYS: [(&str, &str); 12] = [
    ("bound", "sk-bound-Q7w8E9r0T1y2U3i4O5p6"),
    ("refused", "sk-refused-A1s2D3f4G5h6J7k8"),
    ("banned", "sk-banned-Z1x2C3v4B5n6M7q8"),
    ("banned unseen", "sk-unseen-P0o9I8u7Y6t5R4e3"),
    ("reserved", "sk-reserved-L1k2J3h4G5f6D7s8"),
    ("first of two", "sk-first-M9n8B7v6C5x4Z3l2"),
    ("second of two", "sk-second-K1j2H3g4F5d6S7a8"),
    ("malformed", "sk-malformed!W1e2R3t4Y5u6I7"),
    ("in the query", "sk-query-X1c2V3b4N5m6L7k8"),
    ("unread carrier", "sk-unread-D1f2G3h4J5k6L7q8"),
    ("in no request", "sk-lost-B1n2M3q4W5e6R7t8"),
    ("short", "sk-8char"),
];

/// What follows [`PEPPER`].
const NEXT_PEPPER: &str = "the-next-pepper-Y2x4W6v8U0t1S3r5Q7p9";

fn key(name: &str) -> &'static str {
    KEYS.iter().find(|(of, _)| *of == name).unwrap().1
}

fn secrets() -> Search {
    let keys = KEYS.iter().map(|(name, key)| (*name, key.as_bytes()));
    let others = [("the pepper", PEPPER), ("the next pepper", NEXT_PEPPER), ("the password of the database", PASSWORD)];
    Search::new(keys.chain(others.map(|(name, secret)| (name, secret.as_bytes()))))
}

/// Every file below `folder`, with its name; but for what goes meanwhile, as what the audit has delivered does.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path.is_file() {
            match fs::read(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                content => files.push((path.display().to_string(), content.unwrap())),
            }
        }
    }
    files
}

/// All that PostgreSQL would give back.
const DUMP: &str = "the database, dumped";

/// Everything that the server writes or tells, named.
async fn sinks(sentinel: &Sentinel) -> Vec<(String, Vec<u8>)> {
    let mut sinks = files(&sentinel.home().data_dir());
    match sentinel.home().store() {
        Database::Sqlite(_) => {
            assert!(sinks.iter().any(|(name, _)| name.ends_with("sentinel.db")), "the database is searched");
            assert!(sinks.iter().any(|(name, _)| name.ends_with("-wal")), "the log of the database is searched");
        }
        Database::Postgres(url) => {
            let dump = Command::new(program("pg_dump")).env_clear().args(["--dbname", &url]).output().unwrap();
            assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
            sinks.push((DUMP.to_owned(), dump.stdout));
            sinks.push(("PostgreSQL's log".to_owned(), Postgres::shared().await.log().into_bytes()));
        }
    }
    for page in ["/metrics", "/healthz", "/readyz", "/livez"] {
        sinks.push((page.to_owned(), sentinel.get(page).await.1.into_bytes()));
    }
    for command in [["audit", "list"], ["audit", "export"], ["bindings", "list"], ["pepper", "list"]] {
        for output in ["table", "json"] {
            let done = sentinel.home().cli(&[&command[..], &["--output", output]].concat());
            assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
            sinks.push((format!("{command:?} {output}"), [done.stdout, done.stderr].concat()));
        }
    }
    sinks.push(("sentinel's log".to_owned(), sentinel.log().into_bytes()));
    sinks.push(("sentinel's standard output".to_owned(), sentinel.stdout().into_bytes()));
    sinks
}

fn assert_clean(sinks: &[(String, Vec<u8>)]) {
    let search = secrets();
    for (name, content) in sinks {
        let leaks = search.run(content);
        assert!(leaks.is_empty(), "{name}: {leaks:#?}");
    }
}

/// Uses every key in its way, in every spelling that the edge accepts or refuses.
async fn use_keys(sentinel: &Sentinel) {
    let admin = sentinel.admin().await;
    admin.ban(key("banned unseen")).await.unwrap();
    for encoding in Encoding::BOTH {
        let check = || sentinel.check().encoding(encoding).from("203.0.113.7");
        for name in ["bound", "refused", "banned", "banned unseen", "reserved", "short"] {
            check().key(key(name)).send().await;
            check().header("x-api-key", key(name)).send().await;
            check().key(key(name)).from("198.51.100.9").send().await;
            check().key(key(name)).on_pipe("/run/x").send().await;
            check().key(key(name)).extension("sentinel.x", key(name)).send().await;
        }
        check().header("authorization", format!("Basic {}", key("bound"))).send().await;
        check().key(key("first of two")).header("x-api-key", key("second of two")).send().await;
        check().key(key("first of two")).key(key("second of two")).send().await;
        check().header("authorization", [key("malformed").as_bytes(), b"\xff"].concat()).send().await;
        check().key(key("malformed")).send().await;
        check().path(&format!("/v1?key={}", key("in the query"))).send().await;
        check().key(key("bound")).header("x-goog-api-key", key("unread carrier")).send().await;
        check().method(key("in no request")).send().await;
        let whole = check().key(key("bound")).message();
        let mut cut = crate::common::grpc::frame(&prost::Message::encode_to_vec(&whole)).to_vec();
        cut.pop();
        sentinel.check().send_body(cut.into()).await;
    }
    admin.ban(key("banned")).await.unwrap();
    admin.unbind(key("reserved"), None).await.unwrap();
    for name in ["banned", "reserved"] {
        sentinel.check().key(key(name)).from("203.0.113.7").send().await;
    }
    // Refusals of the admin API and the command line repeat nothing either.
    admin.unban(key("in no request")).await.unwrap_err();
    admin.ban("sk-lost-B1n2M3q4W5e6R7t8 with a space").await.unwrap_err();
    let lock = sentinel.lock_store().await;
    sentinel.check().key(key("in no request")).from("203.0.113.7").send().await;
    for name in ["bound", "banned", "reserved", "malformed", "unread carrier"] {
        sentinel.check().key(key(name)).from("198.51.100.10").send().await;
    }
    // What the store does not take is written to the disk, where it can be read.
    let spilled = eventually("denials are on the disk", async || {
        let files = files(&sentinel.home().data_dir().join("audit"));
        files.iter().any(|(name, content)| name.ends_with(".spill") && !content.is_empty()).then_some(files)
    });
    assert_clean(&spilled.await);
    drop(lock);
}

/// Every step, of which the first comes too late for nobody and the last too early.
async fn rotate(sentinel: &Sentinel) {
    let admin = sentinel.admin().await;
    let peppers = admin.peppers().await.unwrap().peppers;
    let [old, new] = [&peppers[0].id, &peppers[1].id];
    admin.activate(new).await.unwrap();
    for (arguments, code) in [(vec!["activate", NEXT_PEPPER], 2), (vec!["retire", old], 1), (vec!["retire", new], 1)] {
        let done = sentinel.home().cli(&[&["pepper"], &arguments[..]].concat());
        assert_eq!(done.status.code(), Some(code), "{arguments:?}");
        assert_clean(&[(format!("pepper {arguments:?}"), [done.stdout, done.stderr].concat())]);
    }
    for name in ["bound", "banned"] {
        sentinel.check().key(key(name)).from("203.0.113.7").send().await;
    }
    eventually("a key has moved", async || {
        let peppers = admin.peppers().await.unwrap().peppers;
        (peppers[0].left?.bindings > 0).then_some(())
    })
    .await;
    let forgotten = sentinel.home().cli(&["pepper", "retire", old, "--forget", "--yes"]);
    assert!(forgotten.status.success());
}

/// Denials reach the audit in batches.
async fn audited(sentinel: &Sentinel) {
    let admin = sentinel.admin().await;
    eventually("every kind of denial is in the audit", async || {
        let records = admin.audit("denied").await.unwrap().records;
        let has = |reason: &str| records.iter().any(|record| record.reason == reason);
        ["ip_mismatch", "key_banned", "not_claimed", "malformed_key", "conflicting_keys"]
            .iter()
            .all(|it| has(it))
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn no_key_and_no_pepper_is_written_down_by_sentinel() {
    let both = format!("[\"{PEPPER}\", \"{NEXT_PEPPER}\"]");
    let sentinel = sentinel().set("log.level", "\"trace\"").set("pepper.secrets", &both).start().await;
    use_keys(&sentinel).await;
    rotate(&sentinel).await;
    audited(&sentinel).await;
    assert_clean(&sinks(&sentinel).await);
    let home = sentinel.stop().await;
    assert_clean(&files(&home.data_dir()));
}

#[tokio::test]
async fn the_pepper_that_sentinel_makes_is_in_its_one_file_only() {
    // Replicas are given theirs.
    let sentinel = sentinel().on_sqlite().unset("pepper.secrets").start().await;
    sentinel.check().key(key("bound")).from("203.0.113.7").send().await;
    let file = sentinel.home().data_dir().join("pepper");
    let pepper = fs::read_to_string(&file).unwrap();
    let pepper = pepper.trim();
    // The secret may be the text or the bytes that the text's digits write.
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = pepper.as_bytes().chunks(2).map(digits).collect();
    let bytes = bytes.unwrap_or_default();
    let search =
        Search::new([("text", pepper.as_bytes()), ("bytes", &bytes)].into_iter().filter(|(_, it)| !it.is_empty()));
    for (name, content) in sinks(&sentinel).await {
        let is_its_file = Path::new(&name) == file;
        assert_eq!(search.run(&content).iter().any(|leak| leak.form == Form::Plain), is_its_file, "{name}");
        assert!(is_its_file || search.run(&content).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn no_key_is_written_down_by_envoy_on_the_shipped_config() {
    let sentinel = sentinel().on_unix_socket().start().await;
    let upstream = Upstream::start().await;
    let envoy = EnvoyConfig::shipped().start(&sentinel, &upstream).await;
    for (nth, version) in Version::BOTH.into_iter().enumerate() {
        let path = |name: &str| format!("/{nth}/{name}?key={}&api_key={}", key("in the query"), key("in the query"));
        let call = |name: &str| envoy.call(version, &path(name));
        call("bound").key(key("bound")).send().await;
        call("refused").key(key("bound")).from("127.0.0.2").send().await;
        call("two").key(key("first of two")).header("x-api-key", key("second of two")).send().await;
        call("malformed").key(key("malformed")).send().await;
        call("unread").key(key("bound")).header("x-goog-api-key", key("unread carrier")).send().await;
        call("query-only").header("referer", format!("http://x/?key={}", key("in the query"))).send().await;
        call("agent").header("user-agent", key("in no request")).send().await;
        for name in ["bound", "refused", "two", "malformed", "unread", "query-only", "agent"] {
            envoy.entry(&format!("/{nth}/{name}")).await;
        }
    }
    let (access_log, log) = envoy.stop().await;
    let envoys =
        [("envoy's access log".to_owned(), access_log.into_bytes()), ("envoy's log".to_owned(), log.into_bytes())];
    assert_clean(&envoys);
    assert_clean(&sinks(&sentinel).await);
}

#[tokio::test]
async fn a_leak_planted_in_the_database_is_found() {
    let sentinel = sentinel().start().await;
    sentinel.check().key(key("bound")).from("203.0.113.7").send().await;
    let plant = format!("UPDATE bindings SET hint = '{}'", &key("bound")[5..17]);
    sentinel.home().store().query(&plant).await;
    let sinks = sinks(&sentinel).await;
    let search = secrets();
    let found: Vec<&str> =
        sinks.iter().filter(|(_, content)| !search.run(content).is_empty()).map(|(name, _)| name.as_str()).collect();
    assert!(found.iter().any(|name| name.ends_with("-wal") || *name == DUMP), "{found:?}");
    assert!(found.iter().any(|name| name.contains("bindings")), "{found:?}");
}

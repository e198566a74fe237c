//! One version takes over the data of the other: SQLite's file, what waits on the disk, and an export.

use std::path::Path;

use crate::{
    THIS, before, cli,
    common::{Home, Sentinel, eventually, sentinel},
    knows_better_than_to_start,
};

const OWNED: &str = "sk-owned-0123456789";
const BANNED: &str = "sk-banned-0123456789";
const LATER: &str = "sk-later-0123456789";
const OWNER: &str = "203.0.113.7";
const THIEF: &str = "198.51.100.66";

async fn reason(sentinel: &Sentinel, key: &str, from: &str) -> String {
    sentinel.check().key(key).from(from).send().await.reason().to_owned()
}

async fn remembers(sentinel: &Sentinel, key: &str) {
    assert_eq!(reason(sentinel, key, OWNER).await, "bound");
    assert_eq!(reason(sentinel, key, THIEF).await, "ip_mismatch");
    assert_eq!(reason(sentinel, BANNED, OWNER).await, "key_banned");
}

async fn denials(home: &Home) -> i64 {
    home.store().number("SELECT coalesce(sum(count), 0) FROM audit WHERE kind = 'denied'").await
}

/// Whether a denial waits on the disk.
async fn waits(sentinel: &Sentinel) -> bool {
    let (_, page) = sentinel.get("/metrics").await;
    let bytes = page.lines().find_map(|line| line.strip_prefix("sentinel_audit_spill_bytes ")).unwrap();
    bytes != "0"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn this_version_goes_on_where_a_killed_one_stopped_and_the_other_goes_on_after_it() {
    let old = sentinel().on_sqlite().running(before()).start().await;
    assert_eq!(reason(&old, OWNED, OWNER).await, "first_use");
    old.admin().await.ban(BANNED).await.unwrap();
    let old_schema = old.home().store().number("PRAGMA user_version").await;
    let lock = old.lock_store().await;
    assert_eq!(reason(&old, OWNED, THIEF).await, "ip_mismatch");
    eventually("a denial waits on the disk", async || waits(&old).await.then_some(())).await;
    let home = old.kill();
    drop(lock);

    let new = home.running(Path::new(THIS)).start().await;
    eventually("what waited is delivered", async || (denials(new.home()).await == 1).then_some(())).await;
    let gap = async || (new.admin().await.audit("gap").await.unwrap().records.len() == 1).then_some(());
    eventually("the gap is told", gap).await;
    remembers(&new, OWNED).await;
    assert_eq!(reason(&new, LATER, OWNER).await, "first_use");
    let home = new.stop().await.running(before());
    if home.store().number("PRAGMA user_version").await != old_schema {
        return knows_better_than_to_start(&home).await;
    }
    let old = home.start().await;
    for key in [OWNED, LATER] {
        remembers(&old, key).await;
    }
    old.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_imports_what_the_other_exported() {
    for (from, to) in [(before(), Path::new(THIS)), (Path::new(THIS), before())] {
        let source = sentinel().on_sqlite().running(from).start().await;
        assert_eq!(reason(&source, OWNED, OWNER).await, "first_use");
        source.admin().await.ban(BANNED).await.unwrap();
        let file = source.home().path().join("keys.jsonl");
        cli(from, source.home(), &["bindings", "export", file.to_str().unwrap()]);
        let target = sentinel().on_sqlite().running(to).start().await;
        cli(to, target.home(), &["bindings", "import", file.to_str().unwrap()]);
        target.catches_up().await;
        remembers(&target, OWNED).await;
        source.stop().await;
        target.stop().await;
    }
}

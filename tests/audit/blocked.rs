//! The real server, while its store or its disk takes nothing.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;

use common::{Home, Sentinel};

use super::*;

const KEY: &str = "sk-owned-0123456789";
const OWNER: &str = "203.0.113.7";

async fn metric(sentinel: &Sentinel, series: &str) -> u64 {
    let (_, text) = sentinel.get("/metrics").await;
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
}

async fn events(sentinel: &Sentinel, outcome: &str) -> u64 {
    metric(sentinel, &format!("sentinel_audit_events_total{{outcome=\"{outcome}\"}}")).await
}

/// The sum of the counts of all denials.
async fn in_store(home: &Home) -> u64 {
    home.store().number("SELECT coalesce(sum(count), 0) FROM audit WHERE kind = 'denied'").await as u64
}

/// Waits until the log has all of these words.
async fn wait_for_log(sentinel: &Sentinel, words: &[&str]) {
    let logged = async || words.iter().all(|word| sentinel.log().contains(word)).then_some(());
    eventually(&format!("the log has {words:?}"), logged).await;
}

async fn deny(sentinel: &Sentinel, from: &str) {
    assert_eq!(sentinel.check().key(KEY).from(from).send().await.reason(), "ip_mismatch");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_blocked_for_twenty_seconds_misses_no_denial() {
    const PER_SECOND: u64 = 100;
    let sentinel = sentinel().start().await;
    assert_eq!(sentinel.check().key(KEY).from(OWNER).send().await.reason(), "first_use");
    let mut tick = tokio::time::interval(Duration::from_secs(1) / PER_SECOND as u32);
    let mut lock = None;
    // Three seconds before the lock, twenty under it, three after it, at this rate throughout.
    for nth in 0..26 * PER_SECOND {
        tick.tick().await;
        match nth / PER_SECOND {
            3 if lock.is_none() => lock = Some(sentinel.lock_store().await),
            23 => lock = None,
            _ => {}
        }
        deny(&sentinel, &format!("198.51.100.{}", nth % 20)).await;
        if nth == 20 * PER_SECOND {
            let waits = async || (metric(&sentinel, "sentinel_audit_spill_bytes").await > 0).then_some(());
            eventually("what the store does not take is on the disk", waits).await;
            assert_eq!(sentinel.check().key(KEY).from(OWNER).send().await.reason(), "bound");
        }
    }
    eventually("all is delivered", async || (in_store(sentinel.home()).await == 26 * PER_SECOND).then_some(())).await;
    eventually("all is counted", async || (events(&sentinel, "stored").await == 26 * PER_SECOND).then_some(())).await;
    assert_eq!(events(&sentinel, "lost").await, 0);
    eventually("nothing waits", async || (metric(&sentinel, "sentinel_audit_spill_bytes").await == 0).then_some(()))
        .await;
    wait_for_log(&sentinel, &["the store does not accept audit records", "the store accepts audit records again"])
        .await;
    let home = sentinel.stop().await;
    assert_eq!(in_store(&home).await, 26 * PER_SECOND, "and nothing twice");
}

/// A server whose folder for what waits is a disk of its own, of 128 KiB, which only it can see.
fn on_a_small_disk() -> Home {
    let home = sentinel();
    let folder = home.data_dir().join("audit");
    DirBuilder::new().mode(0o700).recursive(true).create(&folder).unwrap();
    let mount = format!("mount -t tmpfs -o size=128k,mode=0700 tmpfs {} && exec \"$0\" \"$@\"", folder.display());
    // A user other than root has a mount namespace only inside a user namespace.
    let flags = if nix::unistd::Uid::effective().is_root() { "-m" } else { "-rm" };
    home.under(&["unshare", flags, "/bin/sh", "-c", &mount])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_a_loss_that_is_counted_and_no_stop() {
    const DENIALS: u64 = 1_500;
    let sentinel = on_a_small_disk().start().await;
    assert_eq!(sentinel.check().key(KEY).from(OWNER).send().await.reason(), "first_use");
    deny(&sentinel, "192.0.2.1").await;
    let lock = sentinel.lock_store().await;
    for nth in 0..DENIALS {
        deny(&sentinel, &format!("10.0.{}.{}", nth / 250, nth % 250)).await;
        if nth == 100 {
            // A fast machine would make one batch of them all, and a batch that does not fit is lost whole.
            let waits = async || (metric(&sentinel, "sentinel_audit_spill_bytes").await > 0).then_some(());
            eventually("the first of them are on the disk", waits).await;
        }
    }
    eventually("the disk is full", async || (events(&sentinel, "lost").await > 0).then_some(())).await;
    assert_eq!(sentinel.check().key(KEY).from(OWNER).send().await.reason(), "bound", "it still decides");
    drop(lock);
    let accounts = async || (events(&sentinel, "stored").await, events(&sentinel, "lost").await);
    eventually("every denial is accounted for", async || {
        let (stored, lost) = accounts().await;
        (stored + lost == DENIALS + 1).then_some(())
    })
    .await;
    let (stored, lost) = accounts().await;
    assert!(lost < DENIALS && in_store(sentinel.home()).await == stored, "{stored} stored, {lost} lost");
    // With room again, nothing more is lost.
    deny(&sentinel, "192.0.2.2").await;
    eventually("the next is stored", async || (events(&sentinel, "stored").await == stored + 1).then_some(())).await;
    assert_eq!(events(&sentinel, "lost").await, lost);
    wait_for_log(&sentinel, &["No space left on device", "denials are missing from the audit"]).await;
    let log = sentinel.log();
    assert!(!log.contains("is damaged"), "what was only half written is not there: {log}");
    sentinel.stop().await;
}

#[tokio::test]
async fn what_is_no_segment_is_logged_and_keeps_no_server_from_starting() {
    let home = sentinel();
    let folder = home.data_dir().join("audit");
    DirBuilder::new().mode(0o700).recursive(true).create(&folder).unwrap();
    fs::write(folder.join("00000000000000000001.spill"), "garbage".repeat(100)).unwrap();
    let sentinel = home.start().await;
    let aside = folder.join("00000000000000000001.damaged");
    eventually("it is aside", async || aside.exists().then_some(())).await;
    eventually("it is logged", async || sentinel.log().contains("a spilled audit segment is damaged").then_some(()))
        .await;
    sentinel.stop().await;
}

#[tokio::test]
async fn masked_denials_name_the_network_around_the_client_everywhere() {
    let sentinel = sentinel().set("audit.mask_addresses", "true").start().await;
    assert_eq!(sentinel.check().key(KEY).from(OWNER).send().await.reason(), "first_use");
    let lock = sentinel.lock_store().await;
    for from in ["198.51.100.77", "198.51.100.99", "2001:db8:1:2::77"] {
        deny(&sentinel, from).await;
    }
    eventually("it is on the disk", async || (metric(&sentinel, "sentinel_audit_spill_bytes").await > 0).then_some(()))
        .await;
    let segments = fs::read_dir(sentinel.home().data_dir().join("audit")).unwrap();
    let spilled: String =
        segments.map(|entry| String::from_utf8_lossy(&fs::read(entry.unwrap().path()).unwrap()).into_owned()).collect();
    drop(lock);
    eventually("all is delivered", async || (in_store(sentinel.home()).await == 3).then_some(())).await;
    let records = sentinel.admin().await.audit("").await.unwrap().records;
    let mut networks = BTreeMap::new();
    for record in &records {
        // Between two denials of one network may be a flush.
        *networks.entry(record.network.as_str()).or_insert(0) += record.count;
    }
    let expected = [("203.0.113.7/32", 1), ("198.51.100.0/24", 2), ("2001:db8:1::/48", 1)];
    assert_eq!(networks, BTreeMap::from(expected), "an owner is reported exactly");
    let unbound = sentinel.admin().await.unbind(KEY, None).await.unwrap();
    let refused: Vec<_> = unbound.refused.iter().map(|refused| refused.network.as_str()).collect();
    assert_eq!(refused, ["198.51.100.0/24", "2001:db8:1::/48"]);
    wait_for_log(&sentinel, &["198.51.100.0/24"]).await;
    let exported = sentinel.home().cli(&["audit", "export"]);
    let sinks = [spilled, sentinel.log(), String::from_utf8(exported.stdout).unwrap()];
    for sink in sinks {
        assert!(sink.contains("198.51.100.0/24"), "{sink}");
        for exact in ["198.51.100.77", "198.51.100.99", "2001:db8:1:2"] {
            assert!(!sink.contains(exact), "{exact}: {sink}");
        }
    }
    sentinel.stop().await;
}

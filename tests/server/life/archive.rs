//! Last use, the archive, and what comes after it.

use std::time::Duration;

use super::{KEY, reason};
use crate::common::{Home, Sentinel, eventually, sentinel};

const OWNER: &str = "203.0.113.7";
const OTHER: &str = "198.51.100.9";

/// Whether the store knows of a use and of a refusal.
async fn life(home: &Home) -> [bool; 2] {
    let rows = home.store().query("SELECT used_at, refused_at FROM bindings").await;
    [0, 1].map(|cell| !rows[0][cell].is_empty())
}

#[tokio::test]
async fn the_last_use_and_the_last_refusal_are_written_by_the_batch() {
    let sentinel = sentinel().start().await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
    assert_eq!(life(sentinel.home()).await, [false, false], "not on the request's path");
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "bound");
    assert_eq!(reason(&sentinel, KEY, OTHER).await, "ip_mismatch");
    eventually("the batch is written", async || (life(sentinel.home()).await == [true, true]).then_some(())).await;
}

#[tokio::test]
async fn a_clean_stop_writes_what_is_left() {
    let sentinel = sentinel().start().await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "bound");
    let home = sentinel.stop().await;
    assert_eq!(life(&home).await, [true, false]);
}

/// Another replica archives what nobody seems to use.
#[tokio::test]
async fn who_cannot_write_the_last_use_warns_once_and_tells_when_it_can_again() {
    let sentinel = sentinel().start().await;
    let failures = r#"sentinel_store_request_duration_seconds_count{operation="note_uses",outcome="error"} "#;
    let failed = async || {
        let page = sentinel.get("/metrics").await.1;
        page.lines().find_map(|line| line.strip_prefix(failures)?.parse().ok()).unwrap_or(0)
    };
    let told = |words: [&str; 2]| {
        sentinel.log().lines().filter(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned).collect()
    };
    sentinel.home().store().query("ALTER TABLE bindings RENAME COLUMN refused_at TO was_refused_at").await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "bound");
    eventually("it has failed more than once", async || (failed().await > 1).then_some(())).await;
    let warnings: Vec<String> = told(["WARN", "times of last use"]);
    assert!(warnings.len() == 1 && warnings[0].contains("binding.archive_after"), "{}", sentinel.log());
    assert!(warnings[0].contains("refused_at"), "the cause is named: {warnings:?}");
    sentinel.home().store().query("ALTER TABLE bindings RENAME COLUMN was_refused_at TO refused_at").await;
    eventually("it is written", async || (life(sentinel.home()).await == [true, false]).then_some(())).await;
    eventually("it is told", async || (told(["INFO", "times of last use"]).len() == 1).then_some(())).await;
}

/// As if it had been made, used and refused so many days ago.
async fn age(home: &Home, days: u64) {
    let days = home.store().span(Duration::from_hours(24 * days));
    let sql = ["created_at", "used_at", "refused_at"].map(|at| format!("{at} = {at} - {days}")).join(", ");
    home.store().query(&format!("UPDATE bindings SET {sql}")).await;
}

#[tokio::test]
async fn what_was_not_used_for_long_is_archived_and_its_next_first_use_wins() {
    let sentinel = sentinel().start().await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "bound");
    let home = sentinel.stop().await;
    age(&home, 89).await;
    let sentinel = home.start().await;
    assert_eq!(reason(&sentinel, KEY, OTHER).await, "ip_mismatch", "90 days are not over");
    let home = sentinel.stop().await;
    age(&home, 91).await;
    let sentinel = home.start().await;
    eventually("the job has archived it", async || {
        let records = sentinel.admin().await.audit("archived").await.unwrap().records;
        (records.len() == 1).then_some(())
    })
    .await;
    assert_eq!(reason(&sentinel, KEY, OTHER).await, "first_use");
    let records = sentinel.admin().await.audit("first_use").await.unwrap().records;
    assert!(records[0].detail.contains("owned by 203.0.113.7/32"), "{:?}", records[0]);
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "ip_mismatch");
}

/// As if the clock were set `days` ahead, or back: every time in the store is that much older, or newer.
async fn set_clock(home: &Home, sign: &str, days: u64) {
    let days = home.store().span(Duration::from_hours(24 * days));
    let set = |at: &str| format!("{at} = {at} {sign} {days}");
    let bindings = ["created_at", "used_at", "refused_at"].map(set).join(", ");
    home.store().query(&format!("UPDATE bindings SET {bindings}")).await;
    home.store().query(&format!("UPDATE bans SET {}, {}", set("created_at"), set("until"))).await;
    home.store().query(&format!("UPDATE running SET {}", set("ran_at"))).await;
    home.store().query(&format!("UPDATE pauses SET {}", set("ended_at"))).await;
}

/// Waits until the job has looked for unused bindings, and returns the number of pauses.
async fn job_ran(sentinel: &Sentinel) -> usize {
    let runs = r#"sentinel_store_request_duration_seconds_count{operation="archive",outcome="ok"} "#;
    eventually("the job has run", async || {
        let page = sentinel.get("/metrics").await.1;
        let runs: u64 = page.lines().find_map(|line| line.strip_prefix(runs)?.parse().ok()).unwrap_or(0);
        (runs >= 2).then_some(())
    })
    .await;
    sentinel.home().store().query("SELECT ended_at FROM pauses").await.len()
}

/// 500 of 500 idle keys went to the next caller after a start with a clock that was 91 days ahead for 3 s. A restored
/// snapshot that is 91 days old looks the same.
#[tokio::test]
async fn a_clock_that_is_ahead_and_an_old_snapshot_give_no_key_away() {
    let sentinel = sentinel().start().await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
    assert_eq!(job_ran(&sentinel).await, 0);
    let home = sentinel.stop().await;
    set_clock(&home, "-", 91).await;
    let sentinel = home.start().await;
    assert_eq!(job_ran(&sentinel).await, 1);
    assert_eq!(reason(&sentinel, KEY, OTHER).await, "ip_mismatch", "the idle key has its owner");
    let home = sentinel.stop().await;
    set_clock(&home, "+", 91).await;
    let sentinel = home.start().await;
    assert_eq!(job_ran(&sentinel).await, 0, "the pause was none");
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "bound");
    // What is unused for 90 days of running is archived as ever. The refusal was recorded by the clock that was ahead.
    let home = sentinel.stop().await;
    age(&home, 182).await;
    let sentinel = home.start().await;
    eventually("the job has archived it", async || {
        (sentinel.admin().await.audit("archived").await.unwrap().records.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_clock_that_is_ahead_ends_no_ban() {
    let mut sentinel = sentinel().start().await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
    let id = sentinel.admin().await.keys().await.unwrap().keys[0].key_id.clone();
    assert!(sentinel.home().cli(&["ban", &id, "--for", "30days"]).status.success());
    assert_eq!(job_ran(&sentinel).await, 0);
    for (sign, pauses) in [("-", 1), ("+", 0)] {
        let home = sentinel.stop().await;
        set_clock(&home, sign, 91).await;
        sentinel = home.start().await;
        assert_eq!(reason(&sentinel, KEY, OWNER).await, "key_banned");
        assert_eq!(job_ran(&sentinel).await, pauses);
        assert_eq!(reason(&sentinel, KEY, OWNER).await, "key_banned");
    }
}

#[tokio::test]
async fn a_ban_on_an_archived_binding_is_obeyed() {
    let sentinel = sentinel().start().await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
    let home = sentinel.stop().await;
    age(&home, 91).await;
    let sentinel = home.start().await;
    let admin = sentinel.admin().await;
    eventually("the job has archived it", async || {
        (admin.audit("archived").await.unwrap().records.len() == 1).then_some(())
    })
    .await;
    admin.ban(KEY).await.unwrap();
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "key_banned");
    admin.unban(KEY).await.unwrap();
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
}

#[tokio::test]
async fn archive_after_zero_is_never() {
    let sentinel = sentinel().start().await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
    let home = sentinel.stop().await;
    age(&home, 3000).await;
    let sentinel = home.set("binding.archive_after", "\"0s\"").start().await;
    // A job that does not run cannot be awaited; one that does has looked before it serves a second request.
    for _ in 0..20 {
        assert_eq!(reason(&sentinel, KEY, OWNER).await, "bound");
    }
    assert!(sentinel.admin().await.audit("archived").await.unwrap().records.is_empty());
}

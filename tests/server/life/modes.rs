//! `mode` and `sentinel.mode`: what binds, and what is only told.

use super::{KEY, ask, reason, would_deny};
use crate::common::{Sentinel, eventually, sentinel};

const OWNER: &str = "203.0.113.7";
const OTHER: &str = "198.51.100.9";

async fn metric(sentinel: &Sentinel, series: &str) -> f64 {
    let (_, page) = sentinel.get("/metrics").await;
    let line = page.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("no {series}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn observe_lets_everything_through_and_tells_what_it_would_do() {
    let sentinel = sentinel().set("mode", "\"observe\"").start().await;
    for (ip, expected, denies) in [
        (OWNER, "first_use", false),
        (OWNER, "bound", false),
        (OTHER, "ip_mismatch", true),
        (OTHER, "ip_mismatch", true),
        (OWNER, "bound", false),
        ("169.254.1.1", "unclaimable_network", true),
    ] {
        let answer = ask(&sentinel, KEY, ip).await;
        assert_eq!((answer.reason(), answer.is_allow(), would_deny(&answer)), (expected, true, denies), "{ip}");
        assert_eq!(answer.mode(), "observe");
    }
    let check = || sentinel.check().from(OWNER);
    let faults = [
        (check(), "no_key"),
        (check().header("authorization", "Basic eDp5"), "malformed_key"),
        (check().key(KEY).header("x-api-key", "sk-another-0123456789ab"), "conflicting_keys"),
        (check().key(KEY).on_pipe("/run/client.sock"), "client_ip_unknown"),
    ];
    for (check, expected) in faults {
        let answer = check.send().await;
        assert_eq!((answer.reason(), answer.is_allow(), would_deny(&answer)), (expected, true, true));
    }
    let malformed = check().key(KEY).extension("sentinel.x", "1").send().await;
    assert_eq!((malformed.reason(), malformed.is_allow()), ("malformed_request", false));

    let status = sentinel.admin().await.status().await.unwrap();
    assert_eq!(status.learned, Some(0), "observe owns nothing");
    let series = "sentinel_checks_total{decision=\"allow\",reason=\"ip_mismatch\",mode=\"observe\"}";
    assert_eq!(metric(&sentinel, series).await, 2.0);
    eventually("what would be denied is in the audit", async || {
        let records = sentinel.admin().await.audit("would_deny").await.unwrap().records;
        let of_other: u64 =
            records.iter().filter(|record| record.network == "198.51.100.9/32").map(|record| record.count).sum();
        (of_other == 2).then_some(())
    })
    .await;
    assert!(
        sentinel.admin().await.audit("denied").await.unwrap().records.iter().all(|it| it.reason == "malformed_request")
    );
}

#[tokio::test]
async fn a_ban_binds_in_observe_mode_too_and_is_audited() {
    let sentinel = sentinel().set("mode", "\"observe\"").start().await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
    sentinel.admin().await.ban(KEY).await.unwrap();
    let answer = ask(&sentinel, KEY, OWNER).await;
    assert_eq!((answer.reason(), answer.is_allow(), would_deny(&answer)), ("key_banned", false, false));
    sentinel.admin().await.unban(KEY).await.unwrap();
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "bound", "unban leaves exactly what was there");
    assert_eq!(reason(&sentinel, KEY, OTHER).await, "ip_mismatch");
}

#[tokio::test]
async fn observe_lets_through_what_a_lost_store_cannot_decide() {
    let sentinel = sentinel().set("mode", "\"observe\"").set("check_deadline", "\"200ms\"").start().await;
    let lock = sentinel.lock_store().await;
    let answer = ask(&sentinel, KEY, OWNER).await;
    assert!(answer.is_allow() && would_deny(&answer), "{answer:?}");
    assert!(["store_unavailable", "deadline_exceeded"].contains(&answer.reason()), "{answer:?}");
    drop(lock);
}

#[tokio::test]
async fn a_routes_mode_beats_the_global_one_both_ways() {
    for global in ["enforce", "observe", "off"] {
        let sentinel = sentinel().start().await;
        assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
        let sentinel = sentinel.stop().await.set("mode", &format!("{global:?}")).start().await;
        for (route, expected, allowed, denies) in [
            ("enforce", "ip_mismatch", false, false),
            ("observe", "ip_mismatch", true, true),
            ("off", "mode_off", true, false),
        ] {
            let answer = sentinel.check().key(KEY).from(OTHER).extension("sentinel.mode", route).send().await;
            let told = (answer.reason(), answer.is_allow(), would_deny(&answer), answer.mode());
            assert_eq!(told, (expected, allowed, denies, route), "global {global}");
        }
        let unknown = sentinel.check().key(KEY).from(OWNER).extension("sentinel.mode", "on").send().await;
        assert_eq!((unknown.reason(), unknown.is_allow()), ("malformed_request", false));
    }
}

#[tokio::test]
async fn off_judges_nothing_and_writes_nothing() {
    let sentinel = sentinel().set("mode", "\"off\"").start().await;
    let check = || sentinel.check().from(OWNER);
    for check in [check().key(KEY), check(), check().header("authorization", "Basic eDp5"), check().on_pipe("/x.sock")]
    {
        let answer = check.send().await;
        assert_eq!((answer.reason(), answer.is_allow(), answer.mode()), ("mode_off", true, "off"));
    }
    sentinel.admin().await.ban(KEY).await.unwrap();
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "mode_off");
    let malformed = check().key(KEY).extension("sentinel.x", "1").send().await;
    assert_eq!((malformed.reason(), malformed.is_allow()), ("malformed_request", false));
    assert_eq!(sentinel.admin().await.status().await.unwrap().learned, Some(0));
}

#[tokio::test]
async fn what_was_bound_before_is_judged_by_its_binding_and_joined_by_nobody() {
    let wide = |home: crate::common::Home| home.set("binding.max_networks", "2").set("binding.learn_window", "\"1h\"");
    let sentinel = wide(sentinel()).start().await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
    let sentinel = wide(sentinel.stop().await).set("mode", "\"observe\"").start().await;
    let joins = ask(&sentinel, KEY, OTHER).await;
    assert_eq!((joins.reason(), would_deny(&joins)), ("network_added", false), "enforcing would add it");
    let networks = "SELECT count(*) FROM binding_networks";
    assert_eq!(sentinel.home().store().number(networks).await, 1, "observing does not");
}

/// Behind one busy address the owner was limited and the thief was seen: `promote` would have made the thief the owner.
#[tokio::test]
async fn who_comes_second_to_an_observed_key_is_not_limited() {
    let sentinel = sentinel().set("mode", "\"observe\"").set("claims.per_network", "\"1/d\"").start().await;
    assert_eq!(reason(&sentinel, KEY, OTHER).await, "first_use");
    assert_eq!(reason(&sentinel, "sk-another-0123456789", OWNER).await, "first_use");
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "ip_mismatch", "its budget is spent, and it is seen all the same");
    assert_eq!(reason(&sentinel, "sk-a-third-0123456789", OWNER).await, "claim_limited");
    let seen = "SELECT count(*) FROM candidates WHERE network = '203.0.113.7/32'";
    assert_eq!(sentinel.home().store().number(seen).await, 2);
}

#[tokio::test]
async fn a_first_use_tells_who_was_seen_with_the_key_before() {
    let sentinel = sentinel().set("mode", "\"observe\"").start().await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
    let sentinel = sentinel.stop().await.set("mode", "\"enforce\"").start().await;
    assert_eq!(reason(&sentinel, KEY, OTHER).await, "first_use");
    let records = sentinel.admin().await.audit("first_use").await.unwrap().records;
    assert_eq!(records[0].detail, "was observed from 203.0.113.7/32");
}

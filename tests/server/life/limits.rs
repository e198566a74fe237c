//! `claims.*`: what a flood of new keys costs, and whom.

use futures_util::future::join_all;

use super::{KEY, ask, reason};
use crate::common::{eventually, sentinel};

fn new_key(number: usize) -> String {
    format!("sk-flood-{number:04}-0123456789")
}

#[tokio::test]
async fn a_network_claims_thirty_keys_a_minute_by_default() {
    let sentinel = sentinel().unset("claims.per_network").start().await;
    // All at once: one after the other a slow machine would claim them all, as one claim comes back every two seconds.
    let ask = async |number| (new_key(number), ask(&sentinel, &new_key(number), "203.0.113.7").await);
    let answers = join_all((0..60).map(ask)).await;
    let told = |reason: &str| answers.iter().filter(|(_, answer)| answer.reason() == reason).collect::<Vec<_>>();
    let (claimed, limited) = (told("first_use"), told("claim_limited"));
    assert_eq!(claimed.len() + limited.len(), 60, "{answers:?}");
    assert!((30..60).contains(&claimed.len()), "{}", claimed.len());
    assert_eq!(sentinel.admin().await.status().await.unwrap().learned, Some(claimed.len() as u64));
    let (_, limited) = limited[0];
    assert_eq!(limited.status(), Some(429));
    let seconds: u64 = limited.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&seconds), "a claim comes back every two seconds: {seconds}");

    let (owned, _) = claimed[0];
    assert_eq!(reason(&sentinel, owned, "203.0.113.7").await, "bound", "a key with a row is never limited");
    assert_eq!(reason(&sentinel, owned, "203.0.113.8").await, "ip_mismatch");
    assert_eq!(reason(&sentinel, &new_key(60), "203.0.113.8").await, "first_use", "the budget is the network's");
}

/// A flood of new keys left an audit record for each.
#[tokio::test]
async fn what_is_over_the_budget_is_one_record_a_network_and_second_with_its_exact_count() {
    let sentinel = sentinel().set("claims.per_network", "\"1/d\"").start().await;
    assert_eq!(reason(&sentinel, KEY, "203.0.113.7").await, "first_use");
    for number in 0..500 {
        assert_eq!(reason(&sentinel, &new_key(number), "203.0.113.7").await, "claim_limited");
    }
    let admin = sentinel.admin().await;
    eventually("all are counted", async || {
        let records = admin.audit("denied").await.unwrap().records;
        assert!(records.iter().all(|record| record.reason == "claim_limited" && record.key_id.is_empty()));
        let sum: u64 = records.iter().map(|record| record.count).sum();
        assert!(records.len() < 250, "far fewer than there were denials: {}", records.len());
        (sum == 500).then_some(())
    })
    .await;
}

#[tokio::test]
async fn losers_of_a_race_are_not_charged() {
    let sentinel = sentinel().set("claims.per_network", "\"2/d\"").start().await;
    assert_eq!(reason(&sentinel, KEY, "203.0.113.7").await, "first_use");
    for _ in 0..10 {
        assert_eq!(reason(&sentinel, KEY, "203.0.113.8").await, "ip_mismatch");
    }
    for number in 0..2 {
        assert_eq!(reason(&sentinel, &new_key(number), "203.0.113.8").await, "first_use");
    }
    assert_eq!(reason(&sentinel, &new_key(2), "203.0.113.8").await, "claim_limited");
}

#[tokio::test]
async fn exempt_networks_are_not_limited_and_the_whole_process_can_be() {
    let sentinel = sentinel()
        .set("claims.per_network", "\"1/d\"")
        .set("claims.global", "\"3/d\"")
        .set("claims.exempt", "[\"10.0.0.0/8\"]")
        .start()
        .await;
    for number in 0..10 {
        assert_eq!(reason(&sentinel, &new_key(number), "10.1.2.3").await, "first_use");
    }
    for (number, expected) in (10..).zip(["first_use", "first_use", "first_use", "claim_limited"]) {
        assert_eq!(reason(&sentinel, &new_key(number), &format!("203.0.113.{number}")).await, expected);
    }
}

#[tokio::test]
async fn an_added_network_is_charged_and_refused_as_a_stranger() {
    let sentinel = sentinel()
        .set("claims.per_network", "\"1/d\"")
        .set("binding.max_networks", "2")
        .set("binding.learn_window", "\"10m\"")
        .start()
        .await;
    assert_eq!(reason(&sentinel, KEY, "203.0.113.7").await, "first_use");
    assert_eq!(reason(&sentinel, &new_key(0), "203.0.113.8").await, "first_use");
    assert_eq!(reason(&sentinel, KEY, "203.0.113.8").await, "ip_mismatch", "its budget went to another key");
    assert_eq!(reason(&sentinel, KEY, "203.0.113.9").await, "network_added");
}

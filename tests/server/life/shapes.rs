//! `binding.*`: how large a network is, how many of them, and who may join.

use std::time::Duration;

use super::{KEY, reason};
use crate::common::sentinel;

#[tokio::test]
async fn a_dual_stack_client_has_both_its_networks_and_nobody_else() {
    let sentinel = sentinel().set("binding.max_networks", "2").set("binding.learn_window", "\"10m\"").start().await;
    for (ip, expected) in [
        ("203.0.113.7", "first_use"),
        ("203.0.113.7", "bound"),
        ("2001:db8::1", "network_added"),
        ("2001:db8::2", "bound"),
        ("203.0.113.7", "bound"),
        ("198.51.100.9", "ip_mismatch"),
        ("2001:db8:0:1::1", "ip_mismatch"),
    ] {
        assert_eq!(reason(&sentinel, KEY, ip).await, expected, "{ip}");
    }
    let records = sentinel.admin().await.audit("network_added").await.unwrap().records;
    let networks: Vec<_> = records.iter().map(|record| record.network.as_str()).collect();
    assert_eq!(networks, ["2001:db8::/64"]);
}

#[tokio::test]
async fn with_the_defaults_the_same_laptop_over_the_other_family_is_refused() {
    let sentinel = sentinel().start().await;
    assert_eq!(reason(&sentinel, KEY, "203.0.113.7").await, "first_use");
    assert_eq!(reason(&sentinel, KEY, "2001:db8::1").await, "ip_mismatch");
}

#[tokio::test]
async fn the_window_ends_by_the_stores_clock() {
    let home = sentinel().set("binding.max_networks", "3").set("binding.learn_window", "\"1h\"");
    let sentinel = home.start().await;
    assert_eq!(reason(&sentinel, KEY, "203.0.113.7").await, "first_use");
    assert_eq!(reason(&sentinel, KEY, "203.0.113.8").await, "network_added");
    let home = sentinel.stop().await;
    // Two hours pass.
    let hours = home.store().span(Duration::from_hours(2));
    home.store().query(&format!("UPDATE bindings SET open_until = open_until - {hours}")).await;
    let sentinel = home.start().await;
    assert_eq!(reason(&sentinel, KEY, "203.0.113.9").await, "ip_mismatch");
    assert_eq!(reason(&sentinel, KEY, "203.0.113.8").await, "bound");
    let sealed = "SELECT count(*) FROM bindings WHERE open_until IS NULL";
    assert_eq!(sentinel.home().store().number(sealed).await, 1, "the mismatch sealed it");
}

#[tokio::test]
async fn an_address_that_may_not_own_does_not_join_either() {
    let sentinel = sentinel()
        .set("binding.max_networks", "2")
        .set("binding.learn_window", "\"10m\"")
        .set("client_ip.unclaimable", "[\"10.0.0.0/8\"]")
        .start()
        .await;
    assert_eq!(reason(&sentinel, KEY, "10.0.0.1").await, "unclaimable_network");
    assert_eq!(reason(&sentinel, KEY, "203.0.113.7").await, "first_use");
    assert_eq!(reason(&sentinel, KEY, "10.0.0.1").await, "ip_mismatch", "a key with networks tells of no other rule");
    assert_eq!(reason(&sentinel, KEY, "203.0.113.8").await, "network_added", "the slot is still free");
}

#[tokio::test]
async fn prefixes_and_their_overrides_shape_the_network() {
    let sentinel = sentinel()
        .set("binding.prefix_v4", "24")
        .set("binding.prefix_v6", "56")
        .set("binding.prefix_overrides", "[\"2001:db8:bad::/48=128\"]")
        .start()
        .await;
    for (key, owner, neighbour, stranger) in [
        ("sk-v4-0123456789abcdef", "203.0.113.7", "203.0.113.200", "203.0.112.7"),
        ("sk-v6-0123456789abcdef", "2001:db8:1:100::1", "2001:db8:1:1ff::1", "2001:db8:1:200::1"),
        ("sk-shared-0123456789ab", "2001:db8:bad::1", "2001:db8:bad::1", "2001:db8:bad::2"),
    ] {
        assert_eq!(reason(&sentinel, key, owner).await, "first_use");
        assert_eq!(reason(&sentinel, key, neighbour).await, "bound", "{neighbour}");
        assert_eq!(reason(&sentinel, key, stranger).await, "ip_mismatch", "{stranger}");
    }
}

#[tokio::test]
async fn first_use_can_be_closed() {
    let sentinel = sentinel().start().await;
    assert_eq!(reason(&sentinel, KEY, "203.0.113.7").await, "first_use");
    let sentinel = sentinel.stop().await.set("binding.first_use", "\"deny\"").start().await;
    assert_eq!(reason(&sentinel, KEY, "203.0.113.7").await, "bound");
    assert_eq!(reason(&sentinel, KEY, "198.51.100.9").await, "ip_mismatch");
    assert_eq!(reason(&sentinel, "sk-leaked-0123456789ab", "203.0.113.7").await, "not_claimed");
    assert_eq!(sentinel.admin().await.keys().await.unwrap().keys.len(), 1, "nothing was written for it");
}

/// A /24 of an owner took in the proxy beside him, and so everybody behind it.
#[tokio::test]
async fn a_network_that_takes_in_who_may_never_own_shrinks_to_the_address() {
    let sentinel = sentinel()
        .set("binding.prefix_v4", "24")
        .set("client_ip.unclaimable", "[\"10.0.0.5\", \"2001:db8::5\"]")
        .start()
        .await;
    for (key, owner, proxy, neighbour) in [
        (KEY, "10.0.0.9", "10.0.0.5", "10.0.0.10"),
        ("sk-six-0123456789abcdef", "2001:db8::9", "2001:db8::5", "2001:db8::10"),
    ] {
        assert_eq!(reason(&sentinel, key, proxy).await, "unclaimable_network");
        assert_eq!(reason(&sentinel, key, owner).await, "first_use");
        assert_eq!(reason(&sentinel, key, owner).await, "bound");
        assert_eq!(reason(&sentinel, key, proxy).await, "ip_mismatch");
        assert_eq!(reason(&sentinel, key, neighbour).await, "ip_mismatch");
    }
    assert_eq!(reason(&sentinel, "sk-elsewhere-0123456789", "10.0.1.9").await, "first_use");
    assert_eq!(reason(&sentinel, "sk-elsewhere-0123456789", "10.0.1.200").await, "bound");
}

//! How full the store is, and of what.

use key_ip_sentinel::{
    domain::{
        Reason, Timestamp,
        event::{EventKind, Record},
    },
    store::{Action, Counts, CrowdedNetwork, DenialCount},
};

use crate::{fixture::*, listing::one_of_each};

pub(crate) async fn counts_count(place: &impl Backend) {
    let store = place.open().await;
    assert_eq!(store.counts().await.unwrap(), Counts::default());
    one_of_each(&*store).await;
    let expected = Counts { learned: 2, pinned: 1, reserved: 1, banned: 2, ..Counts::default() };
    assert_eq!(store.counts().await.unwrap(), expected);
}

pub(crate) async fn the_networks_that_learned_most_come_first(place: &impl Backend) {
    let store = place.open().await;
    for (network, keys) in [("203.0.113.1", 1), ("2001:db8:0:1::/64", 3), ("203.0.113.9", 2), ("203.0.113.5", 2)] {
        for number in 0..keys {
            bind(&*store, &key(&format!("{number}{network}")), network).await;
        }
    }
    // A key that an operator gave is not a first use, and a ban does not change the count.
    for number in 0..5 {
        let given = key(&format!("given-{number}"));
        bind(&*store, &given, "203.0.113.1").await;
        change(&*store, &given, Action::HandOver(network("203.0.113.2"))).await;
    }
    change(&*store, &key("1203.0.113.9"), FOREVER).await;

    let all = [("2001:db8:0:1::/64", 3), ("203.0.113.5", 2), ("203.0.113.9", 2), ("203.0.113.1", 1)];
    for most in 0..=5 {
        let crowded = store.crowded_networks(most).await.unwrap();
        let expected =
            all.iter().take(most as usize).map(|(text, keys)| CrowdedNetwork { network: network(text), keys: *keys });
        assert_eq!(crowded, expected.collect::<Vec<_>>());
    }
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.learned, counts.pinned), (8, 5));
    assert_eq!(store.denials_since(Timestamp::from_millis(0)).await.unwrap(), []);
}

pub(crate) async fn denials_are_counted_by_reason_since_a_moment(place: &impl Backend) {
    let store = place.open().await;
    let record = |reason, count, last_at: Timestamp| Record {
        kind: EventKind::Denied,
        reason: Some(reason),
        key_id: None,
        network: None,
        count,
        first_at: START,
        last_at,
        actor: None,
        decision_id: None,
        detail: None,
        delta: None,
    };
    let other_kind = |kind| Record { kind, ..record(Reason::NoKey, 1000, at(hours(9))) };
    append(
        &*store,
        vec![
            record(Reason::IpMismatch, 5, at(hours(1))),
            record(Reason::ClientIpUnknown, 3, at(hours(2))),
            record(Reason::ClientIpUnknown, 4, at(hours(4))),
            Record { kind: EventKind::WouldDeny, ..record(Reason::CallerRejected, 2, at(hours(3))) },
            record(Reason::IpMismatch, u64::MAX, START),
            other_kind(EventKind::FirstUse),
            Record { reason: None, ..other_kind(EventKind::Denied) },
        ],
    )
    .await;
    let denied = |reason, count, hour| DenialCount { reason, count, last_at: at(hours(hour)) };
    let [unknown, mismatch, rejected] =
        [denied(Reason::ClientIpUnknown, 7, 4), denied(Reason::IpMismatch, 5, 1), denied(Reason::CallerRejected, 2, 3)];
    // The first moment counts.
    assert_eq!(store.denials_since(at(hours(1))).await.unwrap(), [unknown, mismatch, rejected]);
    let late = [DenialCount { count: 4, ..unknown }, rejected];
    assert_eq!(store.denials_since(at(hours(3))).await.unwrap(), late);
    assert_eq!(store.denials_since(at(hours(10))).await.unwrap(), []);
    // More than fits is the most there is, and no fault.
    let most = store.denials_since(START).await.unwrap()[0];
    assert!(most.reason == Reason::IpMismatch && most.count >= i64::MAX as u64, "{most:?}");
}

//! What may be remembered of a binding that others can still join.

use std::time::Duration;

use key_ip_sentinel::{
    domain::{BindingRules, Failsafe, Reason, Shape},
    settings::Settings,
    store::{Claim, Claimed, Decisions, Purpose, Slots},
};

use super::{ATTACKER, GRACE, OWNER, Process};

const NEWCOMER: &str = "198.51.100.200";

/// Two networks may own a key, the second within an hour.
async fn open_to_a_second_network() -> Process {
    let hour = Duration::from_hours(1);
    let shape = Shape { max_networks: 2, learn_window: hour, ..Shape::default() };
    let process = Process::with(Settings {
        binding: BindingRules { shape, ..BindingRules::default() },
        stale_grace: GRACE,
        ..Settings::default()
    })
    .await;
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
    process
}

/// What another replica does: it joins without a change that anyone would hear of.
async fn joins_elsewhere(process: &Process, ip: &str) {
    let purpose = Purpose::Own(Slots { networks: 2, window: Duration::from_hours(1) });
    let key = process.fingerprint("some-key");
    let now = process.replica_state.time(process.clock_origin()).unwrap();
    let claim = Claim { key, network: ip.parse().unwrap(), purpose, now, decision_id: "elsewhere".into() };
    assert!(matches!(process.store.claim(claim).await.unwrap(), Claimed::Won { .. }));
}

#[tokio::test]
async fn a_mismatch_is_never_answered_from_cache_for_an_entry_read_unsealed() {
    let process = open_to_a_second_network().await;
    assert!(
        !process.cached.get([process.fingerprint("some-key").digest]).unwrap().facts().binding.unwrap().is_sealed()
    );
    joins_elsewhere(&process, NEWCOMER).await;
    // This process still remembers one owner, and asks.
    assert_eq!(process.ask("some-key", NEWCOMER, Duration::ZERO).await, Reason::Bound);
    assert_eq!(process.ask("some-key", ATTACKER, Duration::ZERO).await, Reason::IpMismatch);
}

#[tokio::test]
async fn an_entry_read_unsealed_answers_allows_and_nothing_else_without_the_store() {
    let process = open_to_a_second_network().await;
    process.store.lose();
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::Bound);
    assert_eq!(process.ask("some-key", ATTACKER, Duration::ZERO).await, Reason::StoreUnavailable);
}

#[tokio::test]
async fn once_sealed_a_mismatch_needs_no_store() {
    let process = open_to_a_second_network().await;
    assert_eq!(process.ask("some-key", NEWCOMER, Duration::ZERO).await, Reason::NetworkAdded);
    process.store.lose();
    for (ip, reason) in [(OWNER, Reason::Bound), (NEWCOMER, Reason::Bound), (ATTACKER, Reason::IpMismatch)] {
        assert_eq!(process.ask("some-key", ip, Duration::ZERO).await, reason, "{ip}");
    }
}

/// A window that ended long ago stays open until a request arrives, and cannot be closed while the store is down.
#[tokio::test]
async fn failsafe_open_is_not_for_strangers_to_an_owner_who_is_known() {
    let shape = Shape { max_networks: 2, learn_window: Duration::from_hours(1), ..Shape::default() };
    let process = Process::with(Settings {
        binding: BindingRules { shape, ..BindingRules::default() },
        stale_grace: GRACE,
        failsafe: Failsafe::Open,
        ..Settings::default()
    })
    .await;
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
    process.store.lose();
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::Bound);
    assert_eq!(process.ask("some-key", ATTACKER, Duration::ZERO).await, Reason::StoreUnavailable);
    assert_eq!(process.ask("unknown-key", ATTACKER, Duration::ZERO).await, Reason::FailsafeOpen);
}

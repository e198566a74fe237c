//! Processes of one store that hear of an activation at different times, and what their caches make of it.

use std::{sync::Arc, time::Duration};

use key_ip_sentinel::{
    domain::{Failsafe, Reason},
    store::{Operators, PepperUsage},
};

use tokio::task::JoinHandle;

use super::{ATTACKER, BAN, OWNER, Process};

const OLD: u8 = 7;
const NEW: u8 = 8;

/// Two replicas that list both peppers; the old one is active.
async fn replicas() -> [Arc<Process>; 2] {
    let one = Process::with_peppers(Failsafe::Open, &[OLD, NEW]).await;
    let other = one.beside(Failsafe::Open, &[NEW, OLD]);
    one.poll(Duration::ZERO).await;
    other.poll(Duration::ZERO).await;
    [Arc::new(one), Arc::new(other)]
}

async fn left_under_the_old(process: &Process) -> PepperUsage {
    let rows = process.store.peppers().await.unwrap();
    rows.into_iter().filter(|row| !row.active).map(|row| row.usage).next().unwrap()
}

#[tokio::test]
async fn a_replica_that_is_behind_learns_of_the_activation_by_its_claim() {
    let [one, other] = replicas().await;
    let old = one.ring.active();
    one.activate(NEW).await;
    assert_eq!(one.ask("a-new-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
    assert_ne!(one.ring.active(), old);
    assert_eq!(other.ask("a-new-key", ATTACKER, Duration::ZERO).await, Reason::IpMismatch);
    assert_eq!(other.ring.active(), old, "it does not know yet, and finds the key all the same");
    assert_eq!(left_under_the_old(&one).await, PepperUsage::default(), "nothing was written under the old pepper");
}

#[tokio::test]
async fn a_replica_without_the_active_pepper_claims_nothing_even_under_open() {
    let [one, _] = replicas().await;
    let late = one.beside(Failsafe::Open, &[OLD]);
    late.poll(Duration::ZERO).await;
    one.activate(NEW).await;
    assert_eq!(late.ask("a-new-key", ATTACKER, Duration::ZERO).await, Reason::StoreUnavailable);
    assert_eq!(one.ask("a-new-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
}

#[tokio::test]
async fn a_cached_allow_under_the_old_digest_does_not_survive_a_ban_after_the_move() {
    let [one, other] = replicas().await;
    let old = one.fingerprint("some-key").digest;
    assert_eq!(one.ask("some-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
    one.activate(NEW).await;
    for process in [&one, &other] {
        process.poll(Duration::ZERO).await;
        assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::Bound);
        assert!(process.cached.get([old]).is_some(), "cached by the digest of its row");
    }
    one.move_key("some-key", old).await;
    one.change("some-key", BAN).await;
    for process in [&one, &other] {
        process.poll(Duration::ZERO).await;
        assert!(process.cached.get([old]).is_none());
        assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::KeyBanned);
    }
}

/// Asks, and has its answer from the store, which is kept back until `reads` opens.
async fn slow_reader(one: &Arc<Process>) -> JoinHandle<Reason> {
    one.store.reads.close();
    let reader = tokio::spawn({
        let one = Arc::clone(one);
        async move { one.ask("some-key", OWNER, Duration::ZERO).await }
    });
    one.store.reads.arrival().await;
    reader
}

/// It has read the row where it was before it moved, and is answered when the ban is long absorbed.
#[tokio::test]
async fn a_slow_reader_of_a_key_that_moved_does_not_bring_it_back() {
    let [one, other] = replicas().await;
    let old = one.fingerprint("some-key").digest;
    assert_eq!(other.ask("some-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
    one.activate(NEW).await;
    one.poll(Duration::ZERO).await;
    let reader = slow_reader(&one).await;
    one.move_key("some-key", old).await;
    one.poll(Duration::ZERO).await;
    one.change("some-key", BAN).await;
    one.poll(Duration::ZERO).await;
    one.store.reads.open();
    assert_eq!(reader.await.unwrap(), Reason::KeyBanned);
    assert!(one.cached.get([old]).is_none());
    assert_eq!(one.ask("some-key", OWNER, Duration::ZERO).await, Reason::KeyBanned);
}

/// The move alone makes what was read before it unfit to keep: nothing would be logged under its digest any more.
#[tokio::test]
async fn what_was_read_before_a_move_is_not_cached_after_it() {
    let [one, other] = replicas().await;
    let old = one.fingerprint("some-key").digest;
    assert_eq!(other.ask("some-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
    one.activate(NEW).await;
    one.poll(Duration::ZERO).await;
    let reader = slow_reader(&one).await;
    one.move_key("some-key", old).await;
    one.poll(Duration::ZERO).await;
    one.store.reads.open();
    assert_eq!(reader.await.unwrap(), Reason::Bound);
    assert!(one.cached.get([old]).is_none());
    assert!(one.cached.get([one.fingerprint("some-key").digest]).is_some());
}

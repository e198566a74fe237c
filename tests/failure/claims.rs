//! A claim whose caller is gone was made all the same: it is counted, logged and kept.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use key_ip_sentinel::domain::{Failsafe, Reason};

use super::{ATTACKER, OWNER, Process, common::eventually, process::first_uses};

const WON: &str = "sentinel_claims_total{outcome=\"won\"}";
const HELD: &str = "sentinel_claims_total{outcome=\"held\"}";
const FAILED: &str = "sentinel_claims_total{outcome=\"failed\"}";

/// The process has claimed `some-key` for its owner and is not answered, and the caller has gone meanwhile.
async fn abandoned_claim(process: Process) -> Arc<Process> {
    let process = Arc::new(process);
    process.poll(Duration::ZERO).await;
    process.store.claims.close();
    let caller = tokio::spawn({
        let process = Arc::clone(&process);
        async move { process.ask("some-key", OWNER, Duration::ZERO).await }
    });
    process.store.claims.arrival().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    assert_eq!((process.metric(WON), process.metric(FAILED)), ("0".to_owned(), "0".to_owned()));
    process
}

#[tokio::test]
async fn a_claim_whose_caller_is_gone_is_counted_and_published_once() {
    let process = abandoned_claim(Process::new(Failsafe::Closed).await).await;
    process.store.claims.open();
    eventually("the claim is counted", async || (process.metric(WON) == "1").then_some(())).await;
    assert_eq!(process.metric(FAILED), "0");
    let answers = first_uses();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers[0].network.unwrap().to_string(), "203.0.113.7/32");
    // It is cached: no request asks the store again.
    process.store.lose();
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::Bound);
    assert_eq!(process.ask("some-key", ATTACKER, Duration::ZERO).await, Reason::IpMismatch);
    assert_eq!(first_uses().len(), 1);
}

#[tokio::test]
async fn a_claim_that_is_never_answered_is_counted_as_failed_without_its_caller() {
    let process = abandoned_claim(Process::impatient(Failsafe::Closed).await).await;
    eventually("the claim is given up", async || (process.metric(FAILED) == "1").then_some(())).await;
    assert_eq!((process.metric(WON), first_uses().len()), ("0".to_owned(), 0));
}

/// Each of them would take a connection to the store, only to wait there for the others.
#[tokio::test]
async fn of_a_crowd_with_one_new_key_one_claim_goes_to_the_store() {
    let process = Process::new(Failsafe::Closed).await;
    process.poll(Duration::ZERO).await;
    process.store.claims.close();
    let addresses: Vec<String> = (1..=20).map(|client| format!("198.51.100.{client}")).collect();
    let crowd = join_all(addresses.iter().map(|from| process.ask("some-key", from, Duration::ZERO)));
    let (answers, ()) = tokio::join!(crowd, async {
        process.store.claims.arrival().await;
        process.store.claims.open();
    });
    assert_eq!(answers.iter().filter(|reason| **reason == Reason::FirstUse).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|reason| **reason == Reason::IpMismatch).count(), 19, "{answers:?}");
    assert_eq!((process.metric(WON), process.metric(HELD)), ("1".to_owned(), "0".to_owned()));
}

#[tokio::test]
async fn a_request_during_a_claim_waits_for_it_even_if_its_caller_has_left() {
    let process = abandoned_claim(Process::new(Failsafe::Closed).await).await;
    let (attacker, ()) = tokio::join!(process.ask("some-key", ATTACKER, Duration::ZERO), async {
        tokio::task::yield_now().await;
        process.store.claims.open();
    });
    assert_eq!(attacker, Reason::IpMismatch);
    eventually("the claim is counted", async || (process.metric(WON) == "1").then_some(())).await;
    assert_eq!(process.metric(HELD), "0");
}

/// The observing replica answers a candidate from its cache, and would say `bound` to a stranger for as long as that lives.
#[tokio::test]
async fn a_candidate_is_a_stranger_as_soon_as_another_replica_gives_the_key_away() {
    let observing = Process::new(Failsafe::Closed).await;
    let enforcing = observing.beside(Failsafe::Closed, &[7]);
    for process in [&observing, &enforcing] {
        process.poll(Duration::ZERO).await;
    }
    assert_eq!(observing.watch("some-key", ATTACKER).await, (Reason::FirstUse, false));
    assert_eq!(observing.watch("some-key", ATTACKER).await, (Reason::Bound, false));
    assert_eq!(enforcing.ask("some-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
    observing.poll(Duration::ZERO).await;
    assert_eq!(observing.watch("some-key", ATTACKER).await, (Reason::IpMismatch, true));
}

/// It is found in the store, for the cache does not know it; and those that the cache knows keep their places.
#[tokio::test]
async fn a_candidate_that_another_replica_noted_is_found_without_a_change() {
    let one = Process::new(Failsafe::Closed).await;
    let other = one.beside(Failsafe::Closed, &[7]);
    for process in [&one, &other] {
        process.poll(Duration::ZERO).await;
    }
    assert_eq!(one.watch("some-key", OWNER).await, (Reason::FirstUse, false));
    assert_eq!(other.watch("some-key", ATTACKER).await, (Reason::IpMismatch, true));
    for process in [&one, &other] {
        assert_eq!(process.watch("some-key", OWNER).await, (Reason::Bound, false));
        assert_eq!(process.watch("some-key", ATTACKER).await, (Reason::IpMismatch, true));
    }
}

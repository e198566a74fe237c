//! What a Redis that is slow, dead or silent costs the requests: next to nothing. How long they took is printed.

use std::{sync::Arc, time::Duration};

use key_ip_sentinel::domain::Reason;
use tokio::time::Instant;

use super::{
    common::{cut::Cut, eventually, redis::Redis},
    replica::{Place, Replica, Setup, written},
};

/// By the real times: 5 ms for an answer, a second before a probe.
fn real(url: &str) -> Setup {
    Setup { times: None, ..Setup::of(url) }
}

fn key(number: usize) -> String {
    format!("sk-number-{number:04}-0123456789")
}

/// Each key has another one, whose budget of claims it does not share.
fn owner(number: usize) -> String {
    format!("203.0.113.{number}")
}

/// The number of keys that others own, which this replica must look up.
async fn owned(place: &Place, count: usize) {
    let unshared = Replica::new(place, &Setup::of("redis://127.0.0.1:1/"));
    unshared.poll().await;
    for number in 0..count {
        assert_eq!(unshared.ask(&key(number), &owner(number)).await, Reason::FirstUse);
    }
}

/// Connections stay, and nothing answers: the worst that can happen.
#[tokio::test]
async fn a_redis_that_hangs_is_left_alone_and_found_again() {
    let (mut redis, place) = (Redis::start().await, Place::new(&[7]));
    owned(&place, 60).await;
    let replica = Replica::ready(&place, &real(&redis.url())).await;
    redis.pause();
    let mut slowest = Duration::ZERO;
    for number in 0..30 {
        let asked = Instant::now();
        assert_eq!(replica.ask(&key(number), &owner(number)).await, Reason::Bound);
        slowest = slowest.max(asked.elapsed());
    }
    println!("behind a Redis that hangs: 30 first reads, the slowest took {slowest:.1?}");
    let (failed, away) = (replica.shared("failed"), replica.shared("away"));
    assert_eq!((failed <= 5, failed + away), (true, 30), "{failed} and {away}");
    replica.connected(false).await;
    redis.resume();
    replica.connected(true).await;
    let asked = replica.shared("miss");
    assert_eq!(replica.ask(&key(40), &owner(40)).await, Reason::Bound);
    assert_eq!(replica.shared("miss") + replica.shared("failed") + replica.shared("away"), asked + 31);
    eventually("what is read is written again", async || {
        replica.read(&key(41)).await;
        redis.command::<i64>(&["DBSIZE"]).await.ge(&1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_start_without_redis_does_not_wait_for_it() {
    let place = Place::new(&[7]);
    owned(&place, 1).await;
    // No server listens on this address.
    for url in ["redis://127.0.0.1:1/", "redis://192.0.2.1:6379/"] {
        let asked = Instant::now();
        let replica = Replica::new(&place, &real(url));
        replica.poll().await;
        assert_eq!(replica.ask(&key(0), &owner(0)).await, Reason::Bound);
        println!("without {url}: the first read took {:.1?}", asked.elapsed());
        assert_eq!(replica.shared("away"), 1);
    }
}

/// While the store is lost too, a late answer is better than none.
#[tokio::test]
async fn a_lost_store_waits_for_a_slow_redis() {
    let (mut redis, place) = (Redis::start().await, Place::new(&[7]));
    let one = Replica::ready(&place, &Setup::of(&redis.url())).await;
    assert_eq!(one.ask(&key(0), &owner(0)).await, Reason::FirstUse);
    written(&redis, "sentinel", &key(0), one.applied()).await;
    let late = Setup { times: Some((Duration::from_millis(50), Duration::from_millis(50))), ..Setup::of(&redis.url()) };
    let two = Arc::new(Replica::ready(&place, &late).await);
    place.store.lose();
    redis.pause();
    let asked = tokio::spawn({
        let two = Arc::clone(&two);
        async move { two.ask(&key(0), &owner(0)).await }
    });
    eventually("it has waited long enough", async || (two.shared("failed") == 1).then_some(())).await;
    redis.resume();
    assert_eq!(asked.await.unwrap(), Reason::Bound);
}

#[tokio::test]
async fn a_cut_cable_is_noticed_at_once_and_mended() {
    let (redis, place) = (Redis::start().await, Place::new(&[7]));
    owned(&place, 3).await;
    let mut cable = Cut::before(redis.address()).await;
    let replica = Replica::ready(&place, &Setup::of(&cable.through(&redis.url()))).await;
    cable.refuse().await;
    assert_eq!(replica.ask(&key(0), &owner(0)).await, Reason::Bound);
    assert_eq!(replica.ask(&key(1), &owner(1)).await, Reason::Bound);
    replica.connected(false).await;
    cable.mend().await;
    replica.connected(true).await;
    assert_eq!(replica.ask(&key(2), &owner(2)).await, Reason::Bound);
    assert_eq!(replica.shared("miss"), 1);
}

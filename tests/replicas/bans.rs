//! A change on one replica binds on all: soon by a notification, and without one by their polls. The delay is printed,
//! not checked.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, future::join_all, stream};
use tokio::{sync::watch, time::timeout};

use crate::{
    common::{Dice, PATIENCE, cut::Cut, eventually, postgres::Postgres, redis::Redis},
    fleet::{REPLICAS, Replica, quantile, replica, start, stop, with_redis},
    number, seed,
};

const OWNER: &str = "203.0.113.7";

fn bans() -> usize {
    number("SENTINEL_REPLICA_BANS", 100)
}

fn key(index: usize) -> String {
    format!("sk-known-{index:05}-0123456789")
}

/// Every replica has them in memory.
async fn make_known(replicas: &[Replica], keys: usize) {
    let learn = stream::iter(0..keys).map(async |index| {
        for replica in replicas {
            let known = async || (replica.reason(&key(index), OWNER).await == "bound").then_some(());
            eventually("the key is known", known).await;
        }
    });
    learn.buffer_unordered(16).collect().await
}

/// Bans on the first replica; how long each other one went on to allow the key after the operator had his answer.
async fn ban(replicas: &[Replica], index: usize) -> Vec<Duration> {
    let key = key(index);
    replicas[0].admin.ban(&key).await.unwrap();
    let banned = Instant::now();
    assert_eq!(replicas[0].reason(&key, OWNER).await, "key_banned", "where it was made it binds at once");
    let obeyed = replicas[1..].iter().map(async |replica| {
        loop {
            match replica.reason(&key, OWNER).await.as_str() {
                // What was known of the key is gone; a store that does not answer in time is no reason to allow it.
                "key_banned" | "deadline_exceeded" | "store_unavailable" => break banned.elapsed(),
                "bound" => assert!(banned.elapsed() < PATIENCE, "{key} is banned, and nobody hears of it"),
                other => panic!("{key}: {other}"),
            }
            // As tight as leaves the rest of the machine something.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    join_all(obeyed).await
}

/// Bans all keys, N at a time and then at any moment of a poll interval.
async fn ban_all(replicas: &[Replica], what: &str, keys: usize, at_once: usize) {
    let mut dice = Dice::new(seed());
    let bans = stream::iter(0..keys).map(|index| {
        let pause = Duration::from_millis(if at_once > 1 { dice.below(1000) as u64 } else { 0 });
        async move {
            // No wait for something: bans are made at any moment of the poll interval.
            tokio::time::sleep(pause).await;
            ban(replicas, index).await
        }
    });
    let times: Vec<Vec<Duration>> = bans.buffer_unordered(at_once).collect().await;
    let mut times: Vec<Duration> = times.into_iter().flatten().collect();
    times.sort();
    eprintln!(
        "{keys} bans, {at_once} at once, {what}: obeyed by {} others after p50 {:.1?}, p99 {:.1?}, max {:.1?}",
        replicas.len() - 1,
        quantile(&times, 0.5),
        quantile(&times, 0.99),
        quantile(&times, 1.0),
    );
    // None of them is forgotten.
    for replica in replicas {
        for index in 0..keys {
            assert_eq!(replica.reason(&key(index), OWNER).await, "key_banned");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_is_obeyed_everywhere_by_a_hint_of_redis_and_without_redis_by_the_next_poll() {
    let (replicas, mut redis) = with_redis().await;
    make_known(&replicas, bans()).await;
    ban_all(&replicas, "hints by Redis", bans(), 1).await;
    for index in 0..bans() {
        replicas[1].admin.unban(&key(index)).await.unwrap();
    }
    let revision = replicas[1].applied_revision().await;
    for replica in &replicas {
        eventually("all is undone", async || (replica.applied_revision().await >= revision).then_some(())).await;
    }
    // What was known went with each change: it has to be in memory again.
    make_known(&replicas, bans()).await;
    redis.kill();
    ban_all(&replicas, "Redis dead", bans(), 16).await;
    stop(replicas).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_a_ban_is_obeyed_everywhere_by_a_notification_of_postgresql() {
    let url = Postgres::shared().await.database().await;
    let replicas = start((0..REPLICAS).map(|_| replica(&url, None))).await;
    make_known(&replicas, bans()).await;
    ban_all(&replicas, "hints by LISTEN and NOTIFY", bans(), 1).await;
    stop(replicas).await;
}

/// First uses that wait for the store stand in line for its connections; the poll must not stand behind them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_new_keys_does_not_hold_up_a_ban() {
    const CLIENTS: usize = 100;
    const BANS: usize = 20;
    // A claim takes its time, and there is one connection for them: what is short is the store, whatever the machine.
    const SLOW: &str = "
        CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END';
        CREATE TRIGGER slow BEFORE INSERT ON bindings FOR EACH ROW EXECUTE FUNCTION slow()";
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let flooded = replica(&url, None).set("store.connections", "1").set("check_deadline", "\"500ms\"");
    let replicas = start([replica(&url, None), flooded]).await;
    make_known(&replicas, BANS).await;
    postgres.query(&url, SLOW).await;
    let (done, ended) = watch::channel(());
    let flood = join_all((0..CLIENTS).map(async |client| {
        let mut keys = 0;
        while ended.has_changed().is_ok() {
            let (key, from) =
                (format!("sk-flood-{client:03}-{keys:06}-89"), format!("10.7.{}.{}", client / 250, client % 250));
            let reason = replicas[1].reason(&key, &from).await;
            assert!(["first_use", "deadline_exceeded", "store_unavailable"].contains(&&*reason), "{reason}");
            keys += 1;
        }
        keys
    }));
    let bans = async {
        let flooded =
            async || (replicas[1].metric("sentinel_checks_total", "deadline_exceeded").await > 0.0).then_some(());
        eventually("the flood is more than the store can take", flooded).await;
        let mut times = Vec::new();
        for index in 0..BANS {
            times.extend(ban(&replicas, index).await);
        }
        drop(done);
        times
    };
    let (keys, times) = tokio::join!(flood, bans);
    eprintln!("{BANS} bans in a flood of {} new keys: obeyed after {times:.1?}", keys.iter().sum::<usize>());
    stop(replicas).await;
}

/// The network before Redis is cut, swallows and comes back at random while bans are made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_that_are_lost_at_random_lose_no_ban() {
    let (url, redis) = (Postgres::shared().await.database().await, Redis::start().await);
    let mut cuts = [Cut::before(redis.address()).await, Cut::before(redis.address()).await];
    // The replica that makes the bans is cut off as well, so it notifies no other.
    let ways = [cuts[0].through(&redis.url()), cuts[1].through(&redis.url()), redis.url()];
    let replicas = start(ways.iter().map(|way| replica(&url, Some(way)))).await;
    make_known(&replicas, bans()).await;
    let (done, ended) = watch::channel(());
    let mut dice = Dice::new(seed());
    let troubles = async {
        let (mut troubles, mut until) = (0, ended.clone());
        while ended.has_changed().is_ok() {
            let cut = &mut cuts[dice.below(2)];
            match dice.below(3) {
                0 => cut.refuse().await,
                1 => cut.swallow().await,
                _ => cut.mend().await,
            }
            troubles += 1;
            let _ = timeout(Duration::from_millis(20 + dice.below(300) as u64), until.changed()).await;
        }
        troubles
    };
    let ((), troubles) = tokio::join!(
        async {
            ban_all(&replicas, "hints lost at random", bans(), 4).await;
            drop(done);
        },
        troubles
    );
    eprintln!("the network before Redis changed {troubles} times");
    stop(replicas).await;
}

//! A replica that is cut off from PostgreSQL and from Redis goes on by what it knows; once it is back, it catches up
//! before anything else. How soon is printed, not judged.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::{
    common::{PATIENCE, cut::Cut, eventually, postgres::Postgres, redis::Redis},
    fleet::{Replica, replica, start, stop},
    number,
};

const OWNER: &str = "203.0.113.7";
const KEYS: usize = 20;

fn key(index: usize) -> String {
    format!("sk-known-{index:05}-0123456789")
}

/// A healthy replica, and one whose network can be cut.
struct Pair {
    replicas: Vec<Replica>,
    store: Cut,
    hints: Cut,
    /// Runs as long as they do.
    _redis: Redis,
}

impl Pair {
    async fn start() -> Self {
        Self::with_grace("10m").await
    }

    async fn with_grace(grace: &str) -> Self {
        let (postgres, redis) = (Postgres::shared().await, Redis::start().await);
        let url = postgres.database().await;
        let (store, hints) = (Cut::before(postgres.address()).await, Cut::before(redis.address()).await);
        let far = replica(&store.through(&url), Some(&hints.through(&redis.url()))).set("check_deadline", "\"2s\"");
        let far = far.set("store.stale_grace", &format!("\"{grace}\""));
        let replicas = start([replica(&url, Some(&redis.url())), far]).await;
        // By as many connections as it may have, so that all of them are there when the network goes.
        let learn = async |index| {
            eventually("it is the owner's", async || {
                replicas[1].ask(&key(index), OWNER).await.is_allow().then_some(())
            })
            .await;
            assert_eq!(replicas[0].reason(&key(index), OWNER).await, "bound");
        };
        join_all((0..KEYS).map(learn)).await;
        Self { replicas, store, hints, _redis: redis }
    }

    /// Bans all keys at the healthy replica, while the other one still allows them; the last revision.
    async fn ban_meanwhile(&self) -> i64 {
        let cut = Instant::now();
        let mut last = 0;
        for index in 0..KEYS {
            last = self.replicas[0].admin.ban(&key(index)).await.unwrap().revision;
        }
        let lasting = Duration::from_secs(number("SENTINEL_REPLICA_PARTITION", 3) as u64);
        while cut.elapsed() < lasting {
            for index in 0..KEYS {
                assert_eq!(self.replicas[1].reason(&key(index), OWNER).await, "bound", "by what it knows");
            }
            // The partition's length is the test's input; meanwhile owners ask at this pace.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        last
    }

    /// The network is there again since `healed`.
    async fn catches_up(self, how: &str, last: i64, healed: Instant) {
        let far = &self.replicas[1];
        let mut denied = [false; KEYS];
        let (mut stale, mut last_stale) = (0, Duration::ZERO);
        while denied.contains(&false) {
            // Asked before the checks: what it says that it has applied, they are judged by.
            let applied = far.applied_revision().await >= last;
            let reasons = join_all((0..KEYS).map(async |index| far.reason(&key(index), OWNER).await)).await;
            for ((index, denied), reason) in denied.iter_mut().enumerate().zip(reasons) {
                match reason.as_str() {
                    // What was known of the key is gone; a store that does not answer in time is no reason to allow it.
                    "key_banned" | "deadline_exceeded" | "store_unavailable" => *denied = true,
                    "bound" => {
                        assert!(!applied, "{} is allowed at a revision that bans it", key(index));
                        assert!(!*denied, "{} was denied already", key(index));
                        (stale, last_stale) = (stale + 1, healed.elapsed());
                    }
                    other => panic!("{}: {other}", key(index)),
                }
            }
            assert!(healed.elapsed() < PATIENCE, "{how}: it never catches up");
        }
        eprintln!("a partition that {how}: healed, and the last of {stale} stale allows after {last_stale:.1?}");
        stop(self.replicas).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_connections_were_refused_catches_up_when_it_is_back() {
    let mut pair = Pair::start().await;
    pair.store.refuse().await;
    pair.hints.refuse().await;
    let last = pair.ban_meanwhile().await;
    pair.store.mend().await;
    pair.hints.mend().await;
    pair.catches_up("refuses", last, Instant::now()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_heard_nothing_catches_up_when_it_is_back() {
    let mut pair = Pair::start().await;
    pair.store.swallow().await;
    pair.hints.swallow().await;
    let last = pair.ban_meanwhile().await;
    pair.store.mend().await;
    pair.hints.mend().await;
    pair.catches_up("swallows", last, Instant::now()).await;
}

/// As after a failover to another machine, or where a firewall has forgotten: all that the replica has are connections
/// that nobody answers, and nobody closes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_whose_connections_all_died_without_a_word_makes_new_ones_and_catches_up() {
    let mut pair = Pair::start().await;
    pair.store.forget().await;
    pair.hints.forget().await;
    let healed = Instant::now();
    let mut last = 0;
    for index in 0..KEYS {
        last = pair.replicas[0].admin.ban(&key(index)).await.unwrap().revision;
    }
    pair.catches_up("forgets", last, healed).await;
}

/// By its cache it may answer for the grace; after that it has to hear of every ban before it does so again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_cut_off_for_longer_than_the_grace_never_allows_a_key_that_was_banned_meanwhile() {
    let mut pair = Pair::with_grace("2s").await;
    pair.store.swallow().await;
    pair.hints.swallow().await;
    let cut = Instant::now();
    for index in 0..KEYS {
        pair.replicas[0].admin.ban(&key(index)).await.unwrap();
    }
    let lasting = Duration::from_secs(number("SENTINEL_REPLICA_PARTITION", 3) as u64);
    let far = &pair.replicas[1];
    let answers = async || join_all((0..KEYS).map(async |index| far.reason(&key(index), OWNER).await)).await;
    eventually("the grace is over, and so is the cut", async || {
        let over = answers().await.iter().all(|reason| reason == "store_unavailable");
        (over && cut.elapsed() >= lasting).then_some(())
    })
    .await;
    pair.store.mend().await;
    pair.hints.mend().await;
    eventually("every ban is obeyed", async || {
        let answers = answers().await;
        assert!(!answers.iter().any(|reason| reason == "bound"), "{answers:?}");
        answers.iter().all(|reason| reason == "key_banned").then_some(())
    })
    .await;
    stop(pair.replicas).await;
}

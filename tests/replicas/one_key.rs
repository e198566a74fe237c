//! A crowd with one key costs the store what one client does.

use std::{collections::BTreeMap, time::Instant};

use futures_util::{
    StreamExt,
    future::{join, join_all},
    stream,
};

use crate::{
    common::{postgres::Postgres, redis::Redis},
    fleet::{REPLICAS, Replica, quantile, replica, start, stop},
    number,
};

const KEY: &str = "sk-crowd-0123456789";
const OWNER: &str = "203.0.113.7";

/// How many ask at once.
fn crowd() -> usize {
    number("SENTINEL_REPLICA_CROWD", 2_000)
}

fn stranger(index: usize) -> String {
    format!("10.7.{}.{}", index / 250, index % 250)
}

/// What [`ask_at_once`] counts beside the reasons: how often the store had no time for an answer, which was asked for again.
const PUT_OFF: &str = "put off";

/// All at once, dealt out to the replicas; how often each reason was answered, by replica.
async fn ask_at_once(replicas: &[Replica], from: impl Fn(usize) -> String) -> Vec<BTreeMap<String, usize>> {
    let ask = async |(place, replica): (usize, &Replica)| {
        let asked = (place..crowd()).step_by(replicas.len()).map(|index| (index, from(index)));
        let asked = asked.map(async |(_, from)| replica.decision(KEY, &from).await);
        let mut answers = BTreeMap::new();
        for (answer, put_off) in join_all(asked).await {
            *answers.entry(answer.reason().to_owned()).or_default() += 1;
            *answers.entry(PUT_OFF.to_owned()).or_default() += put_off;
        }
        answers
    };
    join_all(replicas.iter().enumerate().map(ask)).await
}

fn total(answers: &[BTreeMap<String, usize>], reason: &str) -> usize {
    answers.iter().filter_map(|answers| answers.get(reason)).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_requests_of_one_uncached_key_is_one_read_of_each_replica() {
    let (url, redis) = (Postgres::shared().await.database().await, Redis::start().await);
    let learner = Replica::start(replica(&url, None)).await;
    assert!(learner.decision(KEY, OWNER).await.0.is_allow());
    let silent = start([replica(&url, None), replica(&url, None)]).await;
    let answers = ask_at_once(&silent, |_| OWNER.to_owned()).await;
    assert_eq!(total(&answers, "bound"), crowd(), "{answers:?}");
    for (replica, answers) in silent.iter().zip(&answers) {
        assert_one_read(replica.store_reads().await, answers);
    }
    // With Redis the first read of all is the store's, and every other replica's is one of Redis.
    let sharing = start((0..REPLICAS).map(|_| crate::fleet::replica(&url, Some(&redis.url())))).await;
    // A fact that is read before the connection is there is not offered.
    crate::common::eventually("Redis is connected", async || {
        (sharing[0].metric("sentinel_redis_up", "").await == 1.0).then_some(())
    })
    .await;
    assert_eq!(sharing[0].decision(KEY, OWNER).await.0.reason(), "bound");
    crate::common::eventually("Redis has it", async || (redis.command::<usize>(&["DBSIZE"]).await > 0).then_some(()))
        .await;
    let answers = ask_at_once(&sharing, |_| OWNER.to_owned()).await;
    assert_eq!(total(&answers, "bound"), crowd(), "{answers:?}");
    let mut reads = Vec::new();
    for replica in &sharing {
        let hits = replica.metric("sentinel_cache_requests_total", "tier=\"redis\",outcome=\"hit\"").await;
        reads.push((replica.store_reads().await, hits));
    }
    eprintln!("one key, {} requests at {REPLICAS} replicas: (reads of the store, hits in Redis) {reads:?}", crowd());
    assert_eq!(reads[0].1, 0.0);
    reads.iter().zip(&answers).for_each(|((store, redis), answers)| assert_one_read(store + redis, answers));
    stop([vec![learner], silent, sharing].into_iter().flatten().collect()).await;
}

/// One read for the whole crowd; a request that was put off may have begun another.
fn assert_one_read(reads: f64, answers: &BTreeMap<String, usize>) {
    assert!((1.0..=1.0 + answers[PUT_OFF] as f64).contains(&reads), "{reads}: {answers:?}");
}

/// A crowd that asks for one new key does not hold up the first uses of others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_claimants_of_one_new_key_is_answered_and_starves_no_other_key() {
    let (url, redis) = (Postgres::shared().await.database().await, Redis::start().await);
    let replicas = start((0..REPLICAS).map(|_| replica(&url, Some(&redis.url())))).await;
    let started = Instant::now();
    let others = stream::iter(0..100).then(async |index| {
        let (key, asked) = (format!("sk-other-{index:03}-0123456789"), Instant::now());
        let (answer, put_off) = replicas[index % REPLICAS].decision(&key, OWNER).await;
        (answer, put_off, asked.elapsed())
    });
    let (answers, others) = join(ask_at_once(&replicas, stranger), others.collect::<Vec<_>>()).await;
    let mut claims = Vec::new();
    for replica in &replicas {
        claims.push(replica.store_claims().await);
    }
    let mut took: Vec<_> = others.iter().map(|(.., took)| *took).collect();
    took.sort();
    eprintln!(
        "one key, {} claimants in {:.1?}: {answers:?}; claims sent to the store by replica, 100 of other keys \
         included: {claims:?}; those of other keys took p50 {:.1?}, p99 {:.1?}",
        crowd(),
        started.elapsed(),
        quantile(&took, 0.5),
        quantile(&took, 0.99),
    );
    // Who was put off may be the owner by then.
    let owners = total(&answers, "first_use") + total(&answers, "bound");
    assert_eq!((owners, total(&answers, "ip_mismatch")), (1, crowd() - 1), "{answers:?}");
    assert!(others.iter().all(|(answer, ..)| answer.is_allow()), "{others:?}");
    // The first of each replica asks the store; the rest of its crowd is judged by what that one learned.
    let put_off = total(&answers, PUT_OFF) + others.iter().map(|(_, put_off, _)| put_off).sum::<usize>();
    assert!(claims.iter().sum::<f64>() < 100.0 + 10.0 * REPLICAS as f64 + put_off as f64, "{claims:?}");
    stop(replicas).await;
}

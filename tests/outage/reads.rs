//! What a lost or slow Redis costs the requests that would ask it: nothing.

use std::time::Duration;

use serde_json::Value;

use crate::{
    ATTACKER, OWNER, answers,
    common::{Sentinel, cut::Cut, postgres::Postgres, redis::Redis},
    measure::{Times, keys, measure},
    metric, reason, redis_is_up, replica, share,
};

const KEYS: usize = 2_000;

/// Of a replica that has just started: p50 and p99 of its first reads.
async fn cold_reads(fresh: &Sentinel, keys: &[String]) -> Times {
    measure(fresh, keys, OWNER, 4, |key, answer| assert_eq!(answer.reason(), "bound", "{key}")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cold_reads_are_right_whatever_becomes_of_redis() {
    let postgres = Postgres::start().await;
    let url = postgres.database().await;
    let mut redis = Redis::start().await;
    let cut = Cut::before(redis.address()).await;
    let (direct, slow) = (redis.url(), cut.through(&redis.url()));
    let fresh = async |redis: &str| replica(&url).set("redis.url", &format!("\"{redis}\"")).start().await;
    let keys = keys("cold", KEYS);

    let filler = fresh(&direct).await;
    redis_is_up(&filler).await;
    measure(&filler, &keys, OWNER, 16, |_, answer| assert_eq!(answer.reason(), "first_use")).await;
    // What was beyond the queue of writes is written when it is read.
    let mut table = vec![("none", cold_reads(&replica(&url).start().await, &keys).await)];
    for name in ["alive", "alive, again", "delayed by 50 ms", "paused", "killed"] {
        let fresh = fresh(if name.starts_with("delayed") { &slow } else { &direct }).await;
        redis_is_up(&fresh).await;
        match name {
            "delayed by 50 ms" => cut.delay(Duration::from_millis(50)),
            "paused" => redis.pause(),
            "killed" => redis.kill(),
            _ => {}
        }
        table.push((name, cold_reads(&fresh, &keys).await));
        assert_eq!(reason(&fresh, &keys[0], ATTACKER).await, "ip_mismatch");
        redis.resume();
        fresh.stop().await;
    }
    let lines: String = table.iter().map(|(name, times)| format!("{name:20}{times}\n")).collect();
    println!("\nRedis, and p50 and p99 in ms of {KEYS} cold reads\n{lines}");
}

/// Each kind of value that is none of ours, at the places of ours; tests/redis has the finer ones.
#[tokio::test]
async fn garbage_at_our_places_in_redis_is_not_used() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let redis = Redis::start().await;
    let start = async || replica(&url).set("redis.url", &format!("\"{}\"", redis.url())).start().await;
    let filler = start().await;
    redis_is_up(&filler).await;
    let keys = keys("garbage", 6);
    for key in &keys {
        assert_eq!(reason(&filler, key, OWNER).await, "first_use");
    }
    share(&redis, filler, &keys).await;
    let places = redis.command::<Vec<String>>(&["KEYS", "*"]).await;
    assert_eq!(places.len(), keys.len());
    let (other_version, cut_off) = ("\u{9}and a body", "\u{1}and no more");
    let commands: [&[&str]; 6] = [
        &["SET", "", "garbage"],
        &["SET", "", "\u{1}"],
        &["SET", "", other_version],
        &["SET", "", cut_off],
        &["RPUSH", "", "a", "list"],
        &["HSET", "", "a", "hash"],
    ];
    for (place, command) in places.iter().zip(commands) {
        redis.command::<i64>(&["DEL", place]).await;
        let words: Vec<_> = command.iter().map(|&word| if word.is_empty() { place.as_str() } else { word }).collect();
        redis.command::<::redis::Value>(&words).await;
    }
    let fresh = start().await;
    redis_is_up(&fresh).await;
    for key in &keys {
        assert_eq!(reason(&fresh, key, ATTACKER).await, "ip_mismatch", "{key}");
        answers(&fresh, key, OWNER, "bound").await;
    }
    let hits = metric(&fresh, "sentinel_cache_requests_total{tier=\"redis\",outcome=\"hit\"}").await;
    assert_eq!(hits, 0.0);
    for line in fresh.log().lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
    fresh.stop().await;
}

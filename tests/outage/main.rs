//! What is lost, over the real processes: PostgreSQL and Redis stopped, killed, hung or changed under replicas that
//! serve. docs/monitoring.md, "When the store fails", says what must be seen.
//!
//! The database's clock cannot be made to jump here; tests/failure does that with time as an argument.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on panics, and tables are printed")]

mod altered;
mod commands;
#[path = "../common/mod.rs"]
mod common;
mod failover;
mod full;
mod hung;
mod matrix;
mod measure;
mod reads;
mod refused;
mod starting;
mod suspend;
mod table;
mod under_load;

use std::time::Duration;

use common::{Home, Sentinel, eventually, postgres::PASSWORD, redis::Redis, sentinel, within};
use measure::measure;
use tokio::time::sleep;

const OWNER: &str = "203.0.113.7";
const ATTACKER: &str = "198.51.100.9";
/// More than the causes of an outage have together, even on a machine that loses and finds the store again meanwhile; the
/// requests are hundreds.
const LINES: usize = 20;

/// A replica of the database of this URL.
fn replica(url: &str) -> Home {
    sentinel().set("store.url", &format!("\"{url}\""))
}

async fn reason(sentinel: &Sentinel, key: &str, from: &str) -> String {
    sentinel.check().key(key).from(from).send().await.reason().to_owned()
}

/// Asks until the answer is this one.
async fn answers(sentinel: &Sentinel, key: &str, from: &str, expected: &str) {
    let what = format!("{key} from {from} is {expected}");
    eventually(&what, async || (reason(sentinel, key, from).await == expected).then_some(())).await;
}

/// Asks for one new key after the other until one is won; of a claim that is answered too late the store may know.
async fn wins_a_key(sentinel: &Sentinel, name: &str) {
    let mut tried = 0;
    eventually("a new key is won", async || {
        tried += 1;
        let key = format!("sk-{name}-{tried}-0123456789");
        (reason(sentinel, &key, OWNER).await == "first_use").then_some(())
    })
    .await;
}

async fn is_ready(sentinel: &Sentinel) -> bool {
    sentinel.get("/readyz").await.0 == 200
}

async fn ready(sentinel: &Sentinel, is: bool) {
    let what = format!("ready is {is}");
    eventually(&what, async || (is_ready(sentinel).await == is).then_some(())).await;
}

async fn metric(sentinel: &Sentinel, series: &str) -> f64 {
    let (_, page) = sentinel.get("/metrics").await;
    let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {series} in {page}")).parse().unwrap()
}

/// Has Redis know whose these keys are, which `filler` knows, and ends it.
///
/// On a machine that is too busy for Redis to answer in 5 ms, a key may not be shared when it is claimed. Who reads it from
/// the store shares it too.
async fn share(redis: &Redis, mut filler: Sentinel, keys: &[String]) {
    let shared = async {
        sleep(Duration::from_millis(100)).await;
        while redis.command::<usize>(&["DBSIZE"]).await < keys.len() {
            filler = filler.stop().await.start().await;
            redis_is_up(&filler).await;
            measure(&filler, keys, OWNER, 4, |_, answer| assert_eq!(answer.reason(), "bound")).await;
            sleep(Duration::from_millis(100)).await;
        }
        filler.stop().await;
    };
    within("all are shared", shared).await;
}

async fn redis_is_up(sentinel: &Sentinel) {
    eventually("Redis is heard", async || (metric(sentinel, "sentinel_redis_up").await == 1.0).then_some(())).await;
}

/// The lines of the log with all of these words. Checks that the log shows no password.
fn log_lines(sentinel: &Sentinel, words: &[&str]) -> Vec<String> {
    let log = sentinel.log();
    assert!(!log.contains(PASSWORD), "the password: {log}");
    let lines = log.lines().filter(|line| words.iter().all(|word| line.contains(word)));
    lines.map(str::to_owned).collect()
}

/// Waits for such a line.
async fn wait_for_log(sentinel: &Sentinel, words: &[&str]) {
    let what = format!("{words:?} is logged");
    eventually(&what, async || (!log_lines(sentinel, words).is_empty()).then_some(())).await;
}

//! What is lost, over the real processes: PostgreSQL and Redis stopped, killed, hung or changed under replicas that
//! serve. README, "When something fails", says what must be seen.
//!
//! The database's clock cannot be made to jump here; tests/failure does that with time as an argument.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on panics, and tables are told")]

mod altered;
mod commands;
#[path = "../common/mod.rs"]
mod common;
mod hung;
mod matrix;
mod measure;
mod reads;
mod refused;
mod starting;
mod table;
mod under_load;

use common::{Home, Sentinel, eventually, postgres::PASSWORD, sentinel};

const OWNER: &str = "203.0.113.7";
const THIEF: &str = "198.51.100.9";

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

async fn redis_is_up(sentinel: &Sentinel) {
    eventually("Redis is heard", async || (metric(sentinel, "sentinel_redis_up").await == 1.0).then_some(())).await;
}

/// The lines of the log with all of these words, which tell no password.
fn told(sentinel: &Sentinel, words: &[&str]) -> Vec<String> {
    let log = sentinel.log();
    assert!(!log.contains(PASSWORD), "the password: {log}");
    let told = log.lines().filter(|line| words.iter().all(|word| line.contains(word)));
    told.map(str::to_owned).collect()
}

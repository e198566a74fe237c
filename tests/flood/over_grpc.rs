//! Through the real server, its SQLite store and its default budgets.

use std::time::Instant;

use futures_util::{StreamExt, future::join_all, stream};

use crate::{
    common::{Dice, Sentinel, grpc::Channel, sentinel},
    memory_of, number,
};

const KNOWN: usize = 1_000;
/// One in so many requests is an owner's.
const OWNERS: usize = 4;
const NETWORKS: usize = 200;
const CONNECTIONS: usize = 4;
const AT_ONCE: usize = 128;

fn known(index: usize) -> (String, String) {
    (format!("sk-known-{index:05}-0123456789"), format!("10.1.{}.{}", index / 200, index % 200))
}

fn thief(index: usize) -> String {
    format!("203.0.113.{}", index % NETWORKS)
}

async fn metric(sentinel: &Sentinel, series: &str) -> f64 {
    let (_, page) = sentinel.get("/metrics").await;
    let line = page.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("no {series}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[derive(Default, Debug)]
struct Told {
    bound: usize,
    claimed: usize,
    limited: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_do_not_notice_and_the_store_holds_what_the_budgets_allow() {
    let flood = number("SENTINEL_FLOOD_KEYS", 10_000);
    // The owners' networks have no budget, so that they can be made at once; the flood's have the default one.
    let home = sentinel().unset("claims.per_network").set("claims.exempt", "[\"10.0.0.0/8\"]");
    let sentinel = home.start().await;
    let channels = join_all((0..CONNECTIONS).map(|_| sentinel.connect())).await;
    for index in 0..KNOWN {
        let (key, owner) = known(index);
        assert_eq!(sentinel.check().key(&key).from(&owner).send().await.reason(), "first_use");
    }
    let hits = metric(&sentinel, "sentinel_cache_requests_total{tier=\"process\",outcome=\"hit\"}").await;
    let (started, before) = (Instant::now(), memory_of(sentinel.pid(), "VmRSS"));
    let mut early = None;
    let mut told = Told::default();
    let mut answers =
        stream::iter(0..flood).map(|index| request(&sentinel, &channels, index)).buffer_unordered(AT_ONCE);
    while let Some(reasons) = answers.next().await {
        for reason in reasons {
            match reason.as_str() {
                "bound" => told.bound += 1,
                "first_use" => told.claimed += 1,
                "claim_limited" => told.limited += 1,
                other => panic!("{other}"),
            }
        }
        if early.is_none() && told.limited > flood / 5 {
            early = Some(memory_of(sentinel.pid(), "VmRSS"));
        }
    }
    let took = started.elapsed();
    assert_eq!(told.claimed + told.limited, flood);

    let hits = metric(&sentinel, "sentinel_cache_requests_total{tier=\"process\",outcome=\"hit\"}").await - hits;
    let rate = hits / told.bound as f64;
    assert!(rate >= 0.99, "owners were found in memory {rate:.4} of the time");
    let rows = sentinel.home().store().number("SELECT count(*) FROM bindings").await as usize;
    // Thirty at once, and one every two seconds.
    let allowed = NETWORKS * (30 + 1 + took.as_secs() as usize / 2);
    assert_eq!(rows, KNOWN + told.claimed);
    assert!(told.claimed <= allowed, "{} rows, {allowed} allowed", told.claimed);
    let (early, after) = (early.unwrap_or(before), memory_of(sentinel.pid(), "VmRSS"));
    eprintln!(
        "{flood} new keys and {} owners' requests in {took:.1?}: {told:?}, hit rate {rate:.5}, RSS {before:.1} -> \
         {early:.1} (a fifth) -> {after:.1} MiB",
        told.bound
    );
    // After a fifth of the flood everything that it can fill is full.
    assert!(after < early + 48.0, "the memory grows with the flood: {early:.1} -> {after:.1} MiB");
}

/// One new key, and sometimes an owner.
async fn request(sentinel: &Sentinel, channels: &[Channel], index: usize) -> Vec<String> {
    let channel = &channels[index % channels.len()];
    let mut dice = Dice::new(index as u64);
    let new = format!("sk-flood-{index:08}-{:08}", dice.below(100_000_000));
    let asked = sentinel.check().key(&new).from(&thief(index)).over(channel).send().await;
    let mut reasons = vec![asked.reason().to_owned()];
    if index.is_multiple_of(OWNERS) {
        let (key, owner) = known(dice.below(KNOWN));
        reasons.push(sentinel.check().key(&key).from(&owner).over(channel).send().await.reason().to_owned());
    }
    reasons
}

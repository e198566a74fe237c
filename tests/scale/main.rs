//! A PostgreSQL store with many bindings: how long a process takes to be ready, what it holds in memory, what a key costs
//! that it has not seen yet, and what the archiving job costs those who ask meanwhile.
//!
//! `make test` takes some thousands; `make scale` a million, in release.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test that cannot go on panics; figures are printed")]

#[path = "../common/mod.rs"]
mod common;

use std::{
    fmt::Write as _,
    fs,
    time::{Duration, Instant},
};

use bytes::Bytes;
use common::{Dice, PEPPER, Sentinel, database::open_postgres, eventually, postgres::Postgres, sentinel};
use futures_util::{SinkExt, StreamExt, stream};
use key_ip_sentinel::{
    domain::{ApiKey, KeyHasher, Pepper},
    store::postgres::Options,
};
use tokio_postgres::NoTls;

/// Requests of one measurement, and how many at once.
const ASKED: usize = 2_000;
const AT_ONCE: usize = 8;
/// Every fifth is a key that nobody ever used.
const NEW: usize = 5;

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

fn key(index: usize) -> String {
    format!("sk-scale-{index:08}-0123456789")
}

fn owner(index: usize) -> String {
    format!("10.{}.{}.{}", index >> 16 & 255, index >> 8 & 255, index & 255)
}

/// As so many first uses would have left them; every one before `idle` was made a day ago, the others now.
async fn fill(url: &str, bindings: usize, idle: usize) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    let hasher = KeyHasher::new(Pepper::from_setting(PEPPER).unwrap(), "default", true);
    let copy = |table: &str| format!("COPY {table} FROM STDIN");
    let columns = "bindings (key_id, digest, pepper, realm, hint, state, created_at)";
    let tables = [copy(columns), copy("binding_networks (key_id, network)")];
    for (table, sql) in tables.iter().enumerate() {
        let sink = client.copy_in::<_, Bytes>(sql).await.unwrap();
        let mut sink = std::pin::pin!(sink);
        let mut lines = String::new();
        for index in 0..bindings {
            let found = hasher.fingerprint(&ApiKey::new(key(index)));
            let id = found.digest.new_id();
            if table == 0 {
                let digest: String = found.digest.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
                let made = if index < idle { "yesterday" } else { "now" };
                let (pepper, hint) = (&found.pepper, found.hint.as_ref().unwrap().as_str());
                writeln!(lines, "{id}\t\\\\x{digest}\t{pepper}\tdefault\t{hint}\tlearned\t{made}").unwrap();
            } else {
                writeln!(lines, "{id}\t{}/32", owner(index)).unwrap();
            }
            if lines.len() > 1 << 20 {
                sink.send(std::mem::take(&mut lines).into()).await.unwrap();
            }
        }
        sink.send(lines.into()).await.unwrap();
        sink.close().await.unwrap();
    }
    client.batch_execute("ANALYZE").await.unwrap();
}

/// The times of [`ASKED`] requests, known and unknown apart, sorted; in milliseconds.
async fn ask(sentinel: &Sentinel, dice: &mut Dice, known: std::ops::Range<usize>, name: &str) -> [Vec<f64>; 2] {
    let asked: Vec<_> = (0..ASKED)
        .map(|number| match number % NEW {
            0 => (format!("sk-new-{name}-{number:08}-0123456789"), owner(number), "first_use"),
            _ => {
                let index = known.start + dice.below(known.len());
                (key(index), owner(index), "bound")
            }
        })
        .collect();
    let mut times = [Vec::new(), Vec::new()];
    let mut answers = stream::iter(asked)
        .map(async |(key, from, reason)| {
            let began = Instant::now();
            let answer = sentinel.check().key(&key).from(&from).send().await;
            assert_eq!(answer.reason(), reason, "{key}");
            (reason == "first_use", began.elapsed().as_secs_f64() * 1e3)
        })
        .buffer_unordered(AT_ONCE);
    while let Some((is_new, took)) = answers.next().await {
        times[usize::from(is_new)].push(took);
    }
    drop(answers);
    times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    times
}

fn told(what: &str, [known, new]: &[Vec<f64>; 2]) {
    let at = |times: &[f64], part: f64| times[((times.len() - 1) as f64 * part) as usize];
    let of = |times: &[f64]| format!("p50 {:.2}, p99 {:.2} ms", at(times, 0.5), at(times, 0.99));
    eprintln!("{what}: known but not cached {}; first use {}", of(known), of(new));
}

fn memory_of(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_many_bindings_is_ready_at_once_and_archived_beside_the_traffic() {
    let (bindings, idle) = (number("SENTINEL_SCALE_BINDINGS", 20_000), number("SENTINEL_SCALE_IDLE", 1_000));
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    open_postgres(&Options::parse(&url, 2).unwrap(), &Pepper::from_setting(PEPPER).unwrap().into()).await;
    let began = Instant::now();
    fill(&url, bindings, idle).await;
    eprintln!("{bindings} bindings, {idle} of them idle, written in {:.1?}", began.elapsed());

    let home = |archive: &str| {
        sentinel().set("store.url", &format!("\"{url}\"")).set("binding.archive_after", &format!("\"{archive}\""))
    };
    let began = Instant::now();
    let before = home("0s").start().await;
    eprintln!("ready after {:.0?}, RSS {:.1} MiB", began.elapsed(), memory_of(before.pid()));
    let mut dice = Dice::new(1);
    let rounds = number("SENTINEL_SCALE_ROUNDS", 1);
    let mut all = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        let times = ask(&before, &mut dice, idle..bindings, &format!("before-{round}")).await;
        all.iter_mut().zip(times).for_each(|(all, times)| all.extend(times));
    }
    all.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    told("before the archive", &all);
    eprintln!("RSS {:.1} MiB after {} requests", memory_of(before.pid()), rounds * ASKED);
    drop(before);

    let during = home("1h").start().await;
    let (began, mut all) = (Instant::now(), [Vec::new(), Vec::new()]);
    let archived = async || -> usize {
        let rows = postgres.query(&url, "SELECT count(*) FROM archive").await;
        rows[0][0].parse().unwrap()
    };
    let mut round = 0;
    while archived().await < idle && began.elapsed() < Duration::from_secs(1200) {
        let times = ask(&during, &mut dice, idle..bindings, &format!("during-{round}")).await;
        all.iter_mut().zip(times).for_each(|(all, times)| all.extend(times));
        round += 1;
    }
    all.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
    if round > 0 {
        told("during the archive", &all);
    }
    eventually("everything idle is archived", async || (archived().await == idle).then_some(())).await;
    eprintln!("{idle} archived in {:.1?}, beside {} requests", began.elapsed(), round * ASKED);
    let left = postgres.query(&url, "SELECT count(*) FROM bindings WHERE created_at < now() - interval '1 hour'").await;
    assert_eq!(left[0][0], "0");
}

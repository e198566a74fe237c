//! Every cell of the table, with its latency beside that of the same keys while nothing is lost.

use std::{
    cell::RefCell,
    collections::HashMap,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use nix::sys::signal::Signal::SIGHUP;

use crate::{
    ATTACKER, OWNER, answers,
    common::{Sentinel, eventually, postgres::Postgres, redis::Redis},
    measure::{Times, keys, measure},
    metric, ready, redis_is_up, replica, share,
    table::{Promise, promises},
};

/// The checks of one cell.
const CHECKS: usize = 200;
const OWNED: &str = "sk-owned-here-0123456789";
const BANNED: &str = "sk-banned-here-0123456789";
/// What `store.failsafe` is, in the order of [`Promise::answers`].
const FAILSAFES: [&str; 2] = ["closed", "open"];

#[derive(Clone, Copy, PartialEq)]
enum Trouble {
    None,
    Killed,
    Paused,
    NotConfigured,
}

/// The servers, and replicas that know [`OWNED`] and [`BANNED`].
struct Scene {
    postgres: Postgres,
    redis: Option<Redis>,
    /// With a grace that outlasts the test, and the shortest one: so nothing here hangs on how fast the test is.
    recent: [Sentinel; 2],
    old: [Sentinel; 2],
}

impl Scene {
    async fn new(trouble: Trouble) -> Self {
        let postgres = Postgres::start().await;
        let url = postgres.database().await;
        let redis = if trouble == Trouble::NotConfigured { None } else { Some(Redis::start().await) };
        let start = async |failsafe: &str, grace: &str| {
            let home = replica(&url).set("store.failsafe", &format!("\"{failsafe}\""));
            let home = home.set("store.stale_grace", &format!("\"{grace}\""));
            match &redis {
                Some(redis) => home.set("redis.url", &format!("\"{}\"", redis.url())).start().await,
                None => home.start().await,
            }
        };
        let filler = start("closed", "10m").await;
        let recent = FAILSAFES.map(|failsafe| start(failsafe, "10m"));
        let old = FAILSAFES.map(|failsafe| start(failsafe, "2s"));
        let (recent, old) = tokio::join!(join_all(recent), join_all(old));
        let [recent, old] = [recent, old].map(|two| two.try_into().ok().unwrap());
        let scene = Self { postgres, redis, recent, old };
        scene.fill(filler).await;
        scene
    }

    fn replicas(&self) -> impl Iterator<Item = &Sentinel> {
        self.recent.iter().chain(&self.old)
    }

    /// `filler` claims what is known elsewhere.
    async fn fill(&self, filler: Sentinel) {
        for key in [OWNED, BANNED] {
            answers(&filler, key, OWNER, "bound").await;
        }
        filler.admin().await.ban(BANNED).await.unwrap();
        for replica in self.replicas() {
            answers(replica, OWNED, OWNER, "bound").await;
            answers(replica, BANNED, OWNER, "key_banned").await;
        }
        let sets = ["alive-recent", "stopped-recent", "stopped-old", "paused-recent", "paused-old"];
        let elsewhere: Vec<_> = sets.iter().flat_map(|set| keys(set, CHECKS)).collect();
        measure(&filler, &elsewhere, OWNER, 8, |_, answer| drop(answer)).await;
        for key in &elsewhere {
            answers(&filler, key, OWNER, "bound").await;
        }
        let Some(redis) = &self.redis else { return };
        share(redis, filler, &elsewhere).await;
        join_all(self.replicas().map(redis_is_up)).await;
    }

    async fn check(&self, promise: &Promise, name: &str) -> [Times; 2] {
        let replicas = if promise.poll == "old" { &self.old } else { &self.recent };
        let [closed, open] = [0, 1].map(|which| self.cell(&replicas[which], promise, which, name));
        let (closed, open) = tokio::join!(closed, open);
        [closed, open]
    }

    async fn cell(&self, replica: &Sentinel, promise: &Promise, which: usize, name: &str) -> Times {
        let Promise { key, postgres, poll, .. } = promise;
        let expected = promise.answers[which];
        let (keys, from) = match *key {
            "owner" => (vec![OWNED.to_owned(); CHECKS], OWNER),
            "stranger" => (vec![OWNED.to_owned(); CHECKS], ATTACKER),
            "banned" => (vec![BANNED.to_owned(); CHECKS], OWNER),
            "elsewhere" => (keys(&format!("{postgres}-{poll}"), CHECKS), OWNER),
            "unknown" => (keys(&format!("unknown-{postgres}-{poll}-{which}"), CHECKS), OWNER),
            other => panic!("no such key: {other}"),
        };
        let at_once = if expected == "deadline_exceeded" { 50 } else { 1 };
        let wrong = RefCell::new(Vec::new());
        let times = measure(replica, &keys, from, at_once, |key, answer| {
            if answer.reason() != expected {
                wrong.borrow_mut().push((key.to_owned(), answer.reason().to_owned()));
            }
        })
        .await;
        let wrong = wrong.into_inner();
        if promise.needs_redis() {
            // A machine that is too busy for Redis to answer in 5 ms has no Redis for a second.
            for (key, _) in &wrong {
                answers(replica, key, from, expected).await;
            }
        } else {
            let failsafe = FAILSAFES[which];
            assert!(wrong.is_empty(), "Redis {name} × {postgres} × {key} × {poll} × {failsafe}: {:?}", wrong[0]);
        }
        times
    }
}

/// The default, where the store hangs: what a busy machine keeps is what the other cells are about.
async fn reload_deadline(sentinel: &Sentinel) {
    let applied = "sentinel_config_reloads_total{outcome=\"applied\"}";
    let before = metric(sentinel, applied).await;
    sentinel.home().rewrite_config(|text| text.replace("check_deadline = \"10s\"", "check_deadline = \"150ms\""));
    sentinel.signal(SIGHUP);
    eventually("it is read", async || (metric(sentinel, applied).await > before).then_some(())).await;
}

async fn all_cells(name: &str, trouble: Trouble) {
    let began = Instant::now();
    let mut scene = Scene::new(trouble).await;
    let promises = promises(trouble == Trouble::None);
    match (trouble, scene.redis.as_mut()) {
        (Trouble::Killed, Some(redis)) => redis.kill(),
        (Trouble::Paused, Some(redis)) => redis.pause(),
        _ => {}
    }
    let mut table = Vec::new();
    for postgres in ["alive", "stopped", "paused"] {
        match postgres {
            "stopped" => scene.postgres.stop().await,
            "paused" => {
                scene.postgres.start_again().await;
                for replica in scene.replicas() {
                    ready(replica, true).await;
                    answers(replica, &format!("sk-back-{name}-0123456789"), OWNER, "bound").await;
                    reload_deadline(replica).await;
                }
                scene.postgres.pause();
            }
            _ => {}
        }
        for poll in ["recent", "old"] {
            if poll == "old" && postgres != "alive" {
                join_all(scene.old.iter().map(|replica| ready(replica, false))).await;
            }
            let now = promises.iter().filter(|promise| (promise.postgres, promise.poll) == (postgres, poll));
            for promise in now {
                table.push((promise, scene.check(promise, name).await));
            }
        }
    }
    for replica in scene.replicas() {
        replica.assert_no_panic();
    }
    print(name, &table, began.elapsed());
}

fn print(name: &str, table: &[(&Promise, [Times; 2])], took: Duration) {
    let healthy: HashMap<_, _> =
        table.iter().filter(|row| row.0.postgres == "alive").map(|row| (row.0.key, &row.1)).collect();
    let mut text = format!("\nRedis {name}: p50 and p99 in ms of {CHECKS} checks a cell ({took:.0?} in all)\n");
    let heading = ["PostgreSQL", "key", "poll", "closed", "", "open", "", "healthy: closed, open"];
    let line = |cells: [&str; 8]| {
        let [postgres, key, poll, closed, times, open, other, healthy] = cells;
        format!("{postgres:11}{key:10}{poll:7}{closed:18}{times:15}{open:18}{other:15}{healthy}\n")
    };
    text += &line(heading);
    for (Promise { postgres, key, poll, answers: [closed, open], .. }, times) in table {
        let [one, other] = [&times[0], &times[1]].map(Times::to_string);
        let beside = healthy[key].each_ref().map(Times::to_string).join("  ");
        text += &line([postgres, key, poll, closed, &one, open, &other, &beside]);
    }
    println!("{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_alive_every_cell_is_what_the_page_promises() {
    all_cells("alive", Trouble::None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_killed_every_cell_is_what_the_page_promises() {
    all_cells("killed", Trouble::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis_paused_every_cell_is_what_the_page_promises() {
    all_cells("paused", Trouble::Paused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_every_cell_is_what_the_page_promises() {
    all_cells("none", Trouble::NotConfigured).await;
}

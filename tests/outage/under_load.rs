//! Owners and thieves who never pause, while a replica is killed and the store is away for longer than the grace.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    LINES, OWNER, THIEF,
    common::{Sentinel, eventually, pauses::Pauses, postgres::Postgres},
    measure::keys,
    metric, ready, replica, told,
};

/// Of each replica, in each second.
const CHECKS: u32 = 200;
const GRACE: u64 = 5;
const OUTAGE: u64 = 20;
/// Claims that a replica has acknowledged when it is killed.
const ACKNOWLEDGED: usize = 300;

#[derive(Default)]
struct Load {
    over: AtomicBool,
    denials: AtomicU64,
}

impl Load {
    async fn ask(&self, sentinel: &Sentinel, key: &str, from: &str) -> String {
        let answer = sentinel.check().key(key).from(from).send().await;
        if !answer.is_allow() {
            self.denials.fetch_add(1, Ordering::SeqCst);
        }
        answer.reason().to_owned()
    }

    /// Owners and thieves by turns; what the owners were told, without repetitions.
    async fn run(&self, sentinel: &Sentinel, keys: &[String]) -> Vec<String> {
        let mut tick = interval(Duration::from_secs(1) / CHECKS);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = Vec::new();
        for key in keys.iter().cycle() {
            if self.over.load(Ordering::SeqCst) {
                break;
            }
            tick.tick().await;
            told.push(self.ask(sentinel, key, OWNER).await);
            told.dedup();
            tick.tick().await;
            assert_eq!(self.ask(sentinel, key, THIEF).await, "ip_mismatch");
        }
        told
    }
}

/// Claims as fast as it can until it is killed; the keys whose first use was acknowledged.
async fn claim_until_killed(sentinel: Sentinel) -> (crate::Home, Vec<String>) {
    let (claims, acknowledged) = (keys("claimed", 100_000), Mutex::new(Vec::new()));
    let worker = async |nth: usize| {
        let channel = sentinel.connect().await;
        for key in claims.iter().skip(nth).step_by(4) {
            let Some(answer) = sentinel.check().key(key).from(OWNER).over(&channel).try_send().await else { return };
            assert_eq!(answer.reason(), "first_use");
            acknowledged.lock().unwrap().push(key.clone());
        }
    };
    let killer = async {
        let count = async || (acknowledged.lock().unwrap().len() >= ACKNOWLEDGED).then_some(());
        eventually("it has claimed", count).await;
        sentinel.kill_now();
    };
    tokio::join!(worker(0), worker(1), worker(2), worker(3), killer);
    (sentinel.kill(), acknowledged.into_inner().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_and_an_outage_under_load_lose_no_claim_and_no_denial() {
    let mut postgres = Postgres::start().await;
    let url = postgres.database().await;
    let start = async || replica(&url).set("store.stale_grace", &format!("\"{GRACE}s\"")).start().await;
    let (one, other, killed) = tokio::join!(start(), start(), start());
    let owned = keys("owned", 20);
    let (load, pauses) = (Load::default(), Pauses::watched());
    for key in &owned {
        assert_eq!(load.ask(&one, key, OWNER).await, "first_use");
        assert_eq!(load.ask(&other, key, OWNER).await, "bound");
    }
    let troubles = async {
        let (home, acknowledged) = claim_until_killed(killed).await;
        let again = home.start().await;
        for (nth, key) in acknowledged.iter().enumerate() {
            let replica = [&one, &other, &again][nth % 3];
            assert_eq!(load.ask(replica, key, THIEF).await, "ip_mismatch", "{key}");
            assert_eq!(load.ask(replica, key, OWNER).await, "bound", "{key}");
        }
        again.stop().await;
        postgres.stop().await;
        let mut second = interval(Duration::from_secs(1));
        for _ in 0..=OUTAGE {
            second.tick().await;
        }
        for replica in [&one, &other] {
            ready(replica, false).await;
        }
        postgres.start_again().await;
        for replica in [&one, &other] {
            ready(replica, true).await;
            for key in &owned {
                assert_eq!(load.ask(replica, key, OWNER).await, "bound");
            }
        }
        load.over.store(true, Ordering::SeqCst);
        acknowledged.len()
    };
    let (owners, others, claims) = tokio::join!(load.run(&one, &owned), load.run(&other, &owned), troubles);
    for owners in [owners, others] {
        let phases = ["bound", "store_unavailable", "bound"];
        // A replica that stood still itself has missed polls, and finds the store away until the next.
        let excused = pauses.most_within(Duration::from_secs(GRACE)) > Duration::from_secs(GRACE) / 3
            && owners.starts_with(&phases.map(str::to_owned))
            && owners.iter().all(|reason| phases.contains(&&**reason))
            && owners.last().is_some_and(|last| last == "bound");
        assert!(owners == phases || excused, "{owners:?}");
    }
    let denials = load.denials.load(Ordering::SeqCst);
    let stored = "SELECT coalesce(sum(count), 0) FROM audit WHERE kind = 'denied'";
    let stored = async || postgres.query(&url, stored).await[0][0].parse::<u64>().unwrap();
    eventually("every denial is in the audit", async || (stored().await >= denials).then_some(())).await;
    for replica in [one, other] {
        // The poll, the audit, and what was not in the cache; and each of them again.
        let warnings = told(&replica, &["WARN"]);
        assert!(warnings.len() < LINES, "lines for each connection or request: {warnings:#?}");
        assert!(!told(&replica, &["the store does not answer; known keys are decided from cache"]).is_empty());
        assert_eq!(told(&replica, &["\"target\":\"deadpool"]), [""; 0]);
        assert_eq!(metric(&replica, "sentinel_audit_events_total{outcome=\"lost\"}").await, 0.0);
        replica.stop().await;
    }
    assert_eq!(stored().await, denials, "and none twice");
    println!("\n{claims} claims before a kill, {denials} denials around {OUTAGE} s without the store: all there");
}

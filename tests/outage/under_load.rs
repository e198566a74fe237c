//! Owners and attackers that never pause, while a replica is killed and the store is down for longer than the grace.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{
    ATTACKER, LINES, OWNER,
    common::{Sentinel, eventually, postgres::Postgres},
    log_lines,
    measure::keys,
    metric, ready, replica,
};

/// Of each replica, in each second.
const CHECKS: u32 = 200;
/// Of polls of a second each, so that a busy machine may be late with some, but not with all.
const GRACE: u64 = 10;
const OUTAGE: u64 = 20;
/// Claims that a replica has acknowledged when it is killed.
const ACKNOWLEDGED: usize = 300;

/// The phases of a test. The store is there.
const THERE: u8 = 0;
/// It goes, or comes, or has been away for less than the grace.
const BETWEEN: u8 = 1;
/// Every replica has been without it for longer than the grace.
const LOST: u8 = 2;
/// Nothing more is asked.
const OVER: u8 = 3;

#[derive(Default)]
struct Load {
    phase: AtomicU8,
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

    fn phase(&self) -> u8 {
        self.phase.load(Ordering::SeqCst)
    }

    fn enter(&self, phase: u8) {
        self.phase.store(phase, Ordering::SeqCst);
    }

    /// Asks as owner and attacker alternately, and checks that each answer is right for its phase. Returns how many
    /// owners asked while the store was lost.
    async fn run(&self, sentinel: &Sentinel, keys: &[String]) -> usize {
        let mut tick = interval(Duration::from_secs(1) / CHECKS);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut lost = 0;
        for key in keys.iter().cycle() {
            tick.tick().await;
            let phase = self.phase();
            if phase == OVER {
                break;
            }
            let reason = self.ask(sentinel, key, OWNER).await;
            match phase {
                THERE if self.phase() == THERE => assert_eq!(reason, "bound"),
                LOST if self.phase() == LOST => {
                    assert_eq!(reason, "store_unavailable");
                    lost += 1;
                }
                _ => assert!(["bound", "store_unavailable"].contains(&&*reason), "{reason}"),
            }
            tick.tick().await;
            assert_eq!(self.ask(sentinel, key, ATTACKER).await, "ip_mismatch");
        }
        lost
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
    let load = Load::default();
    for key in &owned {
        assert_eq!(load.ask(&one, key, OWNER).await, "first_use");
        assert_eq!(load.ask(&other, key, OWNER).await, "bound");
    }
    let troubles = async {
        let (home, acknowledged) = claim_until_killed(killed).await;
        let again = home.start().await;
        for (nth, key) in acknowledged.iter().enumerate() {
            let replica = [&one, &other, &again][nth % 3];
            assert_eq!(load.ask(replica, key, ATTACKER).await, "ip_mismatch", "{key}");
            assert_eq!(load.ask(replica, key, OWNER).await, "bound", "{key}");
        }
        again.stop().await;
        load.enter(BETWEEN);
        postgres.stop().await;
        for replica in [&one, &other] {
            ready(replica, false).await;
        }
        load.enter(LOST);
        sleep(Duration::from_secs(OUTAGE - GRACE)).await;
        load.enter(BETWEEN);
        postgres.start_again().await;
        for replica in [&one, &other] {
            ready(replica, true).await;
            for key in &owned {
                assert_eq!(load.ask(replica, key, OWNER).await, "bound");
            }
        }
        load.enter(THERE);
        sleep(Duration::from_secs(1)).await;
        load.enter(OVER);
        acknowledged.len()
    };
    let (owners, others, claims) = tokio::join!(load.run(&one, &owned), load.run(&other, &owned), troubles);
    assert!(owners > 0 && others > 0, "somebody asked while the store was lost");
    let denials = load.denials.load(Ordering::SeqCst);
    let stored = "SELECT coalesce(sum(count), 0) FROM audit WHERE kind = 'denied'";
    let stored = async || postgres.query(&url, stored).await[0][0].parse::<u64>().unwrap();
    eventually("every denial is in the audit", async || (stored().await >= denials).then_some(())).await;
    for replica in [one, other] {
        // The poll, the audit, and what was not in the cache; and each of them again.
        let warnings = log_lines(&replica, &["WARN"]);
        assert!(warnings.len() < LINES, "lines for each connection or request: {warnings:#?}");
        assert!(!log_lines(&replica, &["the store does not answer; known keys are decided from cache"]).is_empty());
        assert_eq!(log_lines(&replica, &["\"target\":\"deadpool"]), [""; 0]);
        assert_eq!(metric(&replica, "sentinel_audit_events_total{outcome=\"lost\"}").await, 0.0);
        replica.stop().await;
    }
    assert_eq!(stored().await, denials, "and none twice");
    println!("\n{claims} claims before a kill, {denials} denials around {OUTAGE} s without the store: all there");
}

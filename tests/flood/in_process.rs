//! Budgets and cache alone: no sockets, and a store in memory.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use key_ip_sentinel::{
    cache::Cached,
    domain::{ApiKey, ClientIp, KeyRing, Missing, Mode, Pepper, Reason, Timestamp, event::DecisionId},
    engine::{Decision, Engine, Request},
    settings::{ClaimLimits, Rate, Settings},
    store::{Changes, HistoryId, ReplicaState, Revision, rekey},
    telemetry::metrics::Metrics,
};
use tokio::time::Instant;

use crate::{common::Dice, memory::Memory, memory_of, number};

const KNOWN: usize = 10_000;
/// Less than the flood claims, so that it could push the owners out.
const CAPACITY: usize = 20_000 * Cached::TYPICAL_KEY;
/// As many as the limiter remembers with ease, each with one claim.
const NETWORKS: usize = 50_000;

fn request(key: String, ip: ClientIp) -> Request {
    Request {
        ip: Some(ip),
        key: Ok(Some(ApiKey::new(key))),
        missing: Missing::Deny,
        mode: Mode::Enforce,
        decision_id: DecisionId(1),
    }
}

fn owner(index: usize) -> ClientIp {
    ClientIp::new(Ipv4Addr::from(0x0a00_0000 + index as u32).into())
}

fn reason(decision: &Decision) -> Reason {
    match decision {
        Decision::Allow(permit) => permit.reason(),
        Decision::Deny(denial) => denial.reason,
    }
}

#[tokio::test]
async fn no_flood_pushes_owners_out_or_fills_the_memory() {
    let flood = number("SENTINEL_FLOOD_IN_PROCESS", 100_000);
    let metrics = Metrics::new().unwrap();
    let ring = Arc::new(KeyRing::new(Pepper::new(&[7; 32]).unwrap().into(), "default", true));
    let cached = Arc::new(Cached::new(Arc::new(Memory::default()), CAPACITY, metrics.store.clone(), |_| {}));
    let started = Instant::now();
    let replica_state = Arc::new(ReplicaState::new(started));
    let heard = Changes {
        now: Timestamp::from_millis(1_767_225_600_000),
        revision: Revision(0),
        changed: Vec::new(),
        complete_from: Revision(0),
        history: HistoryId(0),
        active_pepper: ring.active(),
        other_peppers: Vec::new(),
    };
    replica_state.polled(&heard, started);
    let one_a_day = Rate { claims: 1, per: Duration::from_secs(86_400) };
    let claims = ClaimLimits { per_network: Some(one_a_day), ..ClaimLimits::default() };
    let settings = Settings { stale_grace: Duration::from_secs(86_400), claims, ..Settings::default() };
    let engine = Engine::new(Arc::clone(&ring), rekey::Queue::new().0, Arc::clone(&cached), replica_state);
    let patience = Instant::now() + Duration::from_secs(86_400);
    let known = |index: usize| request(format!("sk-known-{index:08}-0123456789"), owner(index));
    for index in 0..KNOWN {
        // A network of its own each: its budget is not asked twice.
        assert_eq!(reason(&engine.decide(&settings, &known(index), started, patience).await), Reason::FirstUse);
    }

    let mut dice = Dice::new(1);
    let (mut claimed, mut limited, mut hits, mut asked) = (0usize, 0usize, 0usize, 0usize);
    let mut early = None;
    for number in 0..flood {
        let ip = ClientIp::new(Ipv4Addr::from(0x6400_0000 + dice.below(NETWORKS) as u32).into());
        let new = request(format!("sk-flood-{number:010}-0123456789"), ip);
        match reason(&engine.decide(&settings, &new, started, patience).await) {
            Reason::FirstUse => claimed += 1,
            Reason::ClaimLimited => limited += 1,
            other => panic!("{other}"),
        }
        if number.is_multiple_of(8) {
            let index = dice.below(KNOWN);
            asked += 1;
            let digest = ring.digest(&ApiKey::new(format!("sk-known-{index:08}-0123456789")));
            hits += usize::from(cached.get([digest]).is_some());
            assert_eq!(reason(&engine.decide(&settings, &known(index), started, patience).await), Reason::Bound);
        }
        if number == flood / 5 {
            early = Some(memory_of(std::process::id(), "VmRSS"));
        }
    }
    let (early, after) = (early.unwrap(), memory_of(std::process::id(), "VmRSS"));
    let rate = hits as f64 / asked as f64;
    eprintln!(
        "{flood} new keys, {asked} owners' requests in {:.1?}: {claimed} claimed, {limited} limited, hit rate {rate:.5}, \
         RSS {early:.0} (a fifth) -> {after:.0} MiB",
        started.elapsed()
    );
    assert!(claimed <= NETWORKS, "{claimed} claims by {NETWORKS} networks");
    assert!(after < early + 64.0, "the memory grows with the flood: {early:.0} -> {after:.0} MiB");
    assert!(rate >= 0.99, "owners were found in memory {rate:.4} of the time");
}

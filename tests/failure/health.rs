//! SERVING from the first poll until the store has been silent for longer than the grace, and again when it answers.

use std::sync::Arc;

use key_ip_sentinel::{
    domain::{PepperId, Timestamp},
    ext_authz::SERVICE,
    store::{Changes, HistoryId, ReplicaState, Revision},
    telemetry::health::{Health, LastPoll},
};
use tokio::time::Instant;
use tonic_health::pb::health_check_response::ServingStatus;

use super::{
    GRACE, OWNER, SECOND,
    common::{Sentinel, eventually, sentinel},
};

#[test]
fn serving_follows_the_polls_and_never_returns_from_a_drain() {
    let start = Instant::now();
    let replica_state = Arc::new(ReplicaState::new(start));
    let heard = Arc::clone(&replica_state);
    let health = Health::new(move |now| LastPoll { fresh: heard.is_fresh(now, GRACE), ..LastPoll::default() });
    let judged = |at: Instant| {
        health.update(at);
        health.is_serving()
    };
    let polled = |at: Instant| {
        let (now, active_pepper) = (Timestamp::from_millis(1), PepperId::from_stored("a-pepper".to_owned()));
        replica_state.polled(
            &Changes {
                now,
                revision: Revision(0),
                changed: Vec::new(),
                complete_from: Revision(0),
                history: HistoryId(0),
                other_peppers: Vec::new(),
                active_pepper,
            },
            at,
        );
    };
    assert!(!health.is_serving());
    assert!(!judged(start), "no poll has succeeded yet");
    polled(start + SECOND);
    assert!(judged(start + SECOND));
    let end = start + SECOND + GRACE;
    assert!(judged(end));
    assert!(!judged(end + SECOND / 1000), "the store is silent for longer than the grace");
    polled(end + SECOND);
    assert!(judged(end + SECOND));
    health.drain();
    assert!(!health.is_serving());
    polled(end + SECOND);
    assert!(!judged(end + SECOND), "a poll does not undo a drain");
}

async fn becomes(sentinel: &Sentinel, page: u16, status: ServingStatus) {
    let what = format!("/readyz says {page}");
    eventually(&what, async || (sentinel.get("/readyz").await.0 == page).then_some(())).await;
    for service in ["", SERVICE] {
        let what = format!("health of {service:?} is {status:?}");
        eventually(&what, async || (sentinel.health(service).await == status).then_some(())).await;
    }
}

#[tokio::test]
async fn a_server_whose_polls_fail_stops_serving_after_the_grace_and_serves_again() {
    let sentinel = sentinel().set("store.stale_grace", "\"2s\"").start().await;
    let ask = async || sentinel.check().key("sk-0123456789").from(OWNER).send().await.reason().to_owned();
    assert_eq!(ask().await, "first_use");
    becomes(&sentinel, 200, ServingStatus::Serving).await;
    let database = sentinel.home().store();
    // Without an active pepper, the answers of the store are invalid.
    database.query("UPDATE peppers SET active = false").await;
    becomes(&sentinel, 503, ServingStatus::NotServing).await;
    assert_eq!(ask().await, "store_unavailable");
    database.query("UPDATE peppers SET active = true").await;
    becomes(&sentinel, 200, ServingStatus::Serving).await;
    assert_eq!(ask().await, "bound");
    sentinel.stop().await;
}

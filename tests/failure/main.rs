//! The store lost, slow, restored or out of step: the engine over the real SQLite store behind a switch, with time as
//! an argument; and the real server where only it can show it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod claims;
#[path = "../common/mod.rs"]
mod common;
mod drill;
mod follower;
mod health;
mod process;
mod restored;
mod rotation;
mod sealed;

use std::{sync::Arc, time::Duration};

use key_ip_sentinel::{
    domain::{Failsafe, Reason},
    store::{Action, HistoryId, Revision},
};
use process::Process;
use tokio::task::JoinHandle;

const OWNER: &str = "203.0.113.7";
const ATTACKER: &str = "198.51.100.9";
const GRACE: Duration = Duration::from_secs(600);
const SECOND: Duration = Duration::from_secs(1);

const BAN: Action = Action::Ban { lasting: None, reason: None };

/// A key of the owner's and a banned one, both in the cache; then the store is lost.
async fn cut_off(failsafe: Failsafe) -> Process {
    let process = Process::new(failsafe).await;
    process.poll(Duration::ZERO).await;
    for key in ["owned-key", "banned-key"] {
        assert_eq!(process.ask(key, OWNER, Duration::ZERO).await, Reason::FirstUse);
    }
    process.change("banned-key", BAN).await;
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("banned-key", OWNER, Duration::ZERO).await, Reason::KeyBanned);
    process.store.lose();
    process
}

#[tokio::test]
async fn known_keys_are_decided_from_memory_within_the_grace() {
    for failsafe in [Failsafe::Closed, Failsafe::Open] {
        let process = cut_off(failsafe).await;
        assert_eq!(process.ask("owned-key", OWNER, GRACE).await, Reason::Bound);
        assert_eq!(process.ask("owned-key", ATTACKER, GRACE).await, Reason::IpMismatch);
        assert_eq!(process.ask("banned-key", OWNER, GRACE).await, Reason::KeyBanned);
    }
}

#[tokio::test]
async fn after_the_grace_closed_refuses_owners_and_open_lets_them_pass() {
    for (failsafe, owner) in [(Failsafe::Closed, Reason::StoreUnavailable), (Failsafe::Open, Reason::FailsafeOpen)] {
        let process = cut_off(failsafe).await;
        let late = GRACE + SECOND;
        assert_eq!(process.ask("owned-key", OWNER, late).await, owner);
        assert_eq!(process.ask("owned-key", ATTACKER, late).await, Reason::IpMismatch, "{failsafe:?}");
        assert_eq!(process.ask("banned-key", OWNER, late).await, Reason::KeyBanned, "{failsafe:?}");
    }
}

#[tokio::test]
async fn unknown_keys_are_refused_under_closed_and_pass_unbound_under_open() {
    let process = cut_off(Failsafe::Closed).await;
    assert_eq!(process.ask("unknown-key", ATTACKER, SECOND).await, Reason::StoreUnavailable);
    let process = cut_off(Failsafe::Open).await;
    assert_eq!(process.ask("unknown-key", ATTACKER, SECOND).await, Reason::FailsafeOpen);
    process.store.find_again();
    assert_eq!(process.ask("unknown-key", OWNER, SECOND).await, Reason::FirstUse, "what passed unbound owns nothing");
}

#[tokio::test]
async fn before_the_first_poll_nothing_is_allowed_even_under_open() {
    let process = Process::new(Failsafe::Open).await;
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::StoreUnavailable);
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
}

#[tokio::test]
async fn owners_pass_again_when_the_store_is_back() {
    let process = cut_off(Failsafe::Closed).await;
    let late = GRACE + SECOND;
    assert_eq!(process.ask("owned-key", OWNER, late).await, Reason::StoreUnavailable);
    process.store.find_again();
    process.poll(late).await;
    assert_eq!(process.ask("owned-key", OWNER, late).await, Reason::Bound);
}

#[tokio::test]
async fn a_ban_ends_by_the_stores_clock_carried_on_by_ours() {
    let process = Process::new(Failsafe::Closed).await;
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
    process.change("some-key", Action::Ban { lasting: Some(60 * SECOND), reason: None }).await;
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", OWNER, 59 * SECOND).await, Reason::KeyBanned);
    assert_eq!(process.ask("some-key", OWNER, 61 * SECOND).await, Reason::Bound);
}

#[tokio::test]
async fn an_expired_ban_on_a_key_without_owner_leaves_it_to_the_next_first_use() {
    let process = Process::new(Failsafe::Closed).await;
    process.poll(Duration::ZERO).await;
    process.change("some-key", Action::Ban { lasting: Some(60 * SECOND), reason: None }).await;
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", ATTACKER, 59 * SECOND).await, Reason::KeyBanned);
    assert_eq!(process.ask("some-key", OWNER, 61 * SECOND).await, Reason::FirstUse);
}

/// A reader of `some-key` that has read that its owner may use it, and is answered after a ban was absorbed.
async fn slow_reader_of_a_banned_key(process: &Arc<Process>) -> JoinHandle<Reason> {
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
    // Out of the cache, by a change that leaves the key as it is.
    process.change("some-key", BAN).await;
    process.change("some-key", Action::Unban).await;
    process.poll(Duration::ZERO).await;

    process.store.reads.close();
    let mut reader = tokio::spawn({
        let process = Arc::clone(process);
        async move { process.ask("some-key", OWNER, Duration::ZERO).await }
    });
    tokio::select! {
        () = process.store.reads.arrival() => {}
        early = &mut reader => panic!("decided without a read: {early:?}"),
    }
    process.change("some-key", BAN).await;
    process.poll(Duration::ZERO).await;
    reader
}

#[tokio::test]
async fn a_slow_reader_does_not_decide_by_what_it_read_before_a_ban() {
    let process = Arc::new(Process::new(Failsafe::Closed).await);
    let reader = slow_reader_of_a_banned_key(&process).await;
    process.store.reads.open();
    assert_eq!(reader.await.unwrap(), Reason::KeyBanned);
}

/// Its read continues without it, and must not fill the cache.
#[tokio::test]
async fn a_slow_reader_that_was_cancelled_does_not_bring_a_banned_key_back() {
    let process = Arc::new(Process::new(Failsafe::Closed).await);
    let reader = slow_reader_of_a_banned_key(&process).await;
    reader.abort();
    assert!(reader.await.unwrap_err().is_cancelled());
    process.store.reads.open();
    // The read's task holds the third reference; it has filled the cache, or not, when it lets go.
    while Arc::strong_count(&process.cached) > 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::KeyBanned);
}

/// What is read is older than the changes that are logged, however often it is read.
#[tokio::test]
async fn a_revision_that_was_set_back_is_a_fault_and_not_read_for_ever() {
    let process = Process::new(Failsafe::Closed).await;
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
    process.change("some-key", BAN).await;
    process.change("some-key", Action::Unban).await;
    process.database().query("UPDATE revision SET value = 0").await;
    process.poll(Duration::ZERO).await;
    let reads = || {
        let reads = process.metric(r#"sentinel_store_request_duration_seconds_count{operation="lookup",outcome="ok"}"#);
        reads.parse::<u32>().unwrap()
    };
    let before = reads();
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::StoreUnavailable);
    assert!(reads() - before < 10, "{} reads", reads() - before);
    process.database().query("UPDATE revision SET value = 2").await;
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::Bound);
}

#[tokio::test]
async fn a_store_restored_from_a_backup_empties_the_cache() {
    let process = Process::new(Failsafe::Closed).await;
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
    let mut changes = common::database::heard(&*process.store, Revision(0)).await;
    changes.history = HistoryId(changes.history.0 + 1);
    process.cached.absorb(&changes);
    process.store.lose();
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::StoreUnavailable);
}

/// The panicked read stayed in the list of reads, and later callers got its error.
#[tokio::test]
async fn a_read_that_panics_does_not_fail_the_next() {
    let process = Process::new(Failsafe::Closed).await;
    process.poll(Duration::ZERO).await;
    process.store.break_once();
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::StoreUnavailable);
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
}

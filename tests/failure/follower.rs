//! What is known to be applied is what is decided by; and whose pepper it is.

use std::{sync::Arc, time::Duration};

use key_ip_sentinel::domain::{Failsafe, Reason};

use super::{
    BAN, OWNER, Process,
    common::{
        database::{Database, on_postgres},
        postgres::Postgres,
        sentinel, within,
    },
};

/// Gives the store another active pepper, as a rotation by another process would.
async fn rotate_pepper(database: &Database) {
    database.query("UPDATE peppers SET active = false").await;
    let another = "INSERT INTO peppers (id, check_value, active) SELECT 'another', check_value, true FROM peppers";
    database.query(another).await;
}

/// Enough changes before the relevant one that the caches take long to apply them, so that a reader that is notified
/// too early would be noticed. A server has a second to answer a poll.
fn many() -> u32 {
    if on_postgres() { 5_000 } else { 50_000 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_change_to_be_applied_never_sees_the_fact_before_it() {
    let process = Process::new(Failsafe::Closed).await;
    process.poll(Duration::ZERO).await;
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::FirstUse);
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::Bound);
    let digest = match process.database() {
        Database::Sqlite(_) => "randomblob(32)",
        Database::Postgres(_) => "sha256(value::text::bytea)",
    };
    let many = many();
    let others = format!(
        "WITH RECURSIVE number(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM number WHERE value < {many})
         INSERT INTO changes (revision, digest, at) SELECT value, {digest}, {} FROM number",
        process.database().now()
    );
    process.database().query(&others).await;
    process.database().query(&format!("UPDATE revision SET value = {many}")).await;
    let banned = process.change("some-key", BAN).await;
    let follower = tokio::spawn(process.follower().run(|_| {}));
    within("the ban is applied", process.replica_state.has_applied(banned)).await;
    assert!(process.cached.get([process.fingerprint("some-key").digest]).is_none());
    assert_eq!(process.ask("some-key", OWNER, Duration::ZERO).await, Reason::KeyBanned);
    follower.abort();
}

#[tokio::test]
async fn the_follower_of_a_store_with_another_pepper_ends() {
    let process = Arc::new(Process::new(Failsafe::Open).await);
    rotate_pepper(process.database()).await;
    let wrong = within("the follower ends", process.follower().run(|_| {})).await.to_string();
    assert!(
        wrong.starts_with(
            "pepper.secrets, pepper.secrets_file or DATA_DIR/pepper: the store's active pepper is another, but this process lists "
        ),
        "{wrong}"
    );
    assert_eq!(
        process.ask("some-key", OWNER, Duration::ZERO).await,
        Reason::StoreUnavailable,
        "and it applied nothing"
    );
}

#[tokio::test]
async fn a_server_whose_store_gets_another_pepper_stops_and_says_why() {
    let sentinel = sentinel().set("store.failsafe", "\"open\"").start().await;
    let store = sentinel.home().store();
    let own = store.query("SELECT id FROM peppers").await.concat().concat();
    rotate_pepper(&store).await;
    let (status, log, _) = sentinel.ended().await;
    assert_eq!(status.code(), Some(1), "{log}");
    let last = log.lines().last().unwrap();
    assert_eq!(
        last,
        format!(
            "error: pepper.secrets, pepper.secrets_file or DATA_DIR/pepper: the store's active pepper is another, but this process lists {own}"
        )
    );
}

/// An import through another replica, or a rotation there and back, brings keys under a pepper that only that one
/// lists. Without the check, an attacker that came here would be the first user of these keys.
#[tokio::test]
async fn a_server_that_does_not_list_a_pepper_with_keys_under_it_stops_and_says_which() {
    let url = Postgres::shared().await.database().await;
    let home = sentinel().set("store.url", &format!("\"{url}\""));
    let sentinel = home.start().await;
    let sql = "INSERT INTO peppers (id, check_value, active) VALUES ('01234567', sha256('x'), false)";
    let store = sentinel.home().store();
    store.query(sql).await;
    assert_eq!(sentinel.check().key("sk-first-0123456789").from(OWNER).send().await.reason(), "first_use");
    store
        .query(
            "INSERT INTO bans (key_id, digest, pepper, realm, actor, created_at)
             VALUES ('k_0123456789abcdef0123456789abcdef', sha256('k'), '01234567', 'default', 'uid:0', now())",
        )
        .await;
    let (status, log, _) = sentinel.ended().await;
    assert_eq!(status.code(), Some(1), "{log}");
    let last = log.lines().last().unwrap();
    assert!(
        last.starts_with(
            "error: pepper.secrets, pepper.secrets_file or DATA_DIR/pepper: keys of the store are under pepper 01234567"
        ),
        "{last}"
    );
}

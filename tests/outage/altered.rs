//! Tables that somebody altered under a replica that serves: decisions fail, the log says where, and it goes on by
//! itself when they are mended.

use crate::{
    ATTACKER, LINES, OWNER, answers,
    common::{Sentinel, eventually, postgres::Postgres},
    log_lines, ready, reason, replica, wait_for_log, wins_a_key,
};

/// A replica that knows one key, another key that it does not know, and its database.
struct Scene {
    postgres: &'static Postgres,
    url: String,
    sentinel: Sentinel,
}

const HERE: &str = "sk-known-here-0123456789";

impl Scene {
    async fn new() -> Self {
        let postgres = Postgres::shared().await;
        let url = postgres.database().await;
        let sentinel = replica(&url).set("store.stale_grace", "\"10s\"").start().await;
        assert_eq!(reason(&sentinel, HERE, OWNER).await, "first_use");
        let other = replica(&url).start().await;
        for key in (0..3).map(elsewhere) {
            assert_eq!(reason(&other, &key, OWNER).await, "first_use");
        }
        other.stop().await;
        Self { postgres, url, sentinel }
    }

    async fn alter(&self, sql: &str) {
        self.postgres.query(&self.url, sql).await;
    }

    async fn is_logged(&self, words: &[&str]) {
        let what = format!("{words:?} is logged");
        // A new connection may be what it takes to see how the table is now.
        eventually(&what, async || {
            assert_eq!(reason(&self.sentinel, &elsewhere(1), ATTACKER).await, "store_unavailable");
            (!log_lines(&self.sentinel, words).is_empty()).then_some(())
        })
        .await;
    }

    /// No decision is made by what cannot be read, and each is made again once it can.
    async fn fails_and_recovers(self, breaks: &str, says: &[&str], mends: &str) {
        self.alter(breaks).await;
        assert_eq!(reason(&self.sentinel, &elsewhere(0), OWNER).await, "store_unavailable");
        assert_eq!(reason(&self.sentinel, "sk-new-0123456789", ATTACKER).await, "store_unavailable");
        self.is_logged(says).await;
        for _ in 0..100 {
            assert_eq!(reason(&self.sentinel, &elsewhere(1), ATTACKER).await, "store_unavailable");
        }
        let lines = log_lines(&self.sentinel, &["WARN"]).len();
        assert!(lines < LINES, "{lines} lines:\n{}", self.sentinel.log());
        self.alter(mends).await;
        answers(&self.sentinel, &elsewhere(0), OWNER, "bound").await;
        // Whichever connection is next: none of them remembers.
        for nth in 0..30 {
            wins_a_key(&self.sentinel, &format!("after-{nth:02}")).await;
        }
        assert_eq!(reason(&self.sentinel, &elsewhere(2), ATTACKER).await, "ip_mismatch");
        assert_eq!(reason(&self.sentinel, HERE, OWNER).await, "bound");
        ready(&self.sentinel, true).await;
        self.sentinel.stop().await;
    }
}

fn elsewhere(nth: usize) -> String {
    format!("sk-elsewhere-{nth}-0123456789")
}

#[tokio::test]
async fn a_column_that_is_gone() {
    let scene = Scene::new().await;
    let breaks = "ALTER TABLE bindings RENAME COLUMN state TO was_state";
    let mends = "ALTER TABLE bindings RENAME COLUMN was_state TO state";
    scene.fails_and_recovers(breaks, &["WARN", "decisions fail", "binding.state does not exist"], mends).await;
}

#[tokio::test]
async fn a_column_that_is_dropped_and_made_again() {
    let scene = Scene::new().await;
    let breaks = "ALTER TABLE bindings DROP COLUMN note";
    let mends = "ALTER TABLE bindings ADD COLUMN note text";
    scene.fails_and_recovers(breaks, &["WARN", "decisions fail", "binding.note does not exist"], mends).await;
}

#[tokio::test]
async fn a_column_of_another_type() {
    let scene = Scene::new().await;
    let breaks = "DROP INDEX bindings_newest, bindings_unused;
        ALTER TABLE bindings ALTER COLUMN created_at TYPE text USING created_at::text";
    let mends = "ALTER TABLE bindings ALTER COLUMN created_at TYPE timestamptz USING created_at::timestamptz";
    scene.fails_and_recovers(breaks, &["WARN", "decisions fail", "bindings.created_at: "], mends).await;
}

/// It can be read still, but not by a statement that was prepared before.
#[tokio::test]
async fn a_column_of_a_type_that_is_as_good_costs_one_answer_a_connection() {
    let Scene { postgres, url, sentinel } = Scene::new().await;
    postgres.query(&url, "ALTER TABLE bindings ALTER COLUMN note TYPE varchar").await;
    for nth in 0..3 {
        answers(&sentinel, &elsewhere(nth), OWNER, "bound").await;
        wins_a_key(&sentinel, &format!("after-{nth}")).await;
    }
    sentinel.stop().await;
}

#[tokio::test]
async fn a_value_that_no_version_wrote() {
    let scene = Scene::new().await;
    let breaks = "ALTER TABLE bindings DROP CONSTRAINT bindings_state_check, DROP CONSTRAINT bindings_check;
        UPDATE bindings SET state = 'owned'";
    let Scene { postgres, url, sentinel } = scene;
    postgres.query(&url, breaks).await;
    assert_eq!(reason(&sentinel, &elsewhere(0), OWNER).await, "store_unavailable");
    wait_for_log(&sentinel, &["WARN", "bindings.state: unknown word \\\"owned\\\""]).await;
    assert_eq!(reason(&sentinel, "sk-new-0123456789", ATTACKER).await, "first_use", "other keys are as they were");
    postgres.query(&url, "UPDATE bindings SET state = 'learned'").await;
    assert_eq!(reason(&sentinel, &elsewhere(0), OWNER).await, "bound");
    sentinel.stop().await;
}

#[tokio::test]
async fn a_revision_without_its_row() {
    let Scene { postgres, url, sentinel } = Scene::new().await;
    let [value, floor]: [String; 2] = {
        let mut rows = postgres.query(&url, "DELETE FROM revision RETURNING value, floor").await;
        rows.remove(0).try_into().unwrap()
    };
    assert_eq!(reason(&sentinel, &elsewhere(0), OWNER).await, "store_unavailable");
    assert_eq!(reason(&sentinel, "sk-new-0123456789", ATTACKER).await, "store_unavailable");
    // Not polled either: after the grace it is as if the store were away.
    ready(&sentinel, false).await;
    assert_eq!(reason(&sentinel, HERE, OWNER).await, "store_unavailable");
    assert_eq!(reason(&sentinel, HERE, ATTACKER).await, "ip_mismatch");
    let line = ["WARN", "the store does not answer", "revision: its row is missing"];
    wait_for_log(&sentinel, &line).await;
    assert_eq!(log_lines(&sentinel, &line).len(), 1, "of many polls");
    assert!(sentinel.admin().await.ban(HERE).await.is_err());
    // A process that starts now logs it as well.
    let late = replica(&url).listen().await;
    wait_for_log(&late, &line).await;
    assert_eq!(reason(&late, HERE, OWNER).await, "store_unavailable");

    postgres.query(&url, &format!("INSERT INTO revision (value, floor) VALUES ({value}, {floor})")).await;
    ready(&sentinel, true).await;
    ready(&late, true).await;
    for replica in [&sentinel, &late] {
        assert_eq!(reason(replica, HERE, OWNER).await, "bound");
        assert_eq!(reason(replica, &elsewhere(0), ATTACKER).await, "ip_mismatch");
    }
    assert_eq!(reason(&sentinel, "sk-new-0123456789", ATTACKER).await, "first_use");
    late.stop().await;
    sentinel.stop().await;
}

#[tokio::test]
async fn a_revision_that_was_set_back() {
    let Scene { postgres, url, sentinel } = Scene::new().await;
    let admin = sentinel.admin().await;
    admin.ban(&elsewhere(0)).await.unwrap();
    admin.unban(&elsewhere(0)).await.unwrap();
    postgres.query(&url, "UPDATE revision SET value = 0").await;
    for _ in 0..20 {
        assert_eq!(reason(&sentinel, &elsewhere(0), OWNER).await, "store_unavailable");
    }
    let line = ["WARN", "decisions fail", "older than the known changes"];
    assert_eq!(log_lines(&sentinel, &line).len(), 1, "{}", sentinel.log());
    assert_eq!(reason(&sentinel, &elsewhere(1), OWNER).await, "bound", "other keys are as they were");
    postgres.query(&url, "UPDATE revision SET value = 2").await;
    answers(&sentinel, &elsewhere(0), OWNER, "bound").await;
    sentinel.stop().await;
}

/// As after a failover to a standby that is not promoted yet: it answers polls, and accepts no claim.
#[tokio::test]
async fn a_database_that_becomes_read_only() {
    let Scene { postgres, url, sentinel } = Scene::new().await;
    postgres.read_only(&url, true).await;
    postgres.end_sessions(&url).await;
    answers(&sentinel, &elsewhere(0), OWNER, "bound").await;
    answers(&sentinel, "sk-new-0123456789", OWNER, "store_unavailable").await;
    let line = ["WARN", "decisions fail", "read-only transaction"];
    eventually("it is logged", async || {
        reason(&sentinel, "sk-new-0123456789", OWNER).await;
        (!log_lines(&sentinel, &line).is_empty()).then_some(())
    })
    .await;
    postgres.read_only(&url, false).await;
    postgres.end_sessions(&url).await;
    wins_a_key(&sentinel, "after").await;
    sentinel.stop().await;
}

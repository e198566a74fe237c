//! A replica that reads and cannot write its times of last use: to the others, the keys in use there look unused.

use crate::{
    common::{Sentinel, eventually, postgres::Postgres},
    fleet::replica,
};

const OWNER: &str = "203.0.113.7";
const USED: &str = "sk-used-at-one-replica-0123456789";
const IDLE: &str = "sk-idle-everywhere-0123456789";

async fn reason(sentinel: &Sentinel, key: &str) -> String {
    sentinel.check().key(key).from(OWNER).send().await.reason().to_owned()
}

async fn archived(sentinel: &Sentinel) -> usize {
    sentinel.admin().await.audit("archived").await.unwrap().records.len()
}

async fn waits(sentinel: &Sentinel) -> bool {
    let page = sentinel.get("/metrics").await.1;
    page.lines().any(|line| line == "sentinel_archive_waits 1")
}

async fn logs(sentinel: &Sentinel, words: &[&str]) {
    eventually(&format!("{words:?} is logged"), async || {
        sentinel.log().lines().any(|line| words.iter().all(|word| line.contains(word))).then_some(())
    })
    .await;
}

/// As if 100 days had passed since every use and since the replica that cannot write has written.
const LATER: &str = "
    UPDATE bindings SET created_at = created_at - interval '100 days', used_at = used_at - interval '100 days';
    UPDATE replicas SET uses_written_at = uses_written_at - interval '100 days' WHERE name =
        (SELECT DISTINCT right(application_name, 16) FROM pg_stat_activity WHERE application_name LIKE 'first kis-%')";

/// The first replica writes everything but its times of last use.
const FAIL: &str = "
    CREATE FUNCTION no_uses() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF current_setting('application_name') LIKE 'first kis-%' THEN
            RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER no_uses BEFORE UPDATE ON bindings EXECUTE FUNCTION no_uses()";

/// A key that is in use at one replica went to the next caller once another replica archived it. Sabotage: `None` in
/// `running::unwritten`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_archived_while_a_replica_reads_and_cannot_write_its_uses() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let first = replica(&format!("{url}?application_name=first"), None).start().await;
    for key in [USED, IDLE] {
        assert_eq!(reason(&first, key).await, "first_use");
    }
    postgres.query(&url, FAIL).await;
    assert_eq!(reason(&first, USED).await, "bound");
    logs(&first, &["WARN", "cannot write times of last use", "53100"]).await;
    postgres.query(&url, LATER).await;
    for (row, why) in [("", "has not written its times of last use since"), (FORGET, "has never written")] {
        if !row.is_empty() {
            let old = async || (postgres.query(&url, OLD_ENOUGH).await.len() == 1).then_some(());
            eventually("its sessions count", old).await;
            postgres.query(&url, row).await;
        }
        // Its job runs at its start.
        let second = replica(&url, None).start().await;
        logs(&second, &["WARN", "no binding is archived for now", why]).await;
        assert!(waits(&second).await);
        let status = String::from_utf8(second.home().cli(&["status"]).stdout).unwrap();
        assert!(status.contains("archive waits") && status.contains(why), "{status}");
        assert_eq!(archived(&second).await, 0);
        second.stop().await;
    }
    assert_eq!(reason(&first, USED).await, "bound");

    // Once it writes, what was unused is archived, and what was used is not.
    postgres.query(&url, "DROP FUNCTION no_uses CASCADE").await;
    logs(&first, &["INFO", "times of last use are written again"]).await;
    let second = replica(&url, None).start().await;
    eventually("the unused key is archived", async || (archived(&second).await == 1).then_some(())).await;
    assert!(!waits(&second).await);
    assert_eq!((reason(&second, USED).await.as_str(), reason(&second, IDLE).await.as_str()), ("bound", "first_use"));
    first.stop().await;
    second.stop().await;
}

/// The row of a replica that has never written one.
const FORGET: &str = "DELETE FROM replicas WHERE name =
    (SELECT DISTINCT right(application_name, 16) FROM pg_stat_activity WHERE application_name LIKE 'first kis-%')";

/// A session of the last seconds may be of a start that fails.
const OLD_ENOUGH: &str = "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'first kis-%'
    AND backend_start < clock_timestamp() - interval '10 seconds' LIMIT 1";

/// One that was killed has written what it knew but for some seconds, and nobody waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_killed_keeps_nobody_from_archiving() {
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let first = replica(&url, None).start().await;
    assert_eq!(reason(&first, IDLE).await, "first_use");
    let seen = async || (postgres.query(&url, "SELECT name FROM replicas").await.len() == 1).then_some(());
    eventually("it is known", seen).await;
    first.kill();
    let others = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let gone = async || postgres.query(&url, others).await.is_empty().then_some(());
    eventually("its connections are gone", gone).await;
    postgres.query(&url, "UPDATE bindings SET created_at = created_at - interval '100 days'").await;
    let second = replica(&url, None).start().await;
    eventually("the unused key is archived", async || (archived(&second).await == 1).then_some(())).await;
    second.stop().await;
}

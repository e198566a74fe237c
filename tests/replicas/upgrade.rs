//! A newer version brings the schema up to date while older processes still serve.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use tokio::sync::watch;

use crate::{
    common::{eventually, postgres::Postgres, redis::Redis, within},
    fleet::{replica, start, stop},
    work::{OWNER, work},
};

const CLIENTS: usize = 8;

/// What the next version may do to a schema that the last one still uses: it adds.
const NEXT: &str = "
    BEGIN;
    ALTER TABLE bindings ADD COLUMN origin text NOT NULL DEFAULT 'unknown';
    CREATE INDEX bindings_by_origin ON bindings (origin);
    CREATE TABLE feeds (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL);
    INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
        SELECT max(version) + 1, 'fixture', max(applied_on), '1' FROM refinery_schema_history;
    COMMIT";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_run_do_not_notice_a_newer_schema_and_one_that_starts_says_so() {
    let (postgres, redis) = (Postgres::shared().await, Redis::start().await);
    let url = postgres.database().await;
    let replicas = start((0..2).map(|_| replica(&url, Some(&redis.url())))).await;
    let (stop_them, ended) = watch::channel(());
    let done = AtomicUsize::new(0);
    let works = join_all((0..CLIENTS).map(|client| work(&replicas, client, &done, ended.clone())));
    let more = async |count: usize| {
        let enough = done.load(Ordering::Relaxed) + count;
        eventually("they decide", async || (done.load(Ordering::Relaxed) >= enough).then_some(())).await;
    };
    tokio::join!(works, async {
        more(4 * CLIENTS).await;
        postgres.query(&url, NEXT).await;
        more(4 * CLIENTS).await;
        drop(stop_them);
    });
    eprintln!("upgrade: {} rounds of a claim, a ban and an unban, no wrong answer", done.load(Ordering::Relaxed));
    let kept = postgres.query(&url, "SELECT count(*) FROM bindings WHERE origin = 'unknown'").await;
    assert_eq!(kept, [[done.load(Ordering::Relaxed).to_string()]]);

    // New connections prepare their statements against the newer schema.
    postgres.end_sessions(&url).await;
    for (place, replica) in replicas.iter().enumerate() {
        eventually("it decides over new connections", async || {
            let answer = replica.ask(&format!("sk-later-{place}-0123456789"), OWNER).await;
            answer.is_allow().then_some(())
        })
        .await;
    }

    let late = replica(&url, Some(&redis.url()));
    let mut process = late.spawn();
    let status = within("the start fails", process.wait()).await;
    let stderr = process.stderr();
    let last = stderr.lines().last().unwrap();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(
        last.contains("has schema version 4, but this version of Sentinel supports versions up to 3; use a newer"),
        "{last}"
    );
    for replica in &replicas {
        replica.sentinel.assert_no_panic();
        assert!(!replica.sentinel.log().contains("Corrupt"), "{}", replica.sentinel.log());
    }
    stop(replicas).await;
}

//! Both versions on one PostgreSQL and one Redis, as in the middle of a rolling upgrade.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use tokio::sync::watch;

use crate::{
    THIS, before, cli,
    common::{eventually, postgres::Postgres, redis::Redis},
    fleet::{Replica, replica, stop},
    knows_better_than_to_start,
    work::{OWNER, work},
};

const CLIENTS: usize = 4;

/// How many look-ups in Redis ended so.
async fn shared(replica: &Replica, outcome: &str) -> f64 {
    replica.metric("sentinel_cache_requests_total", &format!("tier=\"redis\",outcome=\"{outcome}\"")).await
}

async fn schema(postgres: &Postgres, url: &str) -> String {
    postgres.query(url, "SELECT max(version) FROM refinery_schema_history").await[0][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_decide_and_change_as_one_and_the_old_one_goes_on_with_the_schema_of_the_new() {
    let (postgres, redis) = (Postgres::shared().await, Redis::start().await);
    let url = postgres.database().await;
    let home = || replica(&url, Some(&redis.url()));
    let old = Replica::start(home().running(before())).await;
    let old_schema = schema(postgres, &url).await;
    // Brings the schema up to date, under the other one.
    let replicas = [old, Replica::start(home()).await];

    let (stop_them, ended) = watch::channel(());
    let done = AtomicUsize::new(0);
    let works = join_all((0..CLIENTS).map(|client| work(&replicas, client, &done, ended.clone())));
    let more = async |count: usize| {
        let enough = done.load(Ordering::Relaxed) + count;
        eventually("they decide", async || (done.load(Ordering::Relaxed) >= enough).then_some(())).await;
    };
    tokio::join!(works, async {
        more(8 * CLIENTS).await;
        // A key is claimed by one and then read by the other, so what is read is what the other has written.
        for replica in &replicas {
            let reads = async || (shared(replica, "hit").await > 0.0).then_some(());
            eventually("each reads what the other wrote to Redis", reads).await;
        }
        drop(stop_them);
    });
    // New connections prepare their statements against the new schema.
    postgres.end_sessions(&url).await;
    for replica in &replicas {
        assert_eq!((shared(replica, "forged").await, shared(replica, "foreign").await), (0.0, 0.0));
        eventually("it decides over new connections", async || {
            let key = format!("sk-later-{}-0123456789", replica.sentinel.pid());
            replica.ask(&key, OWNER).await.is_allow().then_some(())
        })
        .await;
    }
    eprintln!("mixed: {} rounds of claims, bans and gifts, no wrong answer", done.load(Ordering::Relaxed));
    for (server, binary) in replicas.iter().zip([Path::new(THIS), before()]) {
        operates(server, binary).await;
    }
    for replica in &replicas {
        replica.sentinel.assert_no_panic();
        assert!(!replica.sentinel.log().contains("Corrupt"), "{}", replica.sentinel.log());
    }

    // The way back.
    let [old, new] = replicas;
    let old = old.sentinel.stop().await;
    if schema(postgres, &url).await != old_schema {
        knows_better_than_to_start(&old).await;
        return stop(vec![new]).await;
    }
    let replicas = vec![Replica::start(old).await, new];
    assert_eq!(replicas[0].reason("sk-back-0123456789", OWNER).await, "first_use");
    assert_eq!(replicas[1].reason("sk-back-0123456789", OWNER).await, "bound");
    stop(replicas).await;
}

/// The commands of one version, to a server of the other.
async fn operates(server: &Replica, binary: &Path) {
    let key = format!("sk-operated-{}-0123456789", server.sentinel.pid());
    let id = server.ask(&key, OWNER).await.key_id().unwrap().to_owned();
    let home = server.sentinel.home();
    assert!(cli(binary, home, &["bindings", "list"]).contains(&id));
    cli(binary, home, &["ban", &id]);
    server.sentinel.catches_up().await;
    assert_eq!(server.reason(&key, OWNER).await, "key_banned");
    cli(binary, home, &["unban", &id]);
    server.sentinel.catches_up().await;
    assert_eq!(server.reason(&key, OWNER).await, "bound");
    assert!(cli(binary, home, &["audit", "list"]).contains(&id));
    cli(binary, home, &["status"]);
}

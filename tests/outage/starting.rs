//! A process that is started while its store is away.

use tonic_health::pb::health_check_response::ServingStatus;

use crate::{
    ATTACKER, OWNER, answers,
    common::{eventually, postgres::Postgres, redis::Redis},
    is_ready, log_lines, metric, ready, reason, redis_is_up, replica, share,
};

const KEY: &str = "sk-known-0123456789";

/// As long as it takes to be sure that it is not ready by and by: some tries to reach the store, and some polls.
const TRIES: usize = 3;

#[tokio::test]
async fn a_store_that_is_away_is_waited_for_and_redis_is_not_believed_meanwhile() {
    let mut postgres = Postgres::start().await;
    let url = postgres.database().await;
    let redis = Redis::start().await;
    let home = || replica(&url).set("redis.url", &format!("\"{}\"", redis.url())).set("store.failsafe", "\"open\"");
    let filler = home().start().await;
    redis_is_up(&filler).await;
    assert_eq!(reason(&filler, KEY, OWNER).await, "first_use");
    share(&redis, filler, &[KEY.to_owned()]).await;
    postgres.stop().await;

    let late = home().listen().await;
    redis_is_up(&late).await;
    for _ in 0..TRIES {
        assert!(!is_ready(&late).await);
        assert_eq!(late.health("").await, ServingStatus::NotServing);
        for (key, from) in [(KEY, OWNER), (KEY, ATTACKER), ("sk-unknown-0123456789", OWNER)] {
            let answer = late.check().key(key).from(from).send().await;
            assert_eq!((answer.reason(), answer.status()), ("store_unavailable", Some(503)));
        }
        // Each probe of Redis is a second after the one before it.
        redis.command::<()>(&["CLIENT", "KILL", "TYPE", "normal"]).await;
        redis_is_up(&late).await;
    }
    let asked = metric(&late, "sentinel_cache_requests_total{tier=\"redis\",outcome=\"hit\"}").await;
    assert_eq!(asked, 0.0);
    assert_eq!(
        log_lines(&late, &["WARN", "store.url: cannot connect to the store yet", "onnection refused"]).len(),
        1,
        "{}",
        late.log()
    );

    postgres.start_again().await;
    ready(&late, true).await;
    assert_eq!(late.health("").await, ServingStatus::Serving);
    assert_eq!(reason(&late, KEY, ATTACKER).await, "ip_mismatch");
    assert_eq!(reason(&late, KEY, OWNER).await, "bound");
    assert_eq!(log_lines(&late, &["INFO", "connected to the store"]).len(), 1);
    late.stop().await;
}

#[tokio::test]
async fn a_store_that_hangs_at_the_start_is_logged_and_waited_for() {
    let mut postgres = Postgres::start().await;
    let url = postgres.database().await;
    let home = replica(&url).set("store.failsafe", "\"open\"").initialised().await;
    postgres.pause();
    let sentinel = home.listen().await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "store_unavailable");
    let line = ["WARN", "cannot connect to the store yet", "no answer in time"];
    eventually("it is logged", async || (log_lines(&sentinel, &line).len() == 1).then_some(())).await;
    assert!(!is_ready(&sentinel).await);
    postgres.resume();
    ready(&sentinel, true).await;
    answers(&sentinel, KEY, OWNER, "bound").await;
    sentinel.stop().await;
}

/// The connection that is left for it is the one that the poll would need.
#[tokio::test]
async fn a_store_without_a_connection_for_us_is_logged_and_waited_for() {
    let postgres = Postgres::start().await;
    let url = postgres.database().await;
    let home = replica(&url).initialised().await;
    postgres.query(&url, "ALTER ROLE sentinel CONNECTION LIMIT 1").await;
    let sentinel = home.listen().await;
    let line = ["WARN", "cannot connect to the store yet", "too many connections for role"];
    eventually("it is logged", async || (log_lines(&sentinel, &line).len() == 1).then_some(())).await;
    let refusals = async || postgres.log().matches("FATAL:  too many connections for role").count();
    eventually("it tries", async || (refusals().await >= 6).then_some(())).await;
    assert_eq!(log_lines(&sentinel, &["connected to the store"]), [""; 0], "it is not, for the poll");
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "store_unavailable");
    postgres.query(&url, "ALTER ROLE sentinel CONNECTION LIMIT -1").await;
    ready(&sentinel, true).await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
    sentinel.stop().await;
}

/// Both forms of libpq.
#[tokio::test]
async fn a_store_at_an_ipv6_address_is_reached() {
    let loopback = std::net::TcpListener::bind("[::1]:0");
    assert!(loopback.is_ok(), "IPv6 is off: sysctl -w net.ipv6.conf.lo.disable_ipv6=0");
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let (place, name) = url.rsplit_once('/').unwrap();
    let (login, _) = place.rsplit_once('@').unwrap();
    let port = postgres.address().port();
    for (url, reason_of_key) in [
        (format!("{login}@[::1]:{port}/{name}"), "first_use"),
        (format!("{login}@/{name}?host=::1&port={port}"), "bound"),
    ] {
        let sentinel = replica(&url).start().await;
        assert_eq!(reason(&sentinel, KEY, OWNER).await, reason_of_key, "{url}");
        let sessions = "SELECT DISTINCT client_addr FROM pg_stat_activity WHERE usename = 'sentinel' AND datname = ";
        assert_eq!(postgres.query(&url, &format!("{sessions}'{name}'")).await, [["::1"]]);
        let status = sentinel.home().cli(&["status"]);
        assert!(String::from_utf8_lossy(&status.stdout).contains(&format!("[::1]:{port}/{name}")), "{status:?}");
        sentinel.stop().await;
    }
}

//! A server that answers late, or not any more: what waits for it must not delay anything else.

use std::{
    fs,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::time::interval;

use crate::{
    ATTACKER, LINES, OWNER, answers,
    common::{Sentinel, eventually, postgres::Postgres, within},
    is_ready, log_lines,
    measure::keys,
    metric, ready, reason, replica, wait_for_log, wins_a_key,
};

const KEY: &str = "sk-known-0123456789";

/// Keeps N checks of new keys running until it is dropped.
///
/// Each is given up after `patience`, gRPC's word for a time, and by the caller's own word: what is asked beside them has all
/// the time that a busy machine needs.
async fn flood(sentinel: &Sentinel, name: &str, at_once: usize, patience: &str) {
    let one = async |nth| {
        for round in 0.. {
            let key = format!("sk-{name}-{nth}-{round}-0123456789");
            let answer = sentinel.check().key(&key).from(ATTACKER).metadata("grpc-timeout", patience).send().await;
            let reasons = ["deadline_exceeded", "store_unavailable", "first_use"];
            assert!(reasons.contains(&answer.reason()), "{answer:?}");
        }
    };
    join_all((0..at_once).map(one)).await;
}

/// Kilobytes of memory.
fn resident(sentinel: &Sentinel) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", sentinel.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A lock on a table delays every claim; the store does not count as lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_that_all_wait_do_not_keep_the_poll_from_the_store() {
    // Of a second each, so that a busy machine may be late with some polls, but not with all.
    const GRACE: u64 = 10;
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let home = replica(&url).set("check_deadline", "\"2s\"").set("store.stale_grace", &format!("\"{GRACE}s\""));
    let sentinel = home.start().await;
    answers(&sentinel, KEY, OWNER, "bound").await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK TABLE bans IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let watched = async {
        let mut second = interval(Duration::from_secs(1));
        for _ in 0..GRACE * 3 / 2 {
            second.tick().await;
            assert_eq!(reason(&sentinel, KEY, OWNER).await, "bound");
            assert!(is_ready(&sentinel).await, "{}", sentinel.log());
        }
    };
    tokio::select! {
        () = watched => {}
        // Several for each connection to the store, and few new ones in a second: that is the store's work, not the machine's.
        () = flood(&sentinel, "locked", 30, "900m") => {}
    }
    client.batch_execute("ROLLBACK").await.unwrap();
    wins_a_key(&sentinel, "after").await;
    let warnings = log_lines(&sentinel, &["WARN"]);
    assert!(warnings.len() < LINES, "some lines for each cause, none for each request: {warnings:#?}");
    sentinel.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_hangs_costs_no_flood_of_lines_connections_or_memory() {
    const SECONDS: u64 = 8;
    const FIRST_USES: &str = r#"sentinel_checks_total{decision="allow",reason="first_use",mode="enforce"}"#;
    let mut postgres = Postgres::start().await;
    let url = postgres.database().await;
    let sentinel = replica(&url).set("check_deadline", "\"2s\"").start().await;
    answers(&sentinel, KEY, OWNER, "bound").await;
    let first_uses = async || metric(&sentinel, FIRST_USES).await;
    let warm = async || {
        tokio::select! {
            () = flood(&sentinel, "before", 50, "190m") => {}
            () = eventually("many first uses", async || (first_uses().await > 500.0).then_some(())) => {}
        }
    };
    warm().await;
    let before = resident(&sentinel);
    postgres.pause();
    let watched = async {
        let mut second = interval(Duration::from_secs(1));
        for _ in 0..SECONDS {
            second.tick().await;
            assert_eq!(reason(&sentinel, KEY, OWNER).await, "bound");
            assert_eq!(reason(&sentinel, KEY, ATTACKER).await, "ip_mismatch");
        }
    };
    tokio::select! {
        () = watched => {}
        () = flood(&sentinel, "hung", 200, "190m") => {}
    }
    let after = resident(&sentinel);
    let resumed = Instant::now();
    postgres.resume();
    wins_a_key(&sentinel, "after").await;
    println!(
        "\nhung for {SECONDS} s under 200 checks at once: {before} kB before, {after} kB after, \
         the first claim {:.2?} after its end",
        resumed.elapsed()
    );
    assert!(after < before + 64 * 1024, "{before} kB, then {after} kB");
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'sentinel'";
    eventually("only its own connections are left", async || {
        let count: usize = postgres.query(&url, ours).await[0][0].parse().unwrap();
        (count <= 8 + 8).then_some(())
    })
    .await;
    let warnings = log_lines(&sentinel, &["WARN"]);
    assert!(warnings.len() < LINES, "{warnings:#?}");
    sentinel.stop().await;
}

/// Who asks again joins the read that is still under way, and hears of its end with much of his own time left.
#[tokio::test]
async fn a_key_that_is_asked_for_again_and_again_while_the_store_hangs_is_never_let_in() {
    let mut postgres = Postgres::start().await;
    let url = postgres.database().await;
    let home = replica(&url).set("store.failsafe", "\"open\"").set("check_deadline", "\"150ms\"");
    let sentinel = home.start().await;
    postgres.pause();
    for _ in 0..20 {
        assert_eq!(reason(&sentinel, KEY, ATTACKER).await, "deadline_exceeded");
    }
    postgres.resume();
    answers(&sentinel, KEY, OWNER, "bound").await;
    sentinel.stop().await;
}

#[tokio::test]
async fn a_store_that_hangs_does_not_hang_an_operator_or_the_end() {
    let mut postgres = Postgres::start().await;
    let url = postgres.database().await;
    let sentinel = replica(&url).start().await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
    let admin = sentinel.admin().await;
    postgres.pause();
    let banned = within("the operator is answered", admin.ban(KEY)).await;
    assert!(banned.is_err(), "{banned:?}");
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "bound");
    // Its last flush and its last writes do not wait either.
    let home = within("it ends", sentinel.stop()).await;
    postgres.resume();
    home.start().await.stop().await;
}

#[tokio::test]
async fn a_server_without_a_free_connection_is_503_for_what_needs_one() {
    let postgres = Postgres::start().await;
    let url = postgres.database().await;
    let sentinel = replica(&url).start().await;
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "first_use");
    postgres.query(&url, "ALTER ROLE sentinel CONNECTION LIMIT 0").await;
    postgres.end_sessions(&url).await;
    answers(&sentinel, "sk-new-0123456789", OWNER, "store_unavailable").await;
    for key in keys("crowded", 100) {
        assert_eq!(reason(&sentinel, &key, OWNER).await, "store_unavailable");
    }
    assert_eq!(reason(&sentinel, KEY, OWNER).await, "bound");
    let line = ["WARN", "decisions fail", "too many connections for role"];
    wait_for_log(&sentinel, &line).await;
    assert!(log_lines(&sentinel, &line).len() < LINES, "{}", sentinel.log());
    postgres.query(&url, "ALTER ROLE sentinel CONNECTION LIMIT -1").await;
    wins_a_key(&sentinel, "after").await;
    ready(&sentinel, true).await;
    sentinel.stop().await;
}

/// Each of 64 promotions at a time waited for one of two connections, the last for longer than the 10 s after which the
/// store counts as lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_goes_on_while_every_change_takes_long() {
    const KEYS: usize = 70;
    let postgres = Postgres::shared().await;
    let url = postgres.database().await;
    let sentinel = replica(&url).set("mode", "\"observe\"").start().await;
    for nth in 0..KEYS {
        assert_eq!(reason(&sentinel, &format!("sk-observed-{nth}-0123456789"), OWNER).await, "first_use");
    }
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(0.4); RETURN NEW; END $$;
        CREATE TRIGGER slow BEFORE INSERT ON audit FOR EACH ROW WHEN (NEW.kind = 'promote') EXECUTE FUNCTION slow()";
    client.batch_execute(slow).await.unwrap();
    let promoted = sentinel.home().cli(&["bindings", "promote", "--yes", "--output", "json"]);
    let [out, err] = [&promoted.stdout, &promoted.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(promoted.status.success() && out.contains(&format!("\"bound\": {KEYS},")), "{out}{err}");
}

//! The servers that other tests lean on: each of their troubles is the one that its name says.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on panics")]

mod common;

use std::{
    env,
    io::{BufRead, BufReader, ErrorKind},
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use ::redis::{Client, RedisResult};
use common::{certificates, cut::Cut, eventually, log::Log, postgres, postgres::Postgres, redis, redis::Redis};
use tokio::{net::TcpStream, time::timeout};
use tokio_postgres::{Error, NoTls, error::SqlState};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Long enough for any server that answers at all to have done so.
const SILENCE: Duration = Duration::from_millis(300);

async fn connect(url: &str) -> Result<tokio_postgres::Client, Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn connect_trusting(ca: &Path, url: &str) -> Result<tokio_postgres::Client, Error> {
    let tls = MakeRustlsConnect::new(certificates::trusting(ca));
    let (client, connection) = tokio_postgres::connect(url, tls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn one(client: &tokio_postgres::Client) -> Result<i32, Error> {
    Ok(client.query_one("SELECT 1", &[]).await?.get(0))
}

/// An error with all that it says of its causes.
fn why<T>(result: Result<T, impl std::fmt::Debug>) -> String {
    result.err().map(|error| format!("{error:?}")).unwrap()
}

async fn refusal(address: SocketAddr) -> Option<ErrorKind> {
    TcpStream::connect(address).await.err().map(|error| error.kind())
}

#[tokio::test]
async fn a_stopped_or_killed_database_keeps_its_port_and_its_data() {
    let mut postgres = Postgres::start().await;
    let database = postgres.database().await;
    let client = connect(&database).await.unwrap();
    client.batch_execute("CREATE TABLE t AS SELECT 1 AS n").await.unwrap();
    postgres.stop().await;
    assert_eq!(refusal(postgres.address()).await, Some(ErrorKind::ConnectionRefused));
    postgres.start_again().await;
    let client = connect(&database).await.unwrap();
    client.batch_execute("INSERT INTO t VALUES (2)").await.unwrap();
    postgres.kill();
    assert_eq!(refusal(postgres.address()).await, Some(ErrorKind::ConnectionRefused));
    postgres.start_again().await;
    assert!(postgres.log().contains("was not properly shut down"), "{}", postgres.log());
    assert_eq!(postgres.query(&database, "SELECT n FROM t ORDER BY n").await, [["1"], ["2"]]);
}

#[tokio::test]
async fn a_paused_database_hangs_without_an_error() {
    let mut postgres = Postgres::start().await;
    let database = postgres.database().await;
    let client = connect(&database).await.unwrap();
    postgres.pause();
    let mut old = Box::pin(one(&client));
    let mut new = Box::pin(connect(&database));
    assert!(timeout(SILENCE, &mut old).await.is_err());
    assert!(timeout(SILENCE, &mut new).await.is_err());
    postgres.resume();
    assert_eq!(old.await.unwrap(), 1);
    assert_eq!(one(&new.await.unwrap()).await.unwrap(), 1);
    // Ends a paused one too.
    postgres.pause();
    postgres.stop().await;
}

#[tokio::test]
async fn databases_of_the_shared_server_are_apart_and_their_owner_is_no_superuser() {
    let postgres = Postgres::shared().await;
    let (one, other) = tokio::join!(postgres.database(), postgres.database());
    let client = connect(&one).await.unwrap();
    client.batch_execute("CREATE TABLE t ()").await.unwrap();
    connect(&other).await.unwrap().batch_execute("CREATE TABLE t ()").await.unwrap();
    let refused = client.batch_execute("ALTER SYSTEM SET fsync = off").await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    assert_eq!(postgres.query(&one, "SHOW fsync").await, [["on"]]);
    let wrong = one.replace(postgres::PASSWORD, "another");
    assert_eq!(connect(&wrong).await.unwrap_err().code(), Some(&SqlState::INVALID_PASSWORD));
}

#[tokio::test]
async fn a_database_can_be_read_only_and_end_its_sessions() {
    let postgres = Postgres::shared().await;
    let database = postgres.database().await;
    let client = connect(&database).await.unwrap();
    postgres.read_only(&database, true).await;
    client.batch_execute("CREATE TABLE t ()").await.unwrap();
    postgres.end_sessions(&database).await;
    eventually("the session has ended", async || client.is_closed().then_some(())).await;
    let client = connect(&database).await.unwrap();
    let refused = client.batch_execute("INSERT INTO t DEFAULT VALUES").await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
    postgres.read_only(&database, false).await;
    connect(&database).await.unwrap().batch_execute("INSERT INTO t DEFAULT VALUES").await.unwrap();
}

#[tokio::test]
async fn a_database_with_tls_wants_it_and_shows_who_it_is() {
    let postgres = Postgres::with_tls().await;
    let database = postgres.database().await;
    let files = postgres.certificates();
    let client = connect_trusting(&files.ca, &database).await.unwrap();
    assert_eq!(one(&client).await.unwrap(), 1);
    let refused = why(connect_trusting(&files.other_ca, &database).await);
    assert!(refused.contains("BadSignature"), "{refused}");
    let by_name = database.replace("127.0.0.1", "localhost");
    let refused = why(connect_trusting(&files.ca, &by_name).await);
    assert!(refused.contains("NotValidForName"), "{refused}");
    let plain = database.replace("sslmode=require", "sslmode=disable");
    let refused = connect(&plain).await.unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION));
}

#[tokio::test]
async fn a_stopped_or_killed_redis_comes_back_empty_on_its_port() {
    let mut redis = Redis::start().await;
    redis.command::<()>(&["SET", "a", "1"]).await;
    redis.kill();
    assert_eq!(refusal(redis.address()).await, Some(ErrorKind::ConnectionRefused));
    redis.start_again().await;
    assert_eq!(redis.command::<Option<String>>(&["GET", "a"]).await, None);
    redis.stop().await;
    redis.start_again().await;
    assert_eq!(redis.command::<String>(&["PING"]).await, "PONG");
}

#[tokio::test]
async fn a_paused_redis_hangs_without_an_error() {
    let mut redis = Redis::start().await;
    redis.pause();
    let mut ping = Box::pin(redis.command::<String>(&["PING"]));
    assert!(timeout(SILENCE, &mut ping).await.is_err());
    drop(ping);
    redis.resume();
    assert_eq!(redis.command::<String>(&["PING"]).await, "PONG");
}

#[tokio::test]
async fn a_redis_with_tls_wants_it_a_password_and_shows_who_it_is() {
    let redis = Redis::with_tls().await;
    assert_eq!(redis.command::<String>(&["PING"]).await, "PONG");
    let files = redis.certificates();
    let ping = async |client: RedisResult<Client>| -> RedisResult<String> {
        ::redis::cmd("PING").query_async(&mut redis::connect(&client?).await?).await
    };
    let url = redis.url();
    let (plain, by_name) = (url.replace("rediss", "redis"), url.replace("127.0.0.1", "localhost"));
    let wrong = url.replace(redis::PASSWORD, "another");
    assert_eq!(ping(redis::trusting(&url, &files.ca)).await.unwrap(), "PONG");
    for (client, reason) in [
        (redis::trusting(&url, &files.other_ca), "BadSignature"),
        (redis::trusting(&by_name, &files.ca), "not valid for name"),
        (redis::trusting(&wrong, &files.ca), "AuthenticationFailed"),
        // The server hears no TLS and hangs up.
        (Client::open(plain), "Connection reset"),
    ] {
        let refused = why(ping(client).await);
        assert!(refused.contains(reason), "{reason}: {refused}");
    }
}

#[tokio::test]
async fn a_cut_refuses_swallows_and_mends() {
    let postgres = Postgres::shared().await;
    let mut cut = Cut::before(postgres.address()).await;
    let database = cut.through(&postgres.database().await);
    let client = connect(&database).await.unwrap();
    cut.refuse().await;
    assert_eq!(refusal(cut.address()).await, Some(ErrorKind::ConnectionRefused));
    assert!(one(&client).await.is_err());
    cut.mend().await;
    let client = connect(&database).await.unwrap();
    cut.swallow().await;
    let mut old = Box::pin(one(&client));
    let mut new = Box::pin(connect(&database));
    assert!(timeout(SILENCE, &mut old).await.is_err());
    assert!(timeout(SILENCE, &mut new).await.is_err());
    assert_eq!(refusal(cut.address()).await, None);
    cut.mend().await;
    assert_eq!(old.await.unwrap(), 1);
    assert_eq!(one(&new.await.unwrap()).await.unwrap(), 1);
    drop(cut);
    assert!(one(&client).await.is_err());
}

#[tokio::test]
async fn a_cut_that_forgets_leaves_what_was_connected_silent_for_ever() {
    let postgres = Postgres::shared().await;
    let mut cut = Cut::before(postgres.address()).await;
    let database = cut.through(&postgres.database().await);
    let client = connect(&database).await.unwrap();
    cut.forget().await;
    let mut old = Box::pin(one(&client));
    assert!(timeout(SILENCE, &mut old).await.is_err());
    assert_eq!(one(&connect(&database).await.unwrap()).await.unwrap(), 1);
    cut.mend().await;
    assert!(timeout(SILENCE, &mut old).await.is_err());
}

#[tokio::test]
async fn a_cut_is_slow_in_both_directions() {
    let postgres = Postgres::shared().await;
    let cut = Cut::before(postgres.address()).await;
    let client = connect(&cut.through(&postgres.database().await)).await.unwrap();
    let delay = Duration::from_millis(100);
    cut.delay(delay);
    let start = Instant::now();
    client.simple_query("SELECT 1").await.unwrap();
    assert!(start.elapsed() >= 2 * delay, "{:?}", start.elapsed());
}

/// By `kill -9`, with a paused server: the worst that can happen to a test.
#[tokio::test]
async fn a_killed_test_leaves_no_server_and_no_folder() {
    const VICTIM: &str = "SENTINEL_TEST_VICTIM";
    if env::var_os(VICTIM).is_some() {
        let mut postgres = Postgres::start().await;
        postgres.pause();
        println!("\nserver {} {}", postgres.address(), postgres.path().display());
        return std::future::pending().await;
    }
    let mut victim = Command::new(env::current_exe().unwrap());
    victim.args(["--exact", "a_killed_test_leaves_no_server_and_no_folder", "--nocapture"]);
    let mut victim = victim.env(VICTIM, "").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines.find(|line| line.starts_with("server ")).unwrap();
    let [_, address, folder] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
    assert!(Path::new(folder).is_dir());
    assert_eq!(refusal(address.parse().unwrap()).await, None);
    victim.kill().unwrap();
    victim.wait().unwrap();
    eventually("the folder is gone", async || (!Path::new(folder).exists()).then_some(())).await;
    let refused = async || refusal(address.parse().unwrap()).await;
    eventually("the server is gone", refused).await;
}

/// As it was with a subscriber for each test: whoever had none and was first at a line took it from all.
#[test]
fn a_line_that_another_thread_reached_first_is_still_logged() {
    let line = || tracing::warn!("a line of two threads");
    let log = Log::begin();
    std::thread::spawn(line).join().unwrap();
    assert_eq!(log.taken(), "", "what other threads say is theirs");
    line();
    assert!(log.taken().contains("a line of two threads"));
}

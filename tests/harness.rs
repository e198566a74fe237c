//! The servers that other tests lean on: each of their troubles is the one that its name says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::{postgres::Postgres, redis::Redis};
use tokio_postgres::NoTls;

#[tokio::test]
async fn a_stopped_database_keeps_its_port_and_its_data() {
    let mut postgres = Postgres::start().await;
    let database = postgres.database().await;
    let (client, connection) = tokio_postgres::connect(&database, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("CREATE TABLE t AS SELECT 1 AS n").await.unwrap();
    postgres.stop().await;
    assert!(tokio_postgres::connect(&database, NoTls).await.is_err());
    postgres.start_again().await;
    assert_eq!(postgres.query(&database, "SELECT n FROM t").await, [["1"]]);
    postgres.kill();
    postgres.start_again().await;
    assert_eq!(postgres.query(&database, "SELECT n FROM t").await, [["1"]]);
}

#[tokio::test]
async fn a_killed_redis_comes_back_empty_on_its_port() {
    let mut redis = Redis::with_password().await;
    redis.command::<()>(&["SET", "a", "1"]).await;
    redis.kill();
    assert!(redis.try_command::<String>(&["PING"]).await.is_err());
    redis.start_again().await;
    assert_eq!(redis.command::<Option<String>>(&["GET", "a"]).await, None);
}

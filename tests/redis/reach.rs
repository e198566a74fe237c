//! How Redis is reached: with a password, over TLS, and not where either is wrong.

use std::{fs, sync::Arc};

use key_ip_sentinel::{
    domain::Reason,
    net::redis_link::{Link, Options},
    replication::{ChangeNotifier, ChangeTransport, RedisTransport},
    telemetry::metrics::Metrics,
};

use super::{
    common::{eventually, log::Log, redis::Redis, within},
    replica::{OWNER, Place, Replica, Setup, written},
};

const KEY: &str = "sk-some-key-0123456789";

/// Facts and hints pass.
async fn serves(redis: &Redis, setup: &Setup) {
    let place = Place::new(&[7]);
    let (one, two) = (Replica::ready(&place, setup).await, Replica::ready(&place, setup).await);
    assert_eq!(one.ask(KEY, OWNER).await, Reason::FirstUse);
    written(redis, "sentinel", KEY, one.applied()).await;
    assert_eq!((two.ask(KEY, OWNER).await, two.shared("hit")), (Reason::Bound, 1));

    let link = Link::new(
        Options::new(&setup.url, setup.ca.as_deref(), setup.prefix).unwrap(),
        Metrics::new().unwrap().store.redis_up,
    );
    let feed: Arc<dyn ChangeTransport> = Arc::new(RedisTransport::new(link));
    let notifier = ChangeNotifier::new(vec![feed]);
    tokio::select! {
        _ = notifier.listen() => {}
        () = within("a listener's first hint", notifier.signal().woken()) => {}
    }
}

#[tokio::test]
async fn with_a_password() {
    let redis = Redis::with_password().await;
    serves(&redis, &Setup::of(&redis.url())).await;
}

#[tokio::test]
async fn over_tls() {
    let redis = Redis::with_tls().await;
    let ca = fs::read(&redis.certificates().ca).unwrap();
    serves(&redis, &Setup { ca: Some(ca), ..Setup::of(&redis.url()) }).await;
}

/// The log, once it reports that Redis cannot be used.
async fn failure_log(log: &Log) -> String {
    let mut text = String::new();
    eventually("the failure is logged", async || {
        text += &log.taken();
        text.contains("Redis does not answer").then_some(())
    })
    .await;
    text
}

/// The store serves, and nothing is sent to a server that listens there.
#[tokio::test]
async fn not_with_a_wrong_password_name_or_authority() {
    let (open, tls) = (Redis::with_password().await, Redis::with_tls().await);
    let ca = fs::read(&tls.certificates().ca).unwrap();
    let other_ca = fs::read(&tls.certificates().other_ca).unwrap();
    let log = Log::begin();
    for (url, ca) in [
        (format!("redis://:wrong@{}/", open.address()), None),
        (format!("redis://{}/", open.address()), None),
        (tls.url().replace("rediss:", "redis:"), None),
        (tls.url(), None),
        (tls.url(), Some(other_ca)),
        (tls.url().replace("127.0.0.1", "localhost"), Some(ca)),
    ] {
        let place = Place::new(&[7]);
        let replica = Replica::new(&place, &Setup { ca, ..Setup::of(&url) });
        replica.poll().await;
        assert_eq!(replica.ask(KEY, OWNER).await, Reason::FirstUse, "{url}");
        let tried = failure_log(&log).await;
        assert!(!tried.contains("wrong") && !tried.contains("password-for-tests"), "{tried}");
        assert_eq!(replica.shared("away"), 1, "{url}");
        assert_eq!(replica.metric("sentinel_redis_up"), "0", "{url}");
    }
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_logged_with_the_error_of_redis() {
    let (redis, log) = (Redis::with_password().await, Log::begin());
    let place = Place::new(&[7]);
    let _replica = Replica::new(&place, &Setup::of(&format!("{}/99", redis.url().trim_end_matches('/'))));
    let text = failure_log(&log).await;
    assert!(text.contains("DB index is out of range") && !text.contains("password-for-tests"), "{text}");
}

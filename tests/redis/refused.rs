//! A Redis that answers and refuses: decisions stay right, the gauge is 0, and each cause is logged once.

use std::{cell::Cell, collections::HashMap, path::Path, sync::Arc, time::Duration};

use key_ip_sentinel::{
    domain::Reason,
    net::redis_link::{Link, Options},
    replication::{ChangeNotifier, ChangeTransport, RedisTransport},
    store::Revision,
    telemetry::metrics::Metrics,
};
use tokio::task::JoinSet;

use super::{
    common::{eventually, log::Log, redis::Redis},
    replica::{OWNER, Place, Replica, Setup, place_of, written},
};

const KEY: &str = "sk-some-key-0123456789";
const ATTACKER: &str = "198.51.100.9";

/// The user of docs/replicas.md, by the command that is printed there; its URL.
async fn user(redis: &Redis) -> String {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/replicas.md")).unwrap();
    let line = page.lines().find(|line| line.starts_with("ACL SETUSER sentinel ")).unwrap();
    redis.command::<()>(&line.split(' ').collect::<Vec<_>>()).await;
    format!("redis://sentinel:PASSWORD@{}/", redis.address())
}

async fn alter(redis: &Redis, rights: &[&str]) {
    redis.command::<()>(&[&["ACL", "SETUSER", "sentinel"], rights].concat()).await;
}

/// What publishes and subscribes, beside a replica that reads and writes.
struct Feed {
    metrics: Metrics,
    notifier: ChangeNotifier,
    _tasks: JoinSet<()>,
}

impl Feed {
    fn new(url: &str) -> Self {
        let metrics = Metrics::new().unwrap();
        let options = Options::new(url, None, "sentinel").unwrap();
        let options = options.with_times(Duration::from_secs(10), Duration::from_millis(20));
        let link = Link::new(options, metrics.store.redis_up.clone());
        let transport: Arc<dyn ChangeTransport> = Arc::new(RedisTransport::new(Arc::clone(&link)));
        let (notifier, mut tasks) = (ChangeNotifier::new(vec![transport]), JoinSet::new());
        let listener = notifier.clone();
        tasks.spawn(async move { match tokio::join!(link.run(), listener.listen()) {} });
        Self { metrics, notifier, _tasks: tasks }
    }

    fn is_up(&self) -> bool {
        self.metrics.exposition.render().lines().any(|line| line == "sentinel_redis_up 1")
    }

    async fn up(&self, is: bool) {
        eventually(&format!("the gauge is {is}"), async || (self.is_up() == is).then_some(())).await;
    }
}

/// The lines of the log so far about this command, at this level.
fn lines(log: &str, level: &str, command: &str) -> usize {
    let command = format!("\"command\":\"{command}\"");
    log.lines().filter(|line| line.contains(level) && line.contains(&command)).count()
}

/// Waits for several more tries of this command, so that a line for each of them would be logged. `provoke` makes one.
async fn some_tries(redis: &Redis, command: &str, mut provoke: impl AsyncFnMut()) {
    let before = asked(redis, command).await;
    eventually(&format!("more of {command}"), async || {
        provoke().await;
        (asked(redis, command).await >= before + 5).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_rights_of_the_manual_are_enough() {
    let (redis, log) = (Redis::start().await, Log::begin());
    let url = user(&redis).await;
    let (place, feed) = (Place::new(&[7]), Feed::new(&url));
    let (one, two) = (Replica::ready(&place, &Setup::of(&url)).await, Replica::ready(&place, &Setup::of(&url)).await);
    assert_eq!(one.ask(KEY, OWNER).await, Reason::FirstUse);
    written(&redis, "sentinel", KEY, one.applied()).await;
    assert_eq!((two.ask(KEY, OWNER).await, two.shared("hit")), (Reason::Bound, 1));
    feed.up(true).await;
    some_tries(&redis, "publish", async || feed.notifier.notify(Revision(1))).await;
    let mut number = 0;
    some_tries(&redis, "mget", async || {
        number += 1;
        assert_eq!(one.ask(&format!("sk-another-{number}-0123456789"), OWNER).await, Reason::FirstUse);
    })
    .await;
    assert!(feed.is_up() && one.metric("sentinel_redis_up") == "1");
    assert!(!log.taken().contains("WARN"));
    let mut denied: Vec<HashMap<String, redis::Value>> = redis.command(&["ACL", "LOG"]).await;
    // The client library names itself and ignores the refusal.
    denied.retain(|entry| entry["object"] != redis::Value::BulkString(b"client|setinfo".to_vec()));
    assert!(denied.is_empty(), "{denied:?}");
}

/// Sabotage: `Needs::unmet` without its `fetch_or`.
#[tokio::test]
async fn a_refused_subscription_or_publication_is_shown_and_logged_once() {
    let (redis, log) = (Redis::start().await, Log::begin());
    let url = user(&redis).await;
    for (without, with, command) in [
        (&["resetchannels"][..], &["&sentinel:changes"][..], "SUBSCRIBE"),
        (&["-subscribe"], &["+subscribe"], "SUBSCRIBE"),
        (&["-publish"], &["+publish"], "PUBLISH"),
    ] {
        alter(&redis, without).await;
        log.taken();
        let feed = Feed::new(&url);
        let mut text = String::new();
        eventually("it is logged", async || {
            text += &log.taken();
            (lines(&text, "WARN", command) > 0).then_some(())
        })
        .await;
        feed.up(false).await;
        some_tries(&redis, &command.to_lowercase(), async || feed.notifier.notify(Revision(1))).await;
        text += &log.taken();
        assert!(!feed.is_up() && lines(&text, "WARN", command) == 1, "{without:?}: {text}");
        assert!(text.contains("NOPERM") && !text.contains("PASSWORD"), "{text}");
        alter(&redis, with).await;
        feed.up(true).await;
        some_tries(&redis, "publish", async || feed.notifier.notify(Revision(1))).await;
        text += &log.taken();
        assert_eq!((lines(&text, "WARN", command), lines(&text, "INFO", command)), (1, 1), "{without:?}: {text}");
        feed.notifier.notify(Revision(1));
    }
}

/// How often Redis was asked for this command, refusals included.
async fn asked(redis: &Redis, command: &str) -> u32 {
    let stats: String = redis.command(&["INFO", "commandstats"]).await;
    let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:"))).unwrap_or_default();
    let count = |name: &str| line.split([':', ',']).find_map(|field| field.strip_prefix(name)?.parse::<u32>().ok());
    count("calls=").unwrap_or(0) + count("rejected_calls=").unwrap_or(0)
}

/// Every message makes every replica read the store, which has the work of Redis at that time.
#[tokio::test]
async fn a_refused_write_makes_no_replica_poll() {
    let redis = Redis::start().await;
    let url = user(&redis).await;
    alter(&redis, &["-set"]).await;
    let feed = Feed::new(&url);
    eventually("a write is refused", async || (asked(&redis, "set").await > 0).then_some(())).await;
    feed.up(false).await;
    eventually("the subscription works", async || {
        let subscribers: (String, u32) = redis.command(&["PUBSUB", "NUMSUB", "sentinel:changes"]).await;
        (subscribers.1 == 1).then_some(())
    })
    .await;
    let (set, published) = (asked(&redis, "set").await, asked(&redis, "publish").await);
    eventually("it is checked again", async || (asked(&redis, "set").await > set + 5).then_some(())).await;
    assert_eq!(asked(&redis, "publish").await, published);

    // A refused publication is found by itself, and tried until it is accepted.
    alter(&redis, &["+set", "-publish"]).await;
    feed.up(true).await;
    feed.notifier.notify(Revision(1));
    feed.up(false).await;
    alter(&redis, &["+publish"]).await;
    feed.up(true).await;
}

#[tokio::test]
async fn a_redis_that_refuses_to_read_or_write_is_shown_and_decisions_stay_right() {
    let (redis, log) = (Redis::start().await, Log::begin());
    let url = user(&redis).await;
    let acl = |rights: &'static [&'static str]| [&["ACL", "SETUSER", "sentinel"], rights].concat();
    for (number, (refuse, accept, command, cause)) in [
        (acl(&["-mget"]), acl(&["+mget"]), "MGET", "NOPERM"),
        (acl(&["-set"]), acl(&["+set"]), "SET", "NOPERM"),
        (acl(&["resetkeys", "%R~sentinel:*"]), acl(&["~sentinel:*"]), "SET", "NOPERM"),
        (acl(&["resetkeys"]), acl(&["~sentinel:*"]), "MGET", "NOPERM"),
        (vec!["REPLICAOF", "127.0.0.1", "1"], vec!["REPLICAOF", "NO", "ONE"], "SET", "READONLY"),
        (vec!["CONFIG", "SET", "maxmemory", "1"], vec!["CONFIG", "SET", "maxmemory", "0"], "SET", "OOM"),
    ]
    .into_iter()
    .enumerate()
    {
        let place = Place::new(&[7]);
        let replica = Replica::ready(&place, &Setup::of(&url)).await;
        let key = |which: usize| format!("sk-refused-{number}-{which}-0123456789");
        assert_eq!(replica.ask(&key(0), OWNER).await, Reason::FirstUse);
        log.taken();
        redis.command::<()>(&refuse).await;
        let (mut text, asked) = (String::new(), Cell::new(0));
        let next = || {
            asked.set(asked.get() + 1);
            key(asked.get())
        };
        let ask = async || {
            // One network may claim only so many keys.
            let (key, from) = (next(), format!("2001:db8:{:x}::1", asked.get()));
            assert_eq!(replica.ask(&key, &from).await, Reason::FirstUse, "{refuse:?}");
        };
        eventually("it is logged", async || {
            let key = next();
            assert_eq!(replica.ask(&key, OWNER).await, Reason::FirstUse, "{refuse:?}");
            assert_eq!(replica.ask(&key, ATTACKER).await, Reason::IpMismatch);
            text += &log.taken();
            (lines(&text, "WARN", command) > 0).then_some(())
        })
        .await;
        replica.connected(false).await;
        let tried = command.to_lowercase();
        some_tries(&redis, &tried, &ask).await;
        assert_eq!(replica.ask(&key(0), OWNER).await, Reason::Bound);
        text += &log.taken();
        assert!(lines(&text, "WARN", command) == 1 && text.contains(cause), "{refuse:?}: {text}");
        assert_eq!(replica.metric("sentinel_redis_up"), "0", "{refuse:?}");

        redis.command::<()>(&accept).await;
        replica.connected(true).await;
        let known = next();
        assert_eq!(replica.ask(&known, OWNER).await, Reason::FirstUse);
        written(&redis, "sentinel", &known, replica.applied()).await;
        some_tries(&redis, &tried, &ask).await;
        text += &log.taken();
        assert_eq!((lines(&text, "WARN", command), lines(&text, "INFO", command)), (1, 1), "{refuse:?}: {text}");
        assert!(!place_of("sentinel", &key(0)).contains("sk-refused"));
    }
}

/// The password changes under connections, and then they break.
#[tokio::test]
async fn a_password_that_is_not_valid_any_more_is_logged_once() {
    let (redis, log) = (Redis::start().await, Log::begin());
    let url = user(&redis).await;
    let feed = Feed::new(&url);
    feed.up(true).await;
    log.taken();
    alter(&redis, &["resetpass", ">another"]).await;
    redis.command::<()>(&["CLIENT", "KILL", "USER", "sentinel"]).await;
    feed.up(false).await;
    let mut text = String::new();
    eventually("it is logged", async || {
        text += &log.taken();
        text.contains("authentication failed").then_some(())
    })
    .await;
    // What a connection begins with.
    some_tries(&redis, "auth", async || ()).await;
    text += &log.taken();
    assert!(
        text.lines()
            .filter(|line| line.contains("Redis does not answer") && line.contains("authentication failed"))
            .filter(|line| line.contains("\"setting\":\"redis.url\"") && line.contains(&redis.address().to_string()))
            .count()
            == 1,
        "{text}"
    );
    assert!(
        lines(&text, "WARN", "SUBSCRIBE") <= 1 && !text.contains("another") && !text.contains("PASSWORD"),
        "{text}"
    );
    alter(&redis, &["resetpass", ">PASSWORD"]).await;
    feed.up(true).await;
}

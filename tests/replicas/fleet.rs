//! Processes that share a store and know nothing else of each other.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::common::{
    Answer, Home, PATIENCE, Sentinel, admin::Admin, grpc::Channel, postgres::Postgres, redis::Redis, sentinel,
};

/// As many as the promises are shown for.
pub(crate) const REPLICAS: usize = 3;

const CONNECTIONS: usize = 2;

/// A process on the store at `url`, in a folder of its own.
pub(crate) fn replica(url: &str, redis: Option<&str>) -> Home {
    let home = sentinel().set("store.url", &format!("\"{url}\""));
    match redis {
        Some(redis) => home.set("redis.url", &format!("\"{redis}\"")),
        None => home,
    }
}

/// A process that runs, with an operator's connection and some of Envoy's.
pub(crate) struct Replica {
    pub(crate) sentinel: Sentinel,
    pub(crate) admin: Admin,
    channels: Vec<Channel>,
}

impl Replica {
    pub(crate) async fn start(home: Home) -> Self {
        let sentinel = home.start().await;
        let channels = join_all((0..CONNECTIONS).map(|_| sentinel.connect())).await;
        Self { admin: sentinel.admin().await, sentinel, channels }
    }

    /// One check over a connection that all of its kind share.
    pub(crate) async fn ask(&self, key: &str, from: &str) -> Answer {
        let channel = &self.channels[key.bytes().chain(from.bytes()).map(usize::from).sum::<usize>() % CONNECTIONS];
        self.sentinel.check().key(key).from(from).over(channel).send().await
    }

    pub(crate) async fn reason(&self, key: &str, from: &str) -> String {
        self.ask(key, from).await.reason().to_owned()
    }

    /// Asks again while the store is away, as clients do; how often it was. A machine that is busy enough has none either.
    pub(crate) async fn decision(&self, key: &str, from: &str) -> (Answer, usize) {
        let deadline = Instant::now() + PATIENCE;
        for put_off in 0.. {
            let answer = self.ask(key, from).await;
            if !matches!(answer.reason(), "store_unavailable" | "deadline_exceeded") {
                return (answer, put_off);
            }
            assert!(Instant::now() < deadline, "{key}: the store does not come back");
            // As a client does: a crowd that asks again at once keeps the store away.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        unreachable!()
    }

    /// The sum of all series of this name with this label, if one is given.
    pub(crate) async fn metric(&self, name: &str, label: &str) -> f64 {
        let (_, page) = self.sentinel.get("/metrics").await;
        let of_it = |line: &&str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(label)
        };
        let values = page.lines().filter(of_it).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
        let values: Vec<f64> = values.collect();
        assert!(!values.is_empty(), "no {name} with {label}");
        values.iter().sum()
    }

    /// How many keys were looked up in the store.
    pub(crate) async fn store_reads(&self) -> f64 {
        self.metric("sentinel_store_request_duration_seconds_count", "operation=\"lookup\"").await
    }

    /// How many claims were sent to the store.
    pub(crate) async fn store_claims(&self) -> f64 {
        self.metric("sentinel_store_request_duration_seconds_count", "operation=\"claim\"").await
    }

    pub(crate) async fn applied_revision(&self) -> i64 {
        self.metric("sentinel_applied_revision", "").await as i64
    }
}

/// Starts them all at once, as an orchestrator does.
pub(crate) async fn start(homes: impl IntoIterator<Item = Home>) -> Vec<Replica> {
    join_all(homes.into_iter().map(Replica::start)).await
}

/// [`REPLICAS`] on a new database of the shared server and a Redis of their own.
pub(crate) async fn with_redis() -> (Vec<Replica>, Redis) {
    let (url, redis) = (Postgres::shared().await.database().await, Redis::start().await);
    let replicas = start((0..REPLICAS).map(|_| replica(&url, Some(&redis.url())))).await;
    (replicas, redis)
}

/// Each must end well; a panic in one of them is none of the others' answers.
pub(crate) async fn stop(replicas: Vec<Replica>) {
    join_all(replicas.into_iter().map(|replica| replica.sentinel.stop())).await;
}

/// The value below which `part` of all are, of sorted ones.
pub(crate) fn quantile<T: Copy>(sorted: &[T], part: f64) -> T {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

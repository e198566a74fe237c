//! The cache that all processes share: committed facts in Redis.
//!
//! It is read only on a miss of the process's own cache, in the task that reads the store, and costs that task almost
//! nothing while Redis is slow or down. Its values follow the rule of every cache; [`value`] says who can write them,
//! and [`super::Cached::load`] which facts a claim may have changed unnoticed. Before the first poll the history of the
//! store is not known and Redis is not read: a process that starts while the store is down uses nothing from Redis.

mod value;

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use redis::{RedisResult, aio::MultiplexedConnection};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use super::entry::{Entry, Source};
use crate::{
    domain::{KeyDigest, KeyDigests, KeyFacts, KeyRing, Timestamp},
    net::redis_link::{Link, Need},
    store::{HistoryId, Reading, ReplicaState, StoreError},
    telemetry::metrics::{SharedOutcome, StoreMetrics},
};
use value::{Codec, DecodeError};

/// Facts in Redis.
pub struct Shared {
    link: Arc<Link>,
    replica_state: Arc<ReplicaState>,
    /// How long after a poll cached facts may be used.
    grace: Duration,
    codec: Arc<Codec>,
    namespace: Namespace,
    metrics: StoreMetrics,
    writes: mpsc::Sender<Write>,
}

/// Writes facts to Redis outside of every request's path.
pub struct Writer {
    link: Arc<Link>,
    ring: Arc<KeyRing>,
    codec: Arc<Codec>,
    namespace: Namespace,
    writes: mpsc::Receiver<Write>,
}

/// A fact to share, and the history of the store that it belongs to.
struct Write {
    history: HistoryId,
    entry: Arc<Entry>,
}

/// How long Redis keeps a value. The age of a value does not matter to its validity; the TTL bounds how long the
/// address of a forgotten key is kept, and the memory of unused keys. One hour is longer than a restart of all replicas
/// takes.
const TTL: Duration = Duration::from_hours(1);

/// Facts that wait to be written; more are dropped. Replicas that start cold read faster than they need to write.
const WAITING: usize = 1024;
/// The most facts in one batch.
const BATCH: usize = 64;

/// Names of Redis keys: `<prefix>:v1:<history>:<realm>:<digest>`. The names are not secret: a digest reveals nothing
/// without the pepper.
#[derive(Clone)]
struct Namespace {
    prefix: String,
    realm: String,
}

impl Namespace {
    fn key(&self, history: HistoryId, digest: &KeyDigest) -> String {
        format!("{}:v1:{history}:{}:{digest}", self.prefix, self.realm)
    }
}

impl Shared {
    /// A cache over `link`, and its writer. Both `link` and the writer must be run.
    pub fn new(
        link: Arc<Link>,
        ring: Arc<KeyRing>,
        replica_state: Arc<ReplicaState>,
        grace: Duration,
        metrics: StoreMetrics,
    ) -> (Self, Writer) {
        let (sender, writes) = mpsc::channel(WAITING);
        let namespace = Namespace { prefix: link.options().prefix().to_owned(), realm: ring.realm().to_owned() };
        let codec = Arc::new(Codec::new(&ring));
        let writer =
            Writer { link: Arc::clone(&link), ring, codec: Arc::clone(&codec), namespace: namespace.clone(), writes };
        (Self { link, replica_state, grace, codec, namespace, metrics, writes: sender }, writer)
    }

    /// Returns the reading of `key` from Redis if it `counts`, otherwise the one from `store`. The store is asked only
    /// if Redis has no valid value or does not answer at once. `history` is `None` before the first poll.
    pub(super) async fn or_store(
        &self,
        key: &KeyDigests,
        history: Option<HistoryId>,
        counts: impl Fn(&Reading) -> bool,
        store: impl Future<Output = Result<Reading, StoreError>>,
        is_counted: bool,
    ) -> Result<Entry, StoreError> {
        let count = |outcome| {
            if is_counted {
                self.metrics.shared(outcome);
            }
        };
        let history = history.filter(|_| self.replica_state.is_fresh(Instant::now(), self.grace));
        let asked = history.and_then(|history| Some((history, self.link.connection(Need::Read)?)));
        let Some((history, connection)) = asked else {
            count(SharedOutcome::Away);
            return store.await.map(Entry::from_store);
        };
        let mut shared = pin!(self.ask(connection, key, history));
        let judge = |values: Values| self.judge(key, history, values, &counts);
        let found = match timeout(self.link.patience(), &mut shared).await {
            Ok(Ok(values)) => {
                self.link.answered();
                let (outcome, found) = judge(values);
                count(outcome);
                found
            }
            Ok(Err(cause)) => {
                self.link.failed(Some(&cause));
                count(SharedOutcome::Failed);
                None
            }
            Err(_) => {
                self.link.failed(None);
                count(SharedOutcome::Failed);
                // The failure is counted already: a late answer does not count as an answer for the breaker.
                let late = async { shared.await.ok().and_then(|values| judge(values).1) };
                return first(store, late).await;
            }
        };
        match found {
            Some(reading) => Ok(Entry::from_shared_cache(reading)),
            None => store.await.map(Entry::from_store),
        }
    }

    /// Queues `entry` to be written, if there is room.
    pub(super) fn offer(&self, history: HistoryId, entry: &Arc<Entry>) {
        if entry.source == Source::Store && self.link.is_up(Need::Write) {
            let _ = self.writes.try_send(Write { history, entry: Arc::clone(entry) });
        }
    }

    async fn ask(&self, mut to: MultiplexedConnection, key: &KeyDigests, history: HistoryId) -> RedisResult<Values> {
        let mut command = redis::cmd("MGET");
        key.iter().for_each(|digest| {
            command.arg(self.namespace.key(history, &digest));
        });
        command.query_async(&mut to).await
    }

    /// Returns the first valid value, and the outcome to count: a forged value must be counted whatever else was found.
    fn judge(
        &self,
        key: &KeyDigests,
        history: HistoryId,
        values: Values,
        counts: impl Fn(&Reading) -> bool,
    ) -> (SharedOutcome, Option<Reading>) {
        let now = self.replica_state.time(Instant::now());
        let (mut outcome, mut found) = (SharedOutcome::Miss, None);
        for (digest, value) in key.iter().zip(values).filter_map(|(digest, value)| Some((digest, value?))) {
            let this = match self.codec.decode(history, digest, &value) {
                Err(DecodeError::Foreign) => SharedOutcome::Foreign,
                Err(DecodeError::Forged) => SharedOutcome::Forged,
                Ok(reading) if now.is_some_and(|now| binds(&reading.facts, now)) && counts(&reading) => {
                    found = found.or(Some(reading));
                    SharedOutcome::Hit
                }
                Ok(_) => SharedOutcome::Stale,
            };
            outcome = outcome.max(this);
        }
        (outcome, found)
    }
}

type Values = Vec<Option<Vec<u8>>>;

/// Redis is late, but may still be faster than the store; the response timeout of its connection bounds the wait.
async fn first(
    store: impl Future<Output = Result<Reading, StoreError>>,
    late: impl Future<Output = Option<Reading>>,
) -> Result<Entry, StoreError> {
    let (mut late, mut store) = (pin!(late), pin!(store));
    tokio::select! {
        biased;
        read = &mut store => match read {
            Ok(reading) => Ok(Entry::from_store(reading)),
            Err(lost) => late.await.map(Entry::from_shared_cache).ok_or(lost),
        },
        found = &mut late => match found {
            Some(reading) => Ok(Entry::from_shared_cache(reading)),
            None => store.await.map(Entry::from_store),
        },
    }
}

/// Whether these facts are in force: an expired binding counts as absent, and so does an expired ban without a binding.
fn binds(facts: &KeyFacts, now: Timestamp) -> bool {
    match &facts.binding {
        Some(binding) => binding.is_live(now),
        None => facts.ban.as_ref().is_some_and(|ban| ban.in_force(now)),
    }
}

impl Writer {
    /// Writes indefinitely. Cancel it by dropping it.
    pub async fn run(mut self) -> Infallible {
        let mut batch = Vec::new();
        loop {
            if self.writes.recv_many(&mut batch, BATCH).await == 0 {
                // The sender is gone.
                std::future::pending::<()>().await;
            }
            let active = self.ring.active();
            let mut commands = redis::pipe();
            for Write { history, entry } in batch.drain(..) {
                if let Some(value) = self.codec.encode(&active, history, &entry.reading()) {
                    let key = self.namespace.key(history, &entry.digest);
                    commands.cmd("SET").arg(key).arg(value).arg("EX").arg(TTL.as_secs()).ignore();
                }
            }
            if !commands.is_empty() {
                self.link.run_in_background(Need::Write, async |to| commands.query_async::<()>(to).await).await;
            }
        }
    }
}

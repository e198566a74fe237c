//! The cache that all processes share: committed facts in Redis.
//!
//! It is asked on a miss of the process's own cache only, in the task that reads the store, and costs that one next to
//! nothing while Redis is slow or dead. What it holds counts by the one rule of every cache; see [`value`] for who can
//! write there, and [`super::Cached::load`] for what a claim could have changed unseen. Before the first poll the life of
//! the store is not known, so nothing is asked: a process that was started while the store is away uses nothing from
//! Redis.

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
    net::redis_link::Link,
    store::{Reading, ReplicaState, StoreError, StoreLife},
    telemetry::metrics::{SharedOutcome, StoreMetrics},
};
use value::{Seals, Unsound};

/// Facts in Redis.
pub struct Shared {
    link: Arc<Link>,
    replica_state: Arc<ReplicaState>,
    /// How long after a poll what is cached may be used.
    grace: Duration,
    seals: Arc<Seals>,
    place: Place,
    metrics: StoreMetrics,
    writes: mpsc::Sender<Write>,
}

/// Writes what was read, behind every request's back.
pub struct Writer {
    link: Arc<Link>,
    ring: Arc<KeyRing>,
    seals: Arc<Seals>,
    place: Place,
    writes: mpsc::Receiver<Write>,
}

/// A fact that may be shared, and whose.
struct Write {
    life: StoreLife,
    entry: Arc<Entry>,
}

/// How long Redis keeps a value. Whatever its age, a value counts only by what was changed since; this bounds how long
/// an address is kept of a key that was forgotten, and how much room keys take that nobody uses. An hour is longer than
/// a fleet takes to restart.
const TTL: Duration = Duration::from_hours(1);

/// Facts that wait to be written; more are dropped. A fleet that starts cold reads faster than it has to write.
const WAITING: usize = 1024;
/// The most of one batch.
const BATCH: usize = 64;

/// `<prefix>:v1:<life>:<realm>:<digest>`: which keys there are is no secret, the digest tells nothing without the pepper.
#[derive(Clone)]
struct Place {
    prefix: String,
    realm: String,
}

impl Place {
    fn of(&self, life: StoreLife, digest: &KeyDigest) -> String {
        format!("{}:v1:{life}:{}:{digest}", self.prefix, self.realm)
    }
}

impl Shared {
    /// A cache behind `link`, which must run, and the writer, which must run too.
    pub fn new(
        link: Arc<Link>,
        ring: Arc<KeyRing>,
        replica_state: Arc<ReplicaState>,
        grace: Duration,
        metrics: StoreMetrics,
    ) -> (Self, Writer) {
        let (sender, writes) = mpsc::channel(WAITING);
        let place = Place { prefix: link.options().prefix().to_owned(), realm: ring.realm().to_owned() };
        let seals = Arc::new(Seals::new(&ring));
        let writer = Writer { link: Arc::clone(&link), ring, seals: Arc::clone(&seals), place: place.clone(), writes };
        (Self { link, replica_state, grace, seals, place, metrics, writes: sender }, writer)
    }

    /// What Redis or `store` says of `key`; whichever has an answer that `counts`. The store is asked only if Redis has
    /// none, or does not answer at once. `life` is `None` before the first poll.
    pub(super) async fn or_store(
        &self,
        key: &KeyDigests,
        life: Option<StoreLife>,
        counts: impl Fn(&Reading) -> bool,
        store: impl Future<Output = Result<Reading, StoreError>>,
        is_counted: bool,
    ) -> Result<Entry, StoreError> {
        let count = |outcome| {
            if is_counted {
                self.metrics.shared(outcome);
            }
        };
        let life = life.filter(|_| self.replica_state.is_fresh(Instant::now(), self.grace));
        let asked = life.and_then(|life| Some((life, self.link.connection()?)));
        let Some((life, connection)) = asked else {
            count(SharedOutcome::Away);
            return store.await.map(Entry::from_store);
        };
        let mut shared = pin!(self.ask(connection, key, life));
        let judge = |values: Values| self.judge(key, life, values, &counts);
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
                // It is counted already: an answer that came late is no answer to the breaker.
                let late = async { shared.await.ok().and_then(|values| judge(values).1) };
                return first(store, late).await;
            }
        };
        match found {
            Some(reading) => Ok(Entry::from_shared_cache(reading)),
            None => store.await.map(Entry::from_store),
        }
    }

    /// Has `entry` shared, soon, if there is room.
    pub(super) fn offer(&self, life: StoreLife, entry: &Arc<Entry>) {
        if entry.source == Source::Store && self.link.is_up() {
            let _ = self.writes.try_send(Write { life, entry: Arc::clone(entry) });
        }
    }

    async fn ask(&self, mut to: MultiplexedConnection, key: &KeyDigests, life: StoreLife) -> RedisResult<Values> {
        let mut command = redis::cmd("MGET");
        key.iter().for_each(|digest| {
            command.arg(self.place.of(life, &digest));
        });
        command.query_async(&mut to).await
    }

    /// The first value that counts, and the outcome to count: what was forged must be seen, whatever else was found.
    fn judge(
        &self,
        key: &KeyDigests,
        life: StoreLife,
        values: Values,
        counts: impl Fn(&Reading) -> bool,
    ) -> (SharedOutcome, Option<Reading>) {
        let now = self.replica_state.time(Instant::now());
        let (mut outcome, mut found) = (SharedOutcome::Miss, None);
        for (digest, value) in key.iter().zip(values).filter_map(|(digest, value)| Some((digest, value?))) {
            let this = match self.seals.read(life, digest, &value) {
                Err(Unsound::Foreign) => SharedOutcome::Foreign,
                Err(Unsound::Forged) => SharedOutcome::Forged,
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

/// Redis is late, but perhaps still before the store; its connection bounds how long it may take.
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

/// Whether these facts still say something: an expired binding is as good as none, and so is an expired ban alone.
fn binds(facts: &KeyFacts, now: Timestamp) -> bool {
    match &facts.binding {
        Some(binding) => binding.is_live(now),
        None => facts.ban.as_ref().is_some_and(|ban| ban.in_force(now)),
    }
}

impl Writer {
    /// Writes, for ever. Cancel it by dropping it.
    pub async fn run(mut self) -> Infallible {
        let mut batch = Vec::new();
        loop {
            if self.writes.recv_many(&mut batch, BATCH).await == 0 {
                // Nobody is left to offer anything.
                std::future::pending::<()>().await;
            }
            let active = self.ring.active();
            let mut commands = redis::pipe();
            for Write { life, entry } in batch.drain(..) {
                if let Some(value) = self.seals.write(&active, life, &entry) {
                    let place = self.place.of(life, &entry.digest);
                    commands.cmd("SET").arg(place).arg(value).arg("EX").arg(TTL.as_secs()).ignore();
                }
            }
            if !commands.is_empty() {
                self.link.run_in_background(async |to| commands.query_async::<()>(to).await).await;
            }
        }
    }
}

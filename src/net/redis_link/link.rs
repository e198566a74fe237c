//! The connection to Redis, and its circuit breaker.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use metrics::Gauge;
use redis::{AsyncConnectionConfig, aio::MultiplexedConnection};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::{
    Options, loggable,
    needs::{Cause, Need, Needs},
};

/// A shared connection that may be absent. A caller that finds none proceeds without Redis: only [`Link::run`]
/// connects.
///
/// The breaker is the absence of the connection. It opens after several faults in a row, or when the connection breaks,
/// and closes when a probe on a new connection is answered in time. A request is never a probe, and there is no lock.
pub struct Link {
    options: Options,
    connection: ArcSwapOption<MultiplexedConnection>,
    /// In a row.
    faults: AtomicU32,
    /// Failed connections of the subscription, in a row.
    unsubscribed: AtomicU32,
    /// The connection is broken, or a command was refused on it.
    disturbed: Notify,
    needs: Needs,
}

/// Faults in a row that open the breaker: a single one may be caused by the network or this machine.
const FAULTS: u32 = 5;

/// The timeout of work that no request waits for: connecting, a batch of writes, publishing a change.
const BACKGROUND: Duration = Duration::from_secs(1);

/// The most causes of one outage to log.
const CAUSES: usize = 8;

impl Link {
    /// Creates a link, which has no connection until [`Link::run`] runs; `up` is 1 while it is connected and Redis refuses
    /// nothing that Sentinel needs.
    pub fn new(options: Options, up: Gauge) -> Arc<Self> {
        let (connection, faults, disturbed) = (ArcSwapOption::empty(), AtomicU32::new(0), Notify::new());
        let (unsubscribed, needs) = (AtomicU32::new(0), Needs::new(up));
        Arc::new(Self { options, connection, faults, unsubscribed, disturbed, needs })
    }

    /// Returns the options.
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// How long a request waits for an answer.
    pub(crate) fn patience(&self) -> Duration {
        self.options.patience
    }

    /// Returns the connection, if Redis answers and does not refuse this. The caller must report the result of its request
    /// with [`Link::answered`] or [`Link::failed`].
    pub(crate) fn connection(&self, need: Need) -> Option<MultiplexedConnection> {
        self.connection.load().as_deref().filter(|_| self.needs.is_met(need)).cloned()
    }

    /// Whether there is a connection, on which this is not refused.
    pub(crate) fn is_up(&self, need: Need) -> bool {
        self.connection.load().is_some() && self.needs.is_met(need)
    }

    /// The subscription, which has a connection of its own, works or does not, and why (`None`: no answer). A failed
    /// connection is logged here only if the shared connection keeps working.
    pub(crate) fn subscribed(&self, result: Result<(), Option<&redis::RedisError>>) {
        let Err(cause) = result else {
            self.unsubscribed.store(0, Ordering::Relaxed);
            return self.needs.met(Need::Subscribe);
        };
        let text = cause.map_or_else(|| "no answer in time".to_owned(), loggable);
        let cause = match cause.is_some_and(is_refusal) {
            true => Some(Cause::Refused(text)),
            false => {
                let failed = self.unsubscribed.fetch_add(1, Ordering::Relaxed) + 1;
                (failed >= FAULTS && self.connection.load().is_some()).then_some(Cause::Failed(text))
            }
        };
        self.needs.unmet(Need::Subscribe, cause);
        self.disturbed.notify_one();
    }

    /// A request was answered in time.
    pub(crate) fn answered(&self) {
        if self.faults.load(Ordering::Relaxed) != 0 {
            self.faults.store(0, Ordering::Relaxed);
        }
    }

    /// A request was not answered in time, or was answered with an error. A refusal is an answer: [`Link::run`] finds out
    /// what is refused.
    pub(crate) fn failed(&self, cause: Option<&redis::RedisError>) {
        if cause.is_some_and(is_refusal) {
            return self.disturbed.notify_one();
        }
        let faults = self.faults.fetch_add(1, Ordering::Relaxed) + 1;
        if faults == FAULTS || cause.is_some_and(redis::RedisError::is_connection_dropped) {
            self.connection.store(None);
            self.disturbed.notify_one();
        }
    }

    /// Runs `work`, which no request waits for, if Redis answers, and reports its result to the breaker.
    pub(crate) async fn run_in_background<T>(
        &self,
        need: Need,
        work: impl AsyncFnOnce(&mut MultiplexedConnection) -> redis::RedisResult<T>,
    ) {
        let Some(mut connection) = self.connection(need) else { return };
        match timeout(BACKGROUND, work(&mut connection)).await {
            Ok(Ok(_)) => self.answered(),
            Ok(Err(cause)) => {
                // Only the refusal itself leads to a probe of this need, which every replica receives.
                if need == Need::Publish && is_refusal(&cause) {
                    self.needs.unmet(need, Some(Cause::Refused(loggable(&cause))));
                }
                self.failed(Some(&cause));
            }
            Err(_) => self.failed(None),
        }
    }

    /// Keeps the connection open, indefinitely. Cancel it by dropping it.
    pub async fn run(&self) -> Infallible {
        // The causes that were logged since the connection was lost.
        let mut lost: Vec<String> = Vec::new();
        loop {
            match timeout(BACKGROUND, self.connect()).await.unwrap_or(Err("no answer in time".to_owned())) {
                Ok(connection) => {
                    if !std::mem::take(&mut lost).is_empty() {
                        info!("Redis answers again");
                    }
                    self.faults.store(0, Ordering::Relaxed);
                    self.connection.store(Some(Arc::new(connection.clone())));
                    self.needs.connected(true);
                    self.watch(connection).await;
                    self.connection.store(None);
                    self.needs.connected(false);
                }
                Err(cause) => {
                    if lost.len() < CAUSES && !lost.contains(&cause) {
                        let (setting, address) = ("redis.url", self.options.address());
                        warn!(setting, address, cause, "Redis does not answer; lookups go to the store");
                        lost.push(cause);
                    }
                }
            }
            // Jitter, so that replicas do not reconnect at the same moment.
            sleep(self.options.pause.mul_f64(rand::random_range(1.0..1.2))).await;
        }
    }

    /// Returns when the connection is broken. Checks what Redis refuses on it after every refusal, and while something is
    /// refused.
    async fn watch(&self, mut connection: MultiplexedConnection) {
        loop {
            match self.needs.must_check() {
                false => self.disturbed.notified().await,
                true => drop(timeout(self.options.pause, self.disturbed.notified()).await),
            }
            if self.connection.load().is_none() {
                return;
            }
            if !matches!(timeout(BACKGROUND, self.check(&mut connection, false)).await, Ok(Ok(()))) {
                return;
            }
            // Requests may be refused faster than they need a check.
            sleep(self.options.pause).await;
        }
    }

    /// Finds out what Redis refuses, by commands that change nothing. A signal without a change costs each replica a poll,
    /// so it is sent only on a new connection and while it is refused.
    async fn check(&self, connection: &mut MultiplexedConnection, is_new: bool) -> redis::RedisResult<()> {
        let prefix = self.options.prefix();
        let (key, channel) = (format!("{prefix}:v1:check"), format!("{prefix}:changes"));
        let read = redis::cmd("MGET").arg(&key).to_owned();
        let write = redis::cmd("SET").arg(&key).arg("").arg("XX").arg("EX").arg(1).to_owned();
        let publish = redis::cmd("PUBLISH").arg(&channel).arg(0).to_owned();
        let publish = (is_new || !self.needs.is_met(Need::Publish)).then_some((Need::Publish, publish));
        for (need, command) in [(Need::Read, read), (Need::Write, write)].into_iter().chain(publish) {
            match command.query_async::<redis::Value>(connection).await {
                Ok(_) => self.needs.met(need),
                Err(cause) if is_refusal(&cause) => self.needs.unmet(need, Some(Cause::Refused(loggable(&cause)))),
                Err(cause) => return Err(cause),
            }
        }
        Ok(())
    }

    /// Returns a connection on which a probe was answered as fast as a request must be.
    async fn connect(&self) -> Result<MultiplexedConnection, String> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(BACKGROUND))
            .set_response_timeout(Some(BACKGROUND));
        let connecting = self.options.client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connecting.await.map_err(|cause| loggable(&cause))?;
        let probe = redis::cmd("PING");
        let probe = probe.query_async::<redis::Value>(&mut connection);
        match timeout(self.patience(), probe).await {
            Ok(Ok(_)) => {}
            Ok(Err(cause)) => return Err(loggable(&cause)),
            Err(_) => return Err(format!("a probe took longer than {:?}", self.patience())),
        }
        self.check(&mut connection, true).await.map_err(|cause| loggable(&cause))?;
        Ok(connection)
    }
}

/// Whether Redis answered, with an error.
fn is_refusal(cause: &redis::RedisError) -> bool {
    !cause.is_io_error() && !cause.is_timeout() && !cause.is_connection_dropped()
}

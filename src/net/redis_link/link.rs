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

use super::{Options, loggable};

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
    broken: Notify,
    /// 1 while there is a connection.
    up: Gauge,
}

/// Faults in a row that open the breaker: a single one may be caused by the network or this machine.
const FAULTS: u32 = 5;

/// The timeout of work that no request waits for: connecting, a batch of writes, publishing a change.
const BACKGROUND: Duration = Duration::from_secs(1);

impl Link {
    /// Creates a link, which has no connection until [`Link::run`] runs; `up` is 1 while it is connected.
    pub fn new(options: Options, up: Gauge) -> Arc<Self> {
        let (connection, faults, broken) = (ArcSwapOption::empty(), AtomicU32::new(0), Notify::new());
        Arc::new(Self { options, connection, faults, broken, up })
    }

    /// Returns the options.
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// How long a request waits for an answer.
    pub(crate) fn patience(&self) -> Duration {
        self.options.patience
    }

    /// Returns the connection, if Redis answers. The caller must report the result of its request with
    /// [`Link::answered`] or [`Link::failed`].
    pub(crate) fn connection(&self) -> Option<MultiplexedConnection> {
        self.connection.load().as_deref().cloned()
    }

    /// Whether there is a connection.
    pub(crate) fn is_up(&self) -> bool {
        self.connection.load().is_some()
    }

    /// A request was answered in time.
    pub(crate) fn answered(&self) {
        if self.faults.load(Ordering::Relaxed) != 0 {
            self.faults.store(0, Ordering::Relaxed);
        }
    }

    /// A request was not answered in time, or was answered with an error.
    pub(crate) fn failed(&self, cause: Option<&redis::RedisError>) {
        let faults = self.faults.fetch_add(1, Ordering::Relaxed) + 1;
        if faults == FAULTS || cause.is_some_and(redis::RedisError::is_connection_dropped) {
            self.connection.store(None);
            self.broken.notify_one();
        }
    }

    /// Runs `work`, which no request waits for, if Redis answers, and reports its result to the breaker.
    pub(crate) async fn run_in_background<T>(
        &self,
        work: impl AsyncFnOnce(&mut MultiplexedConnection) -> redis::RedisResult<T>,
    ) {
        let Some(mut connection) = self.connection() else { return };
        match timeout(BACKGROUND, work(&mut connection)).await {
            Ok(Ok(_)) => self.answered(),
            Ok(Err(cause)) => self.failed(Some(&cause)),
            Err(_) => self.failed(None),
        }
    }

    /// Keeps the connection open, indefinitely. Cancel it by dropping it.
    pub async fn run(&self) -> Infallible {
        let mut lost = false;
        loop {
            match timeout(BACKGROUND, self.connect()).await.unwrap_or(Err("no answer in time".to_owned())) {
                Ok(connection) => {
                    if std::mem::take(&mut lost) {
                        info!("Redis answers again");
                    }
                    self.faults.store(0, Ordering::Relaxed);
                    self.connection.store(Some(Arc::new(connection)));
                    self.up.set(1.0);
                    self.broken.notified().await;
                    // Removed here too: a late fault of the previous connection may have caused the notification.
                    self.connection.store(None);
                    self.up.set(0.0);
                }
                Err(cause) => {
                    if !std::mem::replace(&mut lost, true) {
                        warn!(cause, "Redis does not answer; lookups go to the store");
                    }
                }
            }
            // Jitter, so that replicas do not reconnect at the same moment.
            sleep(self.options.pause.mul_f64(rand::random_range(1.0..1.2))).await;
        }
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
            Ok(Ok(_)) => Ok(connection),
            Ok(Err(cause)) => Err(loggable(&cause)),
            Err(_) => Err(format!("a probe took longer than {:?}", self.patience())),
        }
    }
}

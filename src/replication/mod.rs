//! Carries changes to all replicas: the [`Follower`] reads from the store what changed and invalidates the caches. A
//! [`ChangeNotifier`] wakes it; a [`ChangeTransport`] carries notifications between processes.
//!
//! Notifications only reduce the delay. They may be lost, late, repeated or forged: changes are read from the store
//! alone, and the timer of the Follower finds them without a notification.

mod follower;
mod postgres;
mod redis;

use std::{convert::Infallible, sync::Arc};

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::Notify;

pub use follower::{Follower, WrongPepper};
pub use postgres::PostgresTransport;
pub use redis::RedisTransport;

use crate::store::Revision;

/// Wakes the Follower of this process.
#[derive(Clone, Debug, Default)]
pub struct PollSignal(Arc<Notify>);

impl PollSignal {
    /// Wakes the Follower. Signals that arrive faster than it polls are merged.
    pub fn wake(&self) {
        self.0.notify_one();
    }

    /// Waits for the next signal.
    pub async fn woken(&self) {
        self.0.notified().await;
    }
}

/// Carries notifications between processes.
#[async_trait]
pub trait ChangeTransport: Send + Sync + 'static {
    /// Publishes a durable change with this revision. Returns at once: the reply to an operator never waits for it.
    /// Does nothing if the store itself notifies the others, such as by NOTIFY in the transaction of the change.
    fn publish(&self, revision: Revision);

    /// Runs the transport indefinitely: sends what was published, and wakes `signal` for every notification and **each
    /// time a subscription begins**, because earlier notifications were missed. Cancel it by dropping it.
    async fn listen(&self, signal: &PollSignal) -> Infallible;
}

/// Notifies the Follower of this process, and those of other processes over the transports.
#[derive(Clone, Default)]
pub struct ChangeNotifier {
    signal: PollSignal,
    transports: Vec<Arc<dyn ChangeTransport>>,
}

impl ChangeNotifier {
    /// A notifier for this process's Follower and for all that listen to `transports`, which may be empty.
    pub fn new(transports: Vec<Arc<dyn ChangeTransport>>) -> Self {
        Self { signal: PollSignal::default(), transports }
    }

    /// The signal that the Follower of this process waits for.
    pub fn signal(&self) -> &PollSignal {
        &self.signal
    }

    /// Notifies of a durable change. Returns at once.
    pub fn notify(&self, revision: Revision) {
        self.signal.wake();
        self.transports.iter().for_each(|transport| transport.publish(revision));
    }

    /// Runs all transports indefinitely.
    pub async fn listen(&self) -> Infallible {
        join_all(self.transports.iter().map(|transport| transport.listen(&self.signal))).await;
        // There is nothing to receive without a transport.
        std::future::pending().await
    }
}

//! How a change reaches the decisions of every replica: the [`Follower`] asks the store what changed and invalidates
//! the caches. A [`ChangeNotifier`] says "poll now"; a [`ChangeTransport`] carries that between processes.
//!
//! A notification only makes things sooner. Each may be lost, late, repeated or forged: what changed is read from the
//! store alone, and the Follower's timer finds it.

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
    /// Wakes the Follower. Signals that come faster than it polls are one.
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
    /// This process has made a change, which is durable and has this revision. Returns at once: the reply to an operator
    /// never waits for it. Does nothing where the store itself notifies the others, as by a NOTIFY in the change's
    /// transaction.
    fn publish(&self, revision: Revision);

    /// Runs the transport indefinitely: sends what was published, and wakes `signal` for every notification received
    /// and **each time that a subscription begins**, because what was sent before that is lost. Cancel it by dropping it.
    async fn listen(&self, signal: &PollSignal) -> Infallible;
}

/// Notifies the Follower of this process, and by the transports those of the others.
#[derive(Clone, Default)]
pub struct ChangeNotifier {
    signal: PollSignal,
    transports: Vec<Arc<dyn ChangeTransport>>,
}

impl ChangeNotifier {
    /// A notifier for this process's own Follower and for all that listen to `transports`, which may be empty.
    pub fn new(transports: Vec<Arc<dyn ChangeTransport>>) -> Self {
        Self { signal: PollSignal::default(), transports }
    }

    /// The signal that the Follower of this process waits for.
    pub fn signal(&self) -> &PollSignal {
        &self.signal
    }

    /// A change is durable. Returns at once.
    pub fn notify(&self, revision: Revision) {
        self.signal.wake();
        self.transports.iter().for_each(|transport| transport.publish(revision));
    }

    /// Runs all transports indefinitely.
    pub async fn listen(&self) -> Infallible {
        join_all(self.transports.iter().map(|transport| transport.listen(&self.signal))).await;
        // Without a transport there is nothing to receive.
        std::future::pending().await
    }
}

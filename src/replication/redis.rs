//! Notifications by publish and subscribe of Redis.

use std::{convert::Infallible, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use redis::{RedisResult, aio::PubSub};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tracing::debug;

use super::{ChangeTransport, PollSignal};
use crate::{
    net::{
        backoff::Backoff,
        redis_link::{Link, Need, loggable},
    },
    store::Revision,
};

/// A channel of a Redis server.
pub struct RedisTransport {
    link: Arc<Link>,
    /// `<prefix>:changes`. The same for every history of a store: a process subscribes before it knows the history,
    /// and a foreign signal costs only one poll.
    channel: String,
    /// Only the last revision: a poll that it triggers sees the earlier ones too.
    published: watch::Sender<Revision>,
}

/// The timeout of connecting and of a ping.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a silent connection is trusted before it is pinged: a vanished peer is not detected otherwise.
const SILENCE: Duration = Duration::from_secs(10);

/// The minimum time between two signals: a publisher must not make every replica poll without pause.
const SPACING: Duration = Duration::from_millis(10);

impl RedisTransport {
    /// Publishes over `link`, which must be run, and subscribes over a connection of its own.
    pub fn new(link: Arc<Link>) -> Self {
        let channel = format!("{}:changes", link.options().prefix());
        Self { link, channel, published: watch::Sender::new(Revision::default()) }
    }

    async fn send_published(&self) -> Infallible {
        let mut published = self.published.subscribe();
        loop {
            // The sender lives in `self`, so this cannot fail.
            let _ = published.changed().await;
            let revision = published.borrow_and_update().0;
            let mut command = redis::cmd("PUBLISH");
            command.arg(&self.channel).arg(revision);
            self.link.run_in_background(Need::Publish, async |to| command.query_async::<redis::Value>(to).await).await;
        }
    }

    async fn receive(&self, signal: &PollSignal) -> Infallible {
        let mut backoff = Backoff::default();
        loop {
            match timeout(PATIENCE, self.link.options().subscribe(&self.channel)).await {
                Ok(Ok(connection)) => {
                    backoff = Backoff::default();
                    self.link.subscribed(Ok(()));
                    signal.wake();
                    let lost = forward(connection, signal).await.map_err(|cause| loggable(&cause));
                    debug!(?lost, "the connection for Redis notifications was lost");
                }
                Ok(Err(cause)) => self.link.subscribed(Err(Some(&cause))),
                Err(_) => self.link.subscribed(Err(None)),
            }
            backoff.pause().await;
        }
    }
}

/// Forwards signals until the connection is lost. The content of a message does not matter, because anyone may have
/// sent it.
async fn forward(connection: PubSub, signal: &PollSignal) -> RedisResult<()> {
    let (mut sink, mut messages) = connection.split();
    loop {
        match timeout(SILENCE, messages.next()).await {
            Ok(Some(_)) => {
                signal.wake();
                sleep(SPACING).await;
                // Published before the next signal, which covers them.
                let mut more = false;
                while let Some(Some(_)) = messages.next().now_or_never() {
                    more = true;
                }
                if more {
                    signal.wake();
                }
            }
            Ok(None) => return Ok(()),
            Err(_) => match timeout(PATIENCE, sink.ping::<redis::Value>()).await {
                Ok(answered) => drop(answered?),
                Err(_) => return Ok(()),
            },
        }
    }
}

#[async_trait]
impl ChangeTransport for RedisTransport {
    fn publish(&self, revision: Revision) {
        self.published.send_replace(revision);
    }

    async fn listen(&self, signal: &PollSignal) -> Infallible {
        match tokio::join!(self.send_published(), self.receive(signal)) {}
    }
}

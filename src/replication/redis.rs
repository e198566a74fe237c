//! Hints by Redis' publish and subscribe.

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
        redis_link::{Link, told},
    },
    store::Revision,
};

/// A channel of one Redis.
pub struct RedisTransport {
    link: Arc<Link>,
    /// `<prefix>:changes`. Not one for each life of a store: a process listens before it knows that one, and a signal that
    /// was meant for somebody else costs one poll.
    channel: String,
    /// The last one only: whoever looks because of it sees the earlier ones too.
    published: watch::Sender<Revision>,
}

/// How long connecting, and an answer to a ping, may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the silence of a connection is believed: nothing else tells of a peer that is gone without a word.
const SILENCE: Duration = Duration::from_secs(10);

/// How soon after a signal the next one may be given: whoever may publish must not have every replica poll without pause.
const SPACING: Duration = Duration::from_millis(10);

impl RedisTransport {
    /// Publishes over `link`, which must run, and hears over a connection of its own.
    pub fn new(link: Arc<Link>) -> Self {
        let channel = format!("{}:changes", link.options().prefix());
        Self { link, channel, published: watch::Sender::new(Revision::default()) }
    }

    async fn tell(&self) -> Infallible {
        let mut published = self.published.subscribe();
        loop {
            // The sender lives in `self`, so this cannot fail.
            let _ = published.changed().await;
            let revision = published.borrow_and_update().0;
            let mut command = redis::cmd("PUBLISH");
            command.arg(&self.channel).arg(revision);
            self.link.run_in_background(async |to| command.query_async::<redis::Value>(to).await).await;
        }
    }

    async fn hear(&self, signal: &PollSignal) -> Infallible {
        let mut backoff = Backoff::default();
        loop {
            match timeout(PATIENCE, self.link.options().subscribe(&self.channel)).await {
                Ok(Ok(connection)) => {
                    backoff = Backoff::default();
                    signal.wake();
                    let lost = pass_on(connection, signal).await.map_err(|cause| told(&cause));
                    debug!(?lost, "changes are no longer heard of by Redis");
                }
                Ok(Err(cause)) => debug!(cause = told(&cause), "changes are not heard of by Redis"),
                Err(_) => debug!("changes are not heard of by Redis, which does not answer"),
            }
            backoff.pause().await;
        }
    }
}

/// Gives hints until the connection is lost. What a message says does not matter: anybody may have sent it.
async fn pass_on(connection: PubSub, signal: &PollSignal) -> RedisResult<()> {
    let (mut sink, mut messages) = connection.split();
    loop {
        match timeout(SILENCE, messages.next()).await {
            Ok(Some(_)) => {
                signal.wake();
                sleep(SPACING).await;
                // Told before the next signal, so told by it.
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
        match tokio::join!(self.tell(), self.hear(signal)) {}
    }
}

//! Notifications by LISTEN and NOTIFY of PostgreSQL, for replicas without Redis.

use std::{convert::Infallible, time::Duration};

use async_trait::async_trait;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::{ChangeTransport, PollSignal};
use crate::{
    net::backoff::Backoff,
    store::{Revision, StoreError, postgres::Options},
};

/// Receives a notification for every commit that takes a revision.
pub struct PostgresTransport(Options);

/// The timeout of connecting.
const PATIENCE: Duration = Duration::from_secs(5);

/// The minimum time between two signals: an archive run of thousands of keys causes a few polls, not one per key.
const SPACING: Duration = Duration::from_millis(10);

impl PostgresTransport {
    /// Listens on the store itself.
    pub fn new(store: Options) -> Self {
        Self(store)
    }
}

#[async_trait]
impl ChangeTransport for PostgresTransport {
    /// NOTIFY is part of the transaction of the change.
    fn publish(&self, _: Revision) {}

    async fn listen(&self, signal: &PollSignal) -> Infallible {
        let mut backoff = Backoff::default();
        loop {
            let began = timeout(PATIENCE, self.0.listen()).await;
            match began.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned()))) {
                Ok(mut notifications) => {
                    backoff = Backoff::default();
                    signal.wake();
                    while notifications.next().await.is_some() {
                        signal.wake();
                        sleep(SPACING).await;
                    }
                    debug!("the connection for PostgreSQL notifications was lost");
                }
                Err(cause) => debug!(%cause, "cannot receive PostgreSQL notifications"),
            }
            backoff.pause().await;
        }
    }
}

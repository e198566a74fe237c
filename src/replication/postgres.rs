//! Hints by PostgreSQL's LISTEN and NOTIFY: for replicas without Redis.

use std::{convert::Infallible, time::Duration};

use async_trait::async_trait;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::{ChangeTransport, PollSignal};
use crate::{
    net::backoff::Backoff,
    store::{Revision, StoreError, postgres::Options},
};

/// What every commit that takes a revision tells.
pub struct PostgresTransport(Options);

/// How long connecting may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How soon after a signal the next one may be given: an archive of thousands is one poll, not one each.
const SPACING: Duration = Duration::from_millis(10);

impl PostgresTransport {
    /// Listens at the store itself.
    pub fn new(store: Options) -> Self {
        Self(store)
    }
}

#[async_trait]
impl ChangeTransport for PostgresTransport {
    /// The NOTIFY is part of the change's transaction.
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
                    debug!("changes are no longer heard of by PostgreSQL");
                }
                Err(cause) => debug!(%cause, "changes are not heard of by PostgreSQL"),
            }
            backoff.pause().await;
        }
    }
}

//! Makes a change, and waits until it is in effect in this process.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{AsOf, ChangeCommand, Error, Operation, Principal, Service};
use crate::{
    domain::Timestamp,
    events::Event,
    store::{Applied, Change, ChangeError, Revision, StoreError},
};

/// How long the answer to a durable change waits until the change is in effect in this process.
const APPLY_TIMEOUT: Duration = Duration::from_secs(1);

/// A change that was made.
pub(crate) struct Changed {
    pub(crate) applied: Applied,
    /// Whether it is in effect in this process.
    pub(crate) in_effect: bool,
}

impl Service {
    /// Makes a change as `by`, and waits until it is in effect in this process.
    ///
    /// The change is durable and audited when this returns, and also if the caller drops the future after the commit.
    pub(crate) async fn change(
        self: &Arc<Self>,
        by: &Principal,
        command: ChangeCommand,
    ) -> Result<AsOf<Changed>, Error> {
        by.authorise(Operation::Change)?;
        let now = self.time();
        let change = self.change_of(command, now)?;
        let now = now.ok_or(Error::NotReady)?;
        let applied = self.write(change, by.to_string(), now).await?;
        let in_effect = self.takes_effect(applied.revision).await;
        Ok(AsOf { now, value: Changed { applied, in_effect } })
    }

    /// Makes `change` without waiting until it is in effect in this process.
    pub(super) async fn write(
        self: &Arc<Self>,
        change: Change,
        actor: String,
        now: Timestamp,
    ) -> Result<Applied, Error> {
        let this = Arc::clone(self);
        run_to_completion(async move {
            let applied = this.store.apply(change, &actor, now).await;
            match &applied {
                Ok(applied) => this.notifier.notify(applied.revision),
                // The poll learns the new active pepper. The change is not retried, because the key is no longer in
                // memory: the operator must repeat the command.
                Err(ChangeError::Store(StoreError::Behind(_))) => this.notifier.signal().wake(),
                Err(_) => {}
            }
            let applied = applied.map_err(|error| Error::change_failed(error, &this.store_url))?;
            this.events.publish(Event::Stored(&applied.record));
            Ok(applied)
        })
        .await
    }

    /// Waits until `revision` is in effect in this process; `false` after [`APPLY_TIMEOUT`].
    pub(super) async fn takes_effect(&self, revision: Revision) -> bool {
        let in_effect = timeout(APPLY_TIMEOUT, self.replica_state.has_applied(revision)).await.is_ok();
        if !in_effect {
            tracing::warn!(revision = revision.0, "a change is stored, but not yet in effect in this process");
        }
        in_effect
    }
}

/// Runs a change in its own task, so that it publishes its event and notifies the other replicas even if the client
/// disconnects after the commit.
pub(super) async fn run_to_completion<T: Send + 'static>(
    change: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(change).await.unwrap_or_else(|ended| {
        tracing::error!(error = %ended, "the task of an admin change ended early");
        Err(Error::OutcomeUnknown)
    })
}

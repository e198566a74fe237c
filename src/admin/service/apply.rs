//! A change, from the question to the moment this process decides by it.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{AsOf, ChangeCommand, Error, Operation, Principal, Service};
use crate::{
    domain::Timestamp,
    events::Event,
    store::{Applied, Change, ChangeError, Revision, StoreError},
};

/// How long a change that is already durable waits for this process to decide by it.
const SETTLE: Duration = Duration::from_secs(1);

/// A change that was made.
pub(crate) struct Changed {
    pub(crate) applied: Applied,
    /// Whether this process already decides by it.
    pub(crate) in_effect: bool,
}

impl Service {
    /// Makes a change in the name of `by`, and waits until this process decides by it.
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
        let in_effect = self.settled(applied.revision).await;
        Ok(AsOf { now, value: Changed { applied, in_effect } })
    }

    /// Makes `change`, and does not wait until it binds here.
    pub(super) async fn write(
        self: &Arc<Self>,
        change: Change,
        actor: String,
        now: Timestamp,
    ) -> Result<Applied, Error> {
        let this = Arc::clone(self);
        to_the_end(async move {
            let applied = this.store.apply(change, &actor, now).await;
            match &applied {
                Ok(applied) => this.notifier.notify(applied.revision),
                // The poll learns of the pepper that forbade it; the key is gone by then, so only its operator can ask
                // again.
                Err(ChangeError::Store(StoreError::Behind(_))) => this.notifier.signal().wake(),
                Err(_) => {}
            }
            let applied = applied.map_err(Error::not_done)?;
            this.events.publish(Event::Stored(&applied.record));
            Ok(applied)
        })
        .await
    }

    /// Whether this process decides by `revision` before the operator has waited long.
    pub(super) async fn settled(&self, revision: Revision) -> bool {
        let in_effect = timeout(SETTLE, self.replica_state.has_applied(revision)).await.is_ok();
        if !in_effect {
            tracing::warn!(revision = revision.0, "a change is stored, but not read back yet");
        }
        in_effect
    }
}

/// Makes a change in a task of its own: a client that hangs up after the commit must not cost the log line or the hint
/// to the other replicas.
pub(super) async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    tokio::spawn(change).await.unwrap_or_else(|ended| {
        tracing::error!(error = %ended, "an admin change was cut off");
        Err(Error::MadeOrNot)
    })
}

//! What the admin API needs of the process around it, and the one door for changes.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use crate::{
    client_ip::Resolver,
    credential::Credentials,
    domain::{KeyRing, PepperId, Timestamp},
    engine::Engine,
    events::{Event, Events},
    net::caller::Callers,
    replication::ChangeNotifier,
    settings::LiveSettings,
    store::{Applied, Change, ChangeError, Operators, Refusal, ReplicaState, Revision, StoreError, Upkeep},
    telemetry::health::Health,
};

/// How long a change that is already durable waits for this process to decide by it.
const SETTLE: Duration = Duration::from_secs(1);

/// What operators can do, and with what.
pub struct Operations {
    /// Where changes are made.
    pub store: Arc<dyn Operators>,
    /// Where keys of another store come in.
    pub upkeep: Arc<dyn Upkeep>,
    /// Turns a key into what may be kept of it.
    pub ring: Arc<KeyRing>,
    /// Reads a key as a client would show it, in a bare carrier or in a request to explain.
    pub credentials: Credentials,
    /// Whose word on an address counts, in a request to explain and for a diagnosis.
    pub client_ip: Resolver,
    /// How callers are known to be Envoy, for a diagnosis.
    pub callers: Callers,
    /// Says what it would decide.
    pub engine: Arc<Engine>,
    /// What it decides by.
    pub settings: Arc<LiveSettings>,
    /// Where every change is published.
    pub events: Events,
    /// Told of every change.
    pub notifier: ChangeNotifier,
    /// The store's clock, and what this process decides by.
    pub view: Arc<ReplicaState>,
    /// What health checks are told.
    pub health: Arc<Health>,
    /// The store as an operator calls it, for the status command.
    pub place: String,
    /// Since when the process runs.
    pub started: Instant,
}

/// A change that was made.
#[derive(Clone, Debug)]
pub(super) struct Changed {
    /// What the store did.
    pub(super) applied: Applied,
    /// Whether this process already decides by it.
    pub(super) in_effect: bool,
    /// The store's clock when it was asked.
    pub(super) now: Timestamp,
}

/// Why an operation was not done. The texts are for operators; the driver's own words go to the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    /// What the store holds forbids it; nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No clock yet, so no ban could end and no time could be written.
    #[error("this server has not reached its store since it started; try again once `sentinel status` says serving")]
    NotReady,
    /// The store did not answer.
    #[error("the store did not answer; the server's log says why")]
    StoreLost,
    /// It did not answer to a change.
    #[error("the store did not answer (a change was made or not); the server's log says why")]
    MadeOrNot,
    /// The store holds what this version cannot read.
    #[error("the store holds what this version cannot read; the server's log says what")]
    Corrupt,
    /// Another pepper was activated while the change was under way.
    #[error("another pepper has just been activated; nothing was changed; ask again")]
    Behind,
    /// Whatever would be written under it this server could not find again.
    #[error(
        "this server lists no pepper {0}; list its secret in pepper.secrets of every server, restart them, and try again"
    )]
    Unlisted(PepperId),
}

impl Operations {
    /// The store's clock.
    pub(super) fn now(&self) -> Result<Timestamp, Failure> {
        self.view.time(Instant::now()).ok_or(Failure::NotReady)
    }

    /// Makes `change` in the name of `actor`, and waits until this process decides by it.
    pub(super) async fn change(self: &Arc<Self>, change: Change, actor: String) -> Result<Changed, Failure> {
        let now = self.now()?;
        self.change_at(change, actor, now).await
    }

    /// The same, at a time that the change was made up for.
    pub(super) async fn change_at(
        self: &Arc<Self>,
        change: Change,
        actor: String,
        now: Timestamp,
    ) -> Result<Changed, Failure> {
        let applied = self.write(change, actor, now).await?;
        let in_effect = self.settled(applied.revision).await;
        Ok(Changed { applied, in_effect, now })
    }

    /// Makes `change`, and does not wait until it binds here.
    pub(super) async fn write(
        self: &Arc<Self>,
        change: Change,
        actor: String,
        now: Timestamp,
    ) -> Result<Applied, Failure> {
        let this = Arc::clone(self);
        // A task of its own: a client that hangs up after the commit must not cost the log line or the hint to the
        // other replicas.
        let work = tokio::spawn(async move {
            let applied = this.store.apply(change, &actor, now).await;
            match &applied {
                Ok(applied) => this.notifier.notify(applied.revision),
                // The poll learns of the pepper that forbade it; the key is gone by then, so only its operator can ask
                // again.
                Err(ChangeError::Store(StoreError::Behind(_))) => this.notifier.signal().wake(),
                Err(_) => {}
            }
            let applied = applied.map_err(not_done)?;
            this.events.publish(Event::Stored(&applied.record));
            Ok(applied)
        });
        work.await.unwrap_or_else(|ended| {
            tracing::error!(error = %ended, "an admin change was cut off");
            Err(Failure::MadeOrNot)
        })
    }

    /// Whether this process decides by `revision` before the operator has waited long.
    pub(super) async fn settled(&self, revision: Revision) -> bool {
        let in_effect = timeout(SETTLE, self.view.has_applied(revision)).await.is_ok();
        if !in_effect {
            tracing::warn!(revision = revision.0, "a change is stored, but not read back yet");
        }
        in_effect
    }
}

/// A change was not made, or nobody knows.
pub(super) fn not_done(error: impl Into<ChangeError>) -> Failure {
    match not_found(error.into()) {
        Failure::StoreLost => Failure::MadeOrNot,
        failure => failure,
    }
}

/// A key was not found, or not looked for.
pub(super) fn not_found(error: ChangeError) -> Failure {
    match error {
        ChangeError::Refused(refusal) => Failure::Refused(refusal),
        ChangeError::Store(error) => lost(error),
    }
}

/// Nothing was read.
pub(super) fn lost(error: StoreError) -> Failure {
    tracing::warn!(%error, "the store failed an admin request");
    match error {
        StoreError::Unavailable(_) | StoreError::Late => Failure::StoreLost,
        StoreError::Behind(_) => Failure::Behind,
        StoreError::Corrupt(_) => Failure::Corrupt,
    }
}

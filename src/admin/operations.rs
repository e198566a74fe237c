//! What an operator can do, whatever the wire.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use crate::{
    audit,
    changes::Hint,
    credential::Credentials,
    domain::{KeyHasher, PepperId, Timestamp, event::Record},
    health::Health,
    store::{
        Applied, AuditQuery, Change, ChangeError, Counts, KeyQuery, KeyRow, Refusal, Revision, Store, StoreError,
        Target, view::View,
    },
};

/// How long a change that is already durable waits for this process to decide by it.
const SETTLE: Duration = Duration::from_secs(1);

/// What the operations need of the process around them.
pub struct Deps {
    /// Where changes are made.
    pub store: Arc<dyn Store>,
    /// Turns a key into what may be kept of it.
    pub hasher: KeyHasher,
    /// Reads a key as a client would show it in a bare carrier.
    pub credentials: Credentials,
    /// Wakes the Follower after a change.
    pub hint: Hint,
    /// The store's clock, and what this process decides by.
    pub view: Arc<View>,
    /// What health checks are told.
    pub health: Arc<Health>,
    /// The database file, for the status command.
    pub database: PathBuf,
    /// Since when the process runs.
    pub started: Instant,
}

/// The state of the process, as the status command shows it.
#[derive(Clone, Debug)]
pub struct StatusView {
    /// The program's version.
    pub version: &'static str,
    /// Its process id.
    pub pid: u32,
    /// Since its start.
    pub uptime: Duration,
    /// What health checks are told.
    pub serving: bool,
    /// `enforce`.
    pub mode: &'static str,
    /// The store's URL without secrets.
    pub store: String,
    /// The last change that this process decides by.
    pub applied_revision: Revision,
    /// Since the last successful poll; `None` before the first.
    pub since_poll: Option<Duration>,
    /// The active pepper.
    pub pepper: PepperId,
    /// The realm.
    pub realm: String,
}

/// A change that was made.
#[derive(Clone, Debug)]
pub struct Changed {
    /// What the store did.
    pub applied: Applied,
    /// Whether this process already decides by it.
    pub in_effect: bool,
    /// The store's clock when it was asked.
    pub now: Timestamp,
}

/// Why an operation was not done. The texts are for operators; the driver's own words go to the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// What the store holds forbids it; nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No clock yet, so no ban could end and no time could be written.
    #[error("this server has not reached its store since it started; try again once `sentinel status` says serving")]
    NotReady,
    /// The store did not answer.
    #[error("the store did not answer (a change was made or not); the server's log says why")]
    StoreLost,
    /// The store holds what this version cannot read.
    #[error("the store holds what this version cannot read; the server's log says what")]
    Corrupt,
}

/// What operators can do. Cheap to clone.
#[derive(Clone)]
pub struct Operations(Arc<Deps>);

impl Operations {
    /// Operations on `deps.store`.
    pub fn new(deps: Deps) -> Self {
        Self(Arc::new(deps))
    }

    /// The store's clock.
    pub fn now(&self) -> Result<Timestamp, Failure> {
        self.0.view.time(Instant::now()).ok_or(Failure::NotReady)
    }

    /// What to look for when an operator shows the key itself; `None` if it is not a key of the profile.
    pub fn target_of_key(&self, text: &str) -> Option<Target> {
        self.0.credentials.bare_key(text).map(|key| Target::Key(self.0.hasher.fingerprint(&key)))
    }

    /// Bindings and bans, the newest first.
    pub async fn keys(&self, query: KeyQuery) -> Result<Vec<KeyRow>, Failure> {
        self.0.store.keys(query).await.map_err(lost)
    }

    /// One key.
    pub async fn key(&self, target: Target) -> Result<KeyRow, Failure> {
        self.0.store.find(target).await.map_err(not_done)
    }

    /// Audit records, the newest first.
    pub async fn audit(&self, query: AuditQuery) -> Result<Vec<Record>, Failure> {
        self.0.store.audit(query).await.map_err(lost)
    }

    /// The state of the process, and how full the store is if it answers: a lost store is when an operator asks.
    pub async fn status(&self) -> (StatusView, Option<Counts>) {
        let counts = self.0.store.counts().await.map_err(lost).ok();
        (self.0.status(), counts)
    }

    /// Makes `change` in the name of `actor`, and waits until this process decides by it.
    pub async fn change(&self, change: Change, actor: String) -> Result<Changed, Failure> {
        let now = self.now()?;
        let deps = Arc::clone(&self.0);
        // A task of its own: a client that hangs up after the commit must not cost the log line or the hint to the
        // other replicas.
        let work = tokio::spawn(async move { make(&deps, change, &actor, now).await });
        work.await.unwrap_or_else(|ended| {
            tracing::error!(error = %ended, "an admin change was cut off");
            Err(Failure::StoreLost)
        })
    }
}

impl Deps {
    fn status(&self) -> StatusView {
        let now = Instant::now();
        StatusView {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime: now - self.started,
            serving: self.health.is_serving(),
            mode: "enforce",
            store: format!("sqlite:{}", self.database.display()),
            applied_revision: self.view.applied(),
            since_poll: self.view.since_poll(now),
            pepper: self.hasher.pepper().id(),
            realm: self.hasher.realm().to_owned(),
        }
    }
}

async fn make(deps: &Deps, change: Change, actor: &str, now: Timestamp) -> Result<Changed, Failure> {
    let applied = deps.store.apply(change, actor, now).await.map_err(not_done)?;
    audit::log(&applied.record);
    deps.hint.give();
    let in_effect = timeout(SETTLE, deps.view.has_applied(applied.revision)).await.is_ok();
    if !in_effect {
        tracing::warn!(revision = applied.revision.0, "a change is stored, but not read back yet");
    }
    Ok(Changed { applied, in_effect, now })
}

fn not_done(error: ChangeError) -> Failure {
    match error {
        ChangeError::Refused(refusal) => Failure::Refused(refusal),
        ChangeError::Store(error) => lost(error),
    }
}

fn lost(error: StoreError) -> Failure {
    tracing::warn!(%error, "the store failed an admin request");
    match error {
        StoreError::Unavailable(_) => Failure::StoreLost,
        StoreError::Corrupt(_) => Failure::Corrupt,
    }
}

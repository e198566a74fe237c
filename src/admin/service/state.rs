//! The state of the service.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use tokio::time::Instant;

use super::Error;
use crate::{
    client_ip::Resolver,
    credential::Credentials,
    domain::{KeyRing, Timestamp},
    engine::Engine,
    events::Events,
    net::caller::Callers,
    replication::ChangeNotifier,
    settings::LiveSettings,
    store::{Operators, ReplicaState, Upkeep},
    telemetry::health::Health,
};

/// The operators' operations.
pub struct Service {
    /// Makes changes and reads keys.
    pub store: Arc<dyn Operators>,
    /// Imports keys of another store.
    pub upkeep: Arc<dyn Upkeep>,
    /// Makes the fingerprint of a key.
    pub ring: Arc<KeyRing>,
    /// Reads a key from a bare carrier or from a request to explain.
    pub credentials: Credentials,
    /// Finds the client's address of a request to explain; reported in a diagnosis.
    pub client_ip: Resolver,
    /// Which callers of Check are accepted; reported in a diagnosis.
    pub callers: Callers,
    /// Explains decisions.
    pub engine: Arc<Engine>,
    /// The settings of decisions.
    pub settings: Arc<LiveSettings>,
    /// Where every change is published.
    pub events: Events,
    /// Notifies the replicas of every change.
    pub notifier: ChangeNotifier,
    /// The store's clock, and the last revision that is in effect in this process.
    pub replica_state: Arc<ReplicaState>,
    /// What health checks report.
    pub health: Arc<Health>,
    /// The store's URL without secrets, for the status.
    pub store_url: String,
    /// When the process started.
    pub started: Instant,
}

/// An outcome that is streamed. Dropping the stream ends the operation, unless the operation says otherwise.
pub(crate) type OutcomeStream<T> = BoxStream<'static, Result<T, Error>>;

/// A value that was read, and the store's clock at that time, to which its times are relative.
#[derive(Clone, Debug)]
pub(crate) struct AsOf<T> {
    pub(crate) now: Timestamp,
    pub(crate) value: T,
}

impl Service {
    /// The store's clock; `None` if the store was not reached yet.
    pub(super) fn time(&self) -> Option<Timestamp> {
        self.replica_state.time(Instant::now())
    }

    /// The store's clock; [`Error::NotReady`] if the store was not reached yet.
    pub(super) fn now(&self) -> Result<Timestamp, Error> {
        self.time().ok_or(Error::NotReady)
    }
}

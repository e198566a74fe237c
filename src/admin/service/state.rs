//! What the service needs of the process around it.

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

/// What operators can do, and with what.
pub struct Service {
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
    pub replica_state: Arc<ReplicaState>,
    /// What health checks are told.
    pub health: Arc<Health>,
    /// The store as an operator calls it, for the status command.
    pub place: String,
    /// Since when the process runs.
    pub started: Instant,
}

/// An answer that comes in parts. Whoever drops it ends the work, where no operation says otherwise.
pub(crate) type Parts<T> = BoxStream<'static, Result<T, Error>>;

/// What was read, and the store's clock when it was asked: what the times in it are to be compared with.
#[derive(Clone, Debug)]
pub(crate) struct AsOf<T> {
    pub(crate) now: Timestamp,
    pub(crate) value: T,
}

impl Service {
    /// The store's clock, once it was heard.
    pub(super) fn time(&self) -> Option<Timestamp> {
        self.replica_state.time(Instant::now())
    }

    /// The store's clock.
    pub(super) fn now(&self) -> Result<Timestamp, Error> {
        self.time().ok_or(Error::NotReady)
    }
}

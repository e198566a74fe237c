//! The state of the process, and how full its store is.

use std::time::Duration;

use tokio::time::Instant;

use super::{Error, Operation, Principal, Service};
use crate::{
    domain::{Mode, PepperId},
    store::{Counts, Revision},
};

/// The state of this process and its store.
pub(crate) struct Status {
    pub(crate) version: &'static str,
    pub(crate) pid: u32,
    pub(crate) uptime: Duration,
    /// What health checks are told.
    pub(crate) serving: bool,
    /// What holds for a route that has no mode of its own.
    pub(crate) mode: Mode,
    pub(crate) place: String,
    /// The last change that this process decides by.
    pub(crate) applied: Revision,
    /// Since the last successful poll of the store.
    pub(crate) since_poll: Option<Duration>,
    /// The active pepper of this process.
    pub(crate) pepper: PepperId,
    pub(crate) realm: String,
    /// `None`: the store did not answer, which is when an operator asks.
    pub(crate) counts: Option<Counts>,
}

impl Service {
    /// The state of this process and its store.
    pub(crate) async fn status(&self, by: &Principal) -> Result<Status, Error> {
        by.authorise(Operation::Read)?;
        let counts = self.store.counts().await.map_err(Error::lost).ok();
        let now = Instant::now();
        Ok(Status {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime: now - self.started,
            serving: self.health.is_serving(),
            mode: self.settings.load().mode,
            place: self.place.clone(),
            applied: self.replica_state.applied(),
            since_poll: self.replica_state.since_poll(now),
            pepper: self.ring.active(),
            realm: self.ring.realm().to_owned(),
            counts,
        })
    }
}

//! The state of the process, and how full its store is.

use std::time::Duration;

use tokio::time::Instant;

use super::{Error, Operation, Principal, Service};
use crate::{
    domain::{Mode, PepperId},
    store::{Counts, Revision},
};

/// The state of this process and its store.
#[derive(Clone, Debug)]
pub struct Status {
    /// Of the program.
    pub version: &'static str,
    /// Of the process.
    pub pid: u32,
    /// Since the process started.
    pub uptime: Duration,
    /// What health checks are told.
    pub serving: bool,
    /// What holds for a route that has no mode of its own.
    pub mode: Mode,
    /// The store as an operator calls it.
    pub place: String,
    /// The last change that this process decides by.
    pub applied: Revision,
    /// Since the last successful poll of the store.
    pub since_poll: Option<Duration>,
    /// The active pepper of this process.
    pub pepper: PepperId,
    /// `credentials.realm`.
    pub realm: String,
    /// `None`: the store did not answer, which is when an operator asks.
    pub counts: Option<Counts>,
}

impl Service {
    /// The state of this process and its store.
    pub async fn status(&self, by: &Principal) -> Result<Status, Error> {
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
            applied: self.view.applied(),
            since_poll: self.view.since_poll(now),
            pepper: self.ring.active(),
            realm: self.ring.realm().to_owned(),
            counts,
        })
    }
}

//! The status of the process and its store.

use std::time::Duration;

use tokio::time::Instant;

use super::{Error, Operation, Principal, Service};
use crate::{
    domain::{Mode, PepperId},
    store::{Counts, Revision},
};

/// The status of this process and its store.
pub(crate) struct Status {
    pub(crate) version: &'static str,
    pub(crate) pid: u32,
    pub(crate) uptime: Duration,
    /// What health checks report.
    pub(crate) serving: bool,
    /// The mode of routes without `sentinel.mode`.
    pub(crate) mode: Mode,
    pub(crate) store_url: String,
    /// The last change that is in effect in this process.
    pub(crate) applied: Revision,
    /// The time since the last successful poll of the store.
    pub(crate) since_poll: Option<Duration>,
    /// The active pepper, as this process knows it.
    pub(crate) pepper: PepperId,
    pub(crate) realm: String,
    /// `None` if the store did not answer. Not an error, because operators need the status most then.
    pub(crate) counts: Option<Counts>,
    /// Why the store accepts no writes, and the fix, if it accepts none.
    pub(crate) unwritable: Option<String>,
    /// Why no binding is archived at present.
    pub(crate) archive_waits: Option<String>,
}

impl Service {
    /// The status of this process and its store.
    pub(crate) async fn status(&self, by: &Principal) -> Result<Status, Error> {
        by.authorise(Operation::Read)?;
        let counts = self.store.counts().await.map_err(Error::read_failed).ok();
        let (now, writes) = (Instant::now(), self.replica_state.writes());
        Ok(Status {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime: now - self.started,
            serving: self.health.is_serving(),
            mode: self.settings.load().mode,
            store_url: self.store_url.clone(),
            applied: self.replica_state.applied(),
            since_poll: self.replica_state.since_poll(now),
            pepper: self.ring.active(),
            realm: self.ring.realm().to_owned(),
            counts,
            unwritable: writes.obstacle().map(|it| format!("{}; {}", it.cause(), it.fix())),
            archive_waits: writes.archive_waits(),
        })
    }
}

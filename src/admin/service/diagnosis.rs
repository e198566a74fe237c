//! Facts that may indicate a wrong configuration. `sentinel doctor` evaluates them.

use std::time::Duration;

use super::{AsOf, Error, Operation, Principal, Service};
use crate::{
    client_ip::Resolver,
    net::caller::Callers,
    store::{CrowdedNetwork, DenialCount},
};

/// How far back denials are counted.
const RECENT: Duration = Duration::from_hours(24);

/// Networks to report. More than one suspicious network is rare.
const MOST_CROWDED: u32 = 5;

/// How this process finds addresses and accepts callers, which networks own the most keys, and why requests were
/// denied.
pub(crate) struct Diagnosis {
    pub(crate) client_ip: Resolver,
    pub(crate) profiles: Vec<&'static str>,
    pub(crate) callers: Callers,
    /// Keys with a learned or provisional binding, and observed keys: in observe mode a wrong `client_ip.source` has no
    /// consequences yet.
    pub(crate) learned: u64,
    /// The networks that own the most of them, most keys first.
    pub(crate) crowded: Vec<CrowdedNetwork>,
    /// The denials of the last 24 hours by reason, the most frequent first.
    pub(crate) denied: Vec<DenialCount>,
}

impl Service {
    /// The facts that may indicate a wrong configuration.
    pub(crate) async fn diagnosis(&self, by: &Principal) -> Result<AsOf<Diagnosis>, Error> {
        by.authorise(Operation::Read)?;
        let now = self.now()?;
        let counts = self.store.counts().await.map_err(Error::read_failed)?;
        let crowded = self.store.crowded_networks(MOST_CROWDED).await.map_err(Error::read_failed)?;
        let denied = self.store.denials_since(now.before(RECENT)).await.map_err(Error::read_failed)?;
        let value = Diagnosis {
            client_ip: self.client_ip.clone(),
            profiles: self.credentials.names().collect(),
            callers: self.callers.clone(),
            learned: counts.learned + counts.provisional + counts.observed,
            crowded,
            denied,
        };
        Ok(AsOf { now, value })
    }
}

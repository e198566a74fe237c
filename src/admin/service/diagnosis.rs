//! What speaks for a wrong set-up. Facts only: `sentinel doctor` says what to make of them.

use std::time::Duration;

use super::{AsOf, Error, Operation, Principal, Service};
use crate::{
    client_ip::Resolver,
    net::caller::Callers,
    store::{CrowdedNetwork, DenialCount},
};

/// As far back as the audit is read.
const RECENT: Duration = Duration::from_hours(24);

/// More than one suspect is rare, and the fifth is none.
const MOST_CROWDED: u32 = 5;

/// How this process takes addresses and callers, who owns many keys, and why requests were denied.
pub(crate) struct Diagnosis {
    pub(crate) client_ip: Resolver,
    pub(crate) profiles: Vec<&'static str>,
    pub(crate) callers: Callers,
    /// Keys with a learned binding, and keys that were only observed: observing is when a wrong address source is still
    /// cheap to find.
    pub(crate) learned: u64,
    /// The networks that own the most of them, the fullest first.
    pub(crate) crowded: Vec<CrowdedNetwork>,
    /// The denials of the last 24 hours by reason, the most frequent first.
    pub(crate) denied: Vec<DenialCount>,
}

impl Service {
    /// What speaks for a wrong set-up.
    pub(crate) async fn diagnosis(&self, by: &Principal) -> Result<AsOf<Diagnosis>, Error> {
        by.authorise(Operation::Read)?;
        let now = self.now()?;
        let counts = self.store.counts().await.map_err(Error::lost)?;
        let crowded = self.store.crowded_networks(MOST_CROWDED).await.map_err(Error::lost)?;
        let denied = self.store.denials_since(now.before(RECENT)).await.map_err(Error::lost)?;
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

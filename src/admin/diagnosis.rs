//! What speaks for a wrong set-up. Facts only: `sentinel doctor` says what to make of them.

use std::time::Duration;

use super::{
    Operations, api,
    operations::{Failure, lost},
};
use crate::store::{Crowded, Denied};

/// As far back as the audit is read.
const RECENT: Duration = Duration::from_hours(24);

/// More than one suspect is rare, and the fifth is none.
const MOST_CROWDED: u32 = 5;

pub(super) async fn diagnosis(operations: &Operations) -> Result<api::GetDiagnosisResponse, Failure> {
    let now = operations.now()?;
    let counts = operations.store.counts().await.map_err(lost)?;
    let crowded_networks = operations.store.crowded_networks(MOST_CROWDED).await.map_err(lost)?;
    let denials = operations.store.denials_since(now.before(RECENT)).await.map_err(lost)?;
    let Operations { client_ip, credentials, callers, .. } = operations;
    Ok(api::GetDiagnosisResponse {
        source: client_ip.source.as_str().to_owned(),
        header: client_ip.header().unwrap_or_default().to_owned(),
        trusted_proxies: client_ip.trusted_proxies.iter().map(ToString::to_string).collect(),
        profiles: credentials.profiles().map(|profile| profile.name.to_owned()).collect(),
        callers: callers.as_str().to_owned(),
        // Observing is when a wrong address source is still cheap to find.
        learned: counts.learned + counts.provisional + counts.observed,
        crowded: crowded_networks.iter().map(crowded).collect(),
        denied: denials.iter().map(denied).collect(),
        now_ms: now.as_millis(),
    })
}

fn crowded(crowded: &Crowded) -> api::CrowdedNetwork {
    api::CrowdedNetwork { network: crowded.network.to_string(), keys: crowded.keys }
}

fn denied(denied: &Denied) -> api::DenialCount {
    let Denied { reason, count, last_at } = denied;
    api::DenialCount { reason: reason.to_string(), count: *count, last_at_ms: last_at.as_millis() }
}

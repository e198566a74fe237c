//! Finds out whether the store accepts claims, before a client does.

use std::{convert::Infallible, net::Ipv4Addr, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use crate::{
    domain::{ApiKey, ClientIp, KeyRing, Network, Timestamp},
    store::{Claim, Decisions, Purpose, ReplicaState, Slots, StoreError},
};

/// How often a store that accepts writes is asked.
const WHILE_ACCEPTED: Duration = Duration::from_secs(60);

/// How often one that does not is asked, so that its recovery is noticed; and the least time between two tries.
const WHILE_REFUSED: Duration = Duration::from_secs(2);

/// Tries a claim regularly, and soon after any write was refused. [`Measured`](crate::store::measured::Measured) records
/// the result.
pub async fn run(store: Arc<dyn Decisions>, state: Arc<ReplicaState>, ring: Arc<KeyRing>) -> Infallible {
    loop {
        let wait = if state.writes().obstacle().is_some() { WHILE_REFUSED } else { WHILE_ACCEPTED };
        if timeout(wait, state.writes().suspected()).await.is_ok() {
            sleep(WHILE_REFUSED).await;
        }
        let Some(now) = state.time(Instant::now()) else { continue };
        // The poll sets the ring's active pepper, but another replica may have changed it since.
        let tried = store.try_claim(claim(&ring, now)).await;
        if let Err(StoreError::Behind(active)) = tried {
            ring.activate(&active);
        }
    }
}

/// The first use of a key that nobody has.
fn claim(ring: &KeyRing, now: Timestamp) -> Claim {
    let key = ApiKey::new(format!("write-check-{:032x}", rand::random::<u128>()));
    Claim {
        key: ring.fingerprint(&key),
        network: Network::exactly(ClientIp::new(Ipv4Addr::new(192, 0, 2, 1).into())),
        purpose: Purpose::Own(Slots { networks: 1, window: Duration::ZERO }),
        now,
        decision_id: String::new(),
    }
}

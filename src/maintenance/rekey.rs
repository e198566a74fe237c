//! Re-keys keys that were found under an older pepper to the active one.

use std::{convert::Infallible, sync::Arc};

use tokio::time::Instant;
use tracing::{debug, info};

use crate::store::{ReplicaState, StoreError, Upkeep, rekey::Batches};

/// Re-keys what is put into the queue of `batches`, indefinitely.
pub async fn run(mut batches: Batches, store: Arc<dyn Upkeep>, state: Arc<ReplicaState>) -> Infallible {
    loop {
        let batch = batches.gather().await;
        let (keys, now) = (batch.len(), state.time(Instant::now()));
        let moved = match now {
            Some(now) => store.rekey(batch, now).await,
            None => Err(StoreError::Unavailable("the store was not reached yet".to_owned())),
        };
        match moved {
            Ok(0) => {}
            Ok(moved) => info!(moved, "keys were re-keyed from an older pepper to the active one"),
            Err(cause) => {
                debug!(%cause, keys, "cannot re-key keys; they stay under their older pepper until they are used again")
            }
        }
    }
}

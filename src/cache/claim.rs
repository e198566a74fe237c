//! A claim, and what is learned by it.

use std::sync::Arc;

use super::{Cached, Entry, Loaded, lock::locked, run_detached};
use crate::{
    domain::KeyFacts,
    store::{Claim, Claimed, Reading, StoreError},
};

impl Cached {
    /// Claims, and keeps what the store answered. `written` is called if the claim was written, whether or not its
    /// caller still waits; else it is dropped.
    ///
    /// Claims of one key take turns. What was learned meanwhile is the answer if it `settles` the matter: then the claim
    /// is held, by the same facts that a request which came a little later would be judged by.
    pub async fn claim(
        self: &Arc<Self>,
        claim: Claim,
        settles: impl Fn(&KeyFacts) -> bool,
        written: impl FnOnce() + Send + 'static,
    ) -> Result<Claimed, StoreError> {
        let turn = self.claiming.wait(claim.key.digest).await;
        if let Some(entry) = self.peek(claim.key.digests().iter()).filter(|entry| settles(&entry.facts)) {
            return Ok(Claimed::Held(Reading::clone(&entry)));
        }
        let this = Arc::clone(self);
        let task = run_detached(async move {
            // Not the caller's to give up: the next one would only wait in the store for what this one does there.
            let _turn = turn;
            let (key, generation) = (claim.key.digests(), locked(&this.window).generation);
            let claimed = this.in_time(this.store.claim(claim)).await;
            let claimed = claimed.inspect_err(|cause| this.recent_failures.hear(cause))?;
            match &claimed {
                Claimed::Won { record, .. } => {
                    (this.first_use)(record);
                    written();
                }
                Claimed::Noted(_) => written(),
                Claimed::Held(_) => {}
            }
            let entry = Arc::new(Entry::from_store(claimed.reading().clone()));
            this.keep(key, &Loaded { entry, generation });
            Ok(claimed)
        });
        task.await
    }
}

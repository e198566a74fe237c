//! Claims a key, and caches the result.

use std::sync::Arc;

use super::{Cached, Entry, Loaded, lock::locked, run_detached};
use crate::{
    domain::FactsView,
    store::{Claim, Claimed, StoreError},
};

impl Cached {
    /// Whether a claim would be written now; see [`Decisions::try_claim`](crate::store::Decisions::try_claim).
    pub async fn try_claim(&self, claim: Claim) -> Result<(), StoreError> {
        self.in_time(self.store.try_claim(claim)).await
    }

    /// Claims, and caches the answer of the store. `written` is called if the claim was written, even if the caller no
    /// longer waits; otherwise it is dropped.
    ///
    /// Claims of one key take turns. If the cache has meanwhile received facts for which `decides` is true, the answer is
    /// [`Claimed::Held`] with these facts and the store is not asked: a request that came a little later would be
    /// judged by the same facts.
    pub async fn claim(
        self: &Arc<Self>,
        claim: Claim,
        decides: impl Fn(FactsView<'_>) -> bool,
        written: impl FnOnce() + Send + 'static,
    ) -> Result<Claimed, StoreError> {
        let turn = self.claiming.wait(claim.key.digest).await;
        if let Some(entry) = self.peek(claim.key.digests().iter()).filter(|entry| decides(entry.facts())) {
            return Ok(Claimed::Held(entry.reading()));
        }
        let this = Arc::clone(self);
        let task = run_detached(&self.runtime, async move {
            // Held by the task, not by the caller: if a caller that leaves released its turn, the next caller would
            // only wait in the store for this claim.
            let _turn = turn;
            let (key, generation) = (claim.key.digests(), locked(&this.window).generation);
            let claimed = this.in_time(this.store.claim(claim)).await;
            let claimed = claimed.inspect_err(|cause| this.recent_failures.record(cause))?;
            match &claimed {
                Claimed::Won { record, .. } => {
                    (this.first_use)(record);
                    written();
                }
                Claimed::Noted(_) => written(),
                Claimed::Held(_) => {}
            }
            let entry = Arc::new(Entry::from_store(claimed.reading().clone()));
            this.insert(key, &Loaded { entry, generation });
            Ok(claimed)
        });
        task.await
    }
}

//! Pepper rotation: lists, activates and retires peppers.

use std::sync::Arc;

use super::{AsOf, Error, FieldError, Operation, Principal, Service, apply::run_to_completion};
use crate::{
    domain::{PepperId, event::EventKind},
    events::Event,
    store::{PepperRow, PepperUsage, Rotated, Rotation},
};

/// A pepper that the store knows or this process lists.
pub(crate) struct Pepper {
    pub(crate) row: PepperRow,
    /// Whether this process has its secret.
    pub(crate) listed: bool,
}

impl Pepper {
    /// Its state, as one word for scripts.
    pub(crate) fn state(&self) -> &'static str {
        match (self.row.active, self.row.retired_at) {
            (true, _) => "active",
            (false, Some(_)) => "retired",
            (false, None) => "verify-only",
        }
    }
}

/// A completed step of a rotation.
pub(crate) struct RotationStep {
    pub(crate) rotated: Rotated,
    /// Whether it is in effect in this process.
    pub(crate) in_effect: bool,
}

impl RotationStep {
    /// The number of keys that it deleted.
    pub(crate) fn forgotten(&self) -> usize {
        self.rotated.records.iter().filter(|record| record.kind == EventKind::Forgotten).count()
    }
}

impl Service {
    /// The peppers that the store knows, the active one first, then the other peppers that this process lists.
    pub(crate) async fn list_peppers(&self, by: &Principal) -> Result<AsOf<Vec<Pepper>>, Error> {
        by.authorise(Operation::Read)?;
        let now = self.now()?;
        let known = self.store.peppers().await.map_err(Error::read_failed)?;
        let listed = self.ring.peppers();
        let unused = listed.iter().map(|pepper| pepper.id()).filter(|id| known.iter().all(|row| row.id != *id));
        let unused: Vec<_> =
            unused.map(|id| PepperRow { id, active: false, retired_at: None, usage: PepperUsage::default() }).collect();
        let with_secret = |row: PepperRow| Pepper { listed: listed.find(&row.id).is_some(), row };
        Ok(AsOf { now, value: known.into_iter().chain(unused).map(with_secret).collect() })
    }

    /// Activates a pepper, which this process must list: new rows are written with it.
    pub(crate) async fn activate_pepper(
        self: &Arc<Self>,
        by: &Principal,
        id: &str,
    ) -> Result<AsOf<RotationStep>, Error> {
        by.authorise(Operation::Rotate)?;
        let id = pepper_id(id)?;
        let pepper = self.ring.peppers().find(&id).ok_or_else(|| Error::UnlistedPepper(id.clone()))?;
        self.rotate(by, Rotation::Activate { check_value: *pepper.check_value(), id }).await
    }

    /// Retires a pepper that keys no longer use. `forget` deletes keys that still use it, a bounded number in each
    /// call.
    pub(crate) async fn retire_pepper(
        self: &Arc<Self>,
        by: &Principal,
        id: &str,
        forget: bool,
    ) -> Result<AsOf<RotationStep>, Error> {
        by.authorise(Operation::Rotate)?;
        self.rotate(by, Rotation::Retire { id: pepper_id(id)?, forget }).await
    }

    async fn rotate(self: &Arc<Self>, by: &Principal, step: Rotation) -> Result<AsOf<RotationStep>, Error> {
        let now = self.now()?;
        let (this, actor) = (Arc::clone(self), by.to_string());
        run_to_completion(async move {
            let rotated = this.store.rotate(step, &actor, now).await;
            let rotated = rotated.map_err(|error| Error::change_failed(error, &this.store_url))?;
            rotated.records.iter().for_each(|record| this.events.publish(Event::Stored(record)));
            this.notifier.notify(rotated.revision);
            let in_effect = this.takes_effect(rotated.revision).await;
            Ok(AsOf { now, value: RotationStep { rotated, in_effect } })
        })
        .await
    }
}

fn pepper_id(text: &str) -> Result<PepperId, FieldError> {
    text.parse().map_err(|error| FieldError::new("id", error))
}

//! Rotation: which peppers there are, and the steps from one to the next.

use std::sync::Arc;

use super::{AsOf, Error, FieldError, Operation, Principal, Service, apply::to_the_end};
use crate::{
    domain::{PepperId, Timestamp, event::EventKind},
    events::Event,
    store::{PepperRow, PepperUsage, Revision, Rotation},
};

/// A pepper that the store knows or this process lists.
#[derive(Clone, Debug)]
pub struct Pepper {
    /// What the store says of it.
    pub row: PepperRow,
    /// Whether this process has its secret.
    pub listed: bool,
}

impl Pepper {
    /// One word for what it is used for.
    pub fn state(&self) -> &'static str {
        match (self.row.active, self.row.retired_at) {
            (true, _) => "active",
            (false, Some(_)) => "retired",
            (false, None) => "verify-only",
        }
    }
}

/// A step of a rotation, as it is asked for.
pub enum RotationCommand {
    /// Write new rows with another pepper, which this process must list.
    Activate {
        /// Its name.
        id: String,
    },
    /// Say that a pepper is not needed any more.
    Retire {
        /// Its name.
        id: String,
        /// Delete what is still under it, a bounded number at once.
        forget: bool,
    },
}

/// A step of a rotation that was made.
#[derive(Clone, Debug)]
pub struct RotationStep {
    /// The last revision that it took.
    pub revision: Revision,
    /// Whether this process already decides by it.
    pub in_effect: bool,
    /// False: more keys are under the pepper than one step deletes.
    pub done: bool,
    /// Keys deleted by this step.
    pub forgotten: u64,
    /// What is left under the pepper.
    pub usage: PepperUsage,
    /// The store's clock when it was asked.
    pub now: Timestamp,
}

impl Service {
    /// What the store knows, the active one first, then what this process lists beside it.
    pub async fn list_peppers(&self, by: &Principal) -> Result<AsOf<Vec<Pepper>>, Error> {
        by.authorise(Operation::Read)?;
        let now = self.now()?;
        let known = self.store.peppers().await.map_err(Error::lost)?;
        let listed = self.ring.peppers();
        let unused = listed.iter().map(|pepper| pepper.id()).filter(|id| known.iter().all(|row| row.id != *id));
        let unused: Vec<_> =
            unused.map(|id| PepperRow { id, active: false, retired_at: None, usage: PepperUsage::default() }).collect();
        let with_secret = |row: PepperRow| Pepper { listed: listed.find(&row.id).is_some(), row };
        Ok(AsOf { now, value: known.into_iter().chain(unused).map(with_secret).collect() })
    }

    /// Makes a step of a rotation in the name of `by`, and waits until this process decides by it.
    pub async fn rotate(self: &Arc<Self>, by: &Principal, command: RotationCommand) -> Result<RotationStep, Error> {
        by.authorise(Operation::Rotate)?;
        let step = self.rotation(command)?;
        let now = self.now()?;
        let (this, actor) = (Arc::clone(self), by.to_string());
        to_the_end(async move {
            let rotated = this.store.rotate(step, &actor, now).await.map_err(Error::not_done)?;
            rotated.records.iter().for_each(|record| this.events.publish(Event::Stored(record)));
            this.notifier.notify(rotated.revision);
            let forgotten = rotated.records.iter().filter(|record| record.kind == EventKind::Forgotten).count();
            Ok(RotationStep {
                revision: rotated.revision,
                in_effect: this.settled(rotated.revision).await,
                done: rotated.done,
                forgotten: forgotten as u64,
                usage: rotated.usage,
                now,
            })
        })
        .await
    }

    fn rotation(&self, command: RotationCommand) -> Result<Rotation, Error> {
        let named = |id: &str| id.parse::<PepperId>().map_err(|error| FieldError::new("id", error));
        match command {
            RotationCommand::Activate { id } => {
                let id = named(&id)?;
                let pepper = self.ring.peppers().find(&id).ok_or_else(|| Error::Unlisted(id.clone()))?;
                Ok(Rotation::Activate { check_value: *pepper.check_value(), id })
            }
            RotationCommand::Retire { id, forget } => Ok(Rotation::Retire { id: named(&id)?, forget }),
        }
    }
}

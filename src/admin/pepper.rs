//! Rotation: which peppers there are, and the steps from one to the next.

use std::sync::Arc;

use tonic::Status;

use super::{
    Operations, api,
    operations::{Failure, lost, not_done},
    request::invalid,
};
use crate::{
    domain::{PepperId, Timestamp, event::EventKind},
    events::Event,
    store::{PepperUsage, Rotated, Rotation},
};

/// What the store knows, then what this process lists beside it.
pub(super) async fn list(operations: &Operations) -> Result<api::ListPeppersResponse, Status> {
    let now = operations.now()?;
    let known = operations.store.peppers().await.map_err(lost)?;
    let listed = operations.ring.peppers();
    let mut peppers: Vec<_> = known
        .iter()
        .map(|row| api::Pepper {
            id: row.id.to_string(),
            state: match (row.active, row.retired_at) {
                (true, _) => "active",
                (false, Some(_)) => "retired",
                (false, None) => VERIFY_ONLY,
            }
            .to_owned(),
            listed: listed.find(&row.id).is_some(),
            left: Some(rows(row.left)),
            retired_at_ms: row.retired_at.map(Timestamp::as_millis),
        })
        .collect();
    let unused = listed.iter().map(|pepper| pepper.id()).filter(|id| known.iter().all(|row| row.id != *id));
    peppers.extend(unused.map(|id| api::Pepper {
        id: id.to_string(),
        state: VERIFY_ONLY.to_owned(),
        listed: true,
        left: Some(rows(PepperUsage::default())),
        retired_at_ms: None,
    }));
    Ok(api::ListPeppersResponse { peppers, now_ms: now.as_millis() })
}

const VERIFY_ONLY: &str = "verify-only";

pub(super) async fn activate(
    operations: &Arc<Operations>,
    request: api::ActivatePepperRequest,
    actor: String,
) -> Result<api::RotationResponse, Status> {
    let id = id(&request.id)?;
    let pepper = operations.ring.peppers().find(&id).ok_or_else(|| Failure::Unlisted(id.clone()))?;
    rotate(operations, Rotation::Activate { check_value: *pepper.check_value(), id }, actor).await
}

pub(super) async fn retire(
    operations: &Arc<Operations>,
    request: api::RetirePepperRequest,
    actor: String,
) -> Result<api::RotationResponse, Status> {
    let id = id(&request.id)?;
    rotate(operations, Rotation::Retire { id, forget: request.forget }, actor).await
}

/// A task of its own, as every change is: a client that hangs up after the commit must not cost the log or the hint.
async fn rotate(operations: &Arc<Operations>, step: Rotation, actor: String) -> Result<api::RotationResponse, Status> {
    let now = operations.now()?;
    let this = Arc::clone(operations);
    let work = tokio::spawn(async move {
        let rotated = this.store.rotate(step, &actor, now).await.map_err(not_done)?;
        rotated.records.iter().for_each(|record| this.events.publish(Event::Stored(record)));
        this.notifier.notify(rotated.revision);
        let in_effect = this.settled(rotated.revision).await;
        Ok::<_, Failure>((rotated, in_effect))
    });
    let done = work.await.unwrap_or_else(|ended| {
        tracing::error!(error = %ended, "a step of a rotation was cut off");
        Err(Failure::MadeOrNot)
    });
    let (Rotated { revision, records, done, left }, in_effect) = done?;
    let forgotten = records.iter().filter(|record| record.kind == EventKind::Forgotten).count();
    Ok(api::RotationResponse {
        revision: revision.0,
        in_effect,
        done,
        forgotten: forgotten as u64,
        left: Some(rows(left)),
        now_ms: now.as_millis(),
    })
}

fn id(text: &str) -> Result<PepperId, Status> {
    text.parse().map_err(|error| invalid("id", error))
}

fn rows(left: PepperUsage) -> api::PepperRows {
    let PepperUsage { bindings, bans, observed, archived } = left;
    api::PepperRows { bindings, bans, observed, archived }
}

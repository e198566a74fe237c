//! When a replica ran, and when none did.

use super::{
    rows::{step, time},
    session::Session,
};
use crate::{
    domain::{
        Timestamp,
        running::{Pause, Tick},
    },
    store::{
        StoreError,
        columns::{self, Columns},
    },
};

/// The row is locked, so that two replicas cannot both end one pause.
pub(super) async fn tick(session: &mut Session, now: Timestamp) -> Result<Vec<Pause>, StoreError> {
    let new = step!("INSERT INTO running (ran_at) VALUES ($1) ON CONFLICT DO NOTHING", time(now));
    let answers = session.begin(vec![new, step!("SELECT ran_at FROM running FOR UPDATE")]).await?;
    let last = answers.get(1).and_then(|rows| rows.first()).map(|row| row.moment(0, "running.ran_at")).transpose()?;
    let Tick { ran_at, pause, forget_after } = Tick::new(last.unwrap_or(now), now);
    let mut steps = vec![step!("UPDATE running SET ran_at = $1", time(ran_at))];
    if let Some(after) = forget_after {
        steps.push(step!("DELETE FROM pauses WHERE ended_at > $1", time(after)));
    }
    if let Some(pause) = pause {
        let sql =
            "INSERT INTO pauses VALUES ($1, $2) ON CONFLICT (ended_at) DO UPDATE SET lasted_ms = excluded.lasted_ms";
        steps.push(step!(sql, time(pause.ended_at), pause.lasted_millis()));
    }
    steps.push(step!("SELECT ended_at, lasted_ms FROM pauses"));
    let rows = session.send(steps).await?.pop().unwrap_or_default();
    rows.iter().map(columns::pause).collect()
}

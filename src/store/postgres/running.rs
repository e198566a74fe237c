//! When a replica ran, and when none did.

use super::{
    rows::{step, time},
    session::Session,
};
use crate::{
    domain::{
        Timestamp,
        running::{Pause, Replica, Tick},
    },
    store::{
        StoreError,
        columns::{self, Columns},
    },
};

/// The row is locked, so that two replicas cannot both end one pause.
pub(super) async fn tick(session: &mut Session, now: Timestamp) -> Result<Vec<Pause>, StoreError> {
    const PAUSES: &str = "SELECT ended_at, lasted_ms FROM pauses";
    let new = step!("INSERT INTO running (ran_at) VALUES ($1) ON CONFLICT DO NOTHING", time(now));
    let answers = session.begin(vec![new, step!("SELECT ran_at FROM running FOR UPDATE"), step!(PAUSES)]).await?;
    let rows = |place: usize| answers.get(place).map(Vec::as_slice).unwrap_or_default();
    let last = rows(1).first().map(|row| row.moment(0, "running.ran_at")).transpose()?;
    let pauses: Vec<_> = rows(2).iter().map(columns::pause).collect::<Result<_, _>>()?;
    let Tick { ran_at, pause, forget_after } = Tick::new(last.unwrap_or(now), now, &pauses);
    let mut steps = vec![step!("UPDATE running SET ran_at = $1", time(ran_at))];
    if let Some(after) = forget_after {
        steps.push(step!("DELETE FROM pauses WHERE ended_at > $1", time(after)));
    }
    if let Some(pause) = pause {
        let sql =
            "INSERT INTO pauses VALUES ($1, $2) ON CONFLICT (ended_at) DO UPDATE SET lasted_ms = excluded.lasted_ms";
        steps.push(step!(sql, time(pause.ended_at), pause.lasted_millis()));
    }
    steps.push(step!(PAUSES));
    let rows = session.send(steps).await?.pop().unwrap_or_default();
    rows.iter().map(columns::pause).collect()
}

pub(super) async fn uses_written(session: &mut Session, name: &str, until: Timestamp) -> Result<(), StoreError> {
    let sql = "INSERT INTO replicas VALUES ($1, $2, $2)
        ON CONFLICT (name) DO UPDATE SET uses_written_at = excluded.uses_written_at, seen_at = excluded.seen_at";
    session.rows(step!(sql, name.to_owned(), time(until))).await.map(drop)
}

/// A replica that polls has a session that was active in the last seconds, under its name, also if it cannot write. The
/// sessions of a host that crashed stay for hours, but are idle. The state of a session of another role is hidden unless
/// this one may see it (`pg_read_all_stats`); it counts as active. A session of the last seconds does not count: a start that
/// fails, and `sentinel migrate`, decide nothing. A replica that has no row has never written one, and
/// nobody else knows since when it decides. A clock that was set back takes the times with it.
pub(super) async fn replicas(
    session: &mut Session,
    name: &str,
    now: Timestamp,
    forget_before: Timestamp,
) -> Result<Vec<Replica>, StoreError> {
    let seen = "INSERT INTO replicas (name, uses_written_at, seen_at)
        SELECT name, 'epoch'::timestamptz, $1::timestamptz
        FROM (SELECT substring(application_name FROM ' kis-([0-9a-f]{16})$') AS name,
                min(coalesce(backend_start, '-infinity')) < clock_timestamp() - interval '10 seconds' AS is_old
            FROM pg_stat_activity
            WHERE datname = current_database() AND application_name ~ ' kis-[0-9a-f]{16}$'
                AND coalesce(state_change, clock_timestamp()) > clock_timestamp() - interval '1 minute'
            GROUP BY 1) AS active
        WHERE name <> $2 AND is_old OR name IN (SELECT name FROM replicas)
        ORDER BY name
        ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at,
            uses_written_at = least(replicas.uses_written_at, excluded.seen_at)";
    let steps = vec![
        step!(seen, time(now), name.to_owned()),
        step!("DELETE FROM replicas WHERE seen_at < $1", time(forget_before)),
        step!("SELECT name, uses_written_at, seen_at FROM replicas"),
    ];
    let rows = session.begin(steps).await?.pop().unwrap_or_default();
    rows.iter().map(columns::replica).collect()
}

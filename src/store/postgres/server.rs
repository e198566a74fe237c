//! Which server the connections lead to.
//!
//! A pool keeps a connection for as long as it works, and one to yesterday's primary works: it answers, and knows nothing
//! of what is banned since. So each new connection is asked where it leads; when it is another place than before, no older
//! one is used again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use deadpool_postgres::{ClientWrapper, Hook, HookError, Metrics};
use tokio_postgres::{Error, Row};
use tracing::warn;

/// What the connections of a store have in common.
#[derive(Debug, Default)]
pub(super) struct Server(Mutex<Option<Known>>);

/// Where the latest connection leads to.
#[derive(Debug)]
struct Known {
    place: Place,
    /// A connection that was made before may lead elsewhere.
    since: Instant,
}

/// A cluster, its timeline, which every promotion begins anew, and a database of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    system: i64,
    timeline: i32,
    database: u32,
}

/// A standby has no timeline before it is promoted.
const PLACE: &str = "
    SELECT (SELECT system_identifier FROM pg_control_system()),
        CASE WHEN pg_is_in_recovery() THEN 0
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END,
        (SELECT oid FROM pg_database WHERE datname = current_database())";

const FORMER: &str = "the server is of an older timeline, as a former primary is; if it is the restored store, restart";

impl Place {
    fn is_standby(&self) -> bool {
        self.timeline == 0
    }

    /// Whether this is what `later` was promoted from, or a relative of it.
    fn was_before(&self, later: &Self) -> bool {
        (self.system, self.database) == (later.system, later.database) && self.timeline < later.timeline
    }
}

impl Server {
    /// Asks each new connection.
    pub(super) fn on_connect(self: &Arc<Self>) -> Hook {
        let this = Arc::clone(self);
        Hook::async_fn(move |client: &mut ClientWrapper, _| {
            let this = Arc::clone(&this);
            Box::pin(async move {
                let found = client.query_typed_one(PLACE, &[]).await.and_then(|row| read(&row));
                this.meet(found.map_err(HookError::Backend)?)
            })
        })
    }

    /// Lets no connection be used again that was made before the latest place was known, nor one that is older than this:
    /// who never makes a new one would not hear of another server.
    pub(super) fn on_reuse(self: &Arc<Self>, oldest: Duration) -> Hook {
        let this = Arc::clone(self);
        Hook::sync_fn(move |_, metrics: &Metrics| match &*this.known() {
            _ if metrics.age() > oldest => Err(HookError::message("it is to be asked again where it leads")),
            Some(known) if metrics.created < known.since => Err(HookError::message("it leads to another server")),
            _ => Ok(()),
        })
    }

    /// The first place may be a standby: what becomes of a start on it is for the start to say. A primary that takes no
    /// writes for a while is none; it answers for known keys.
    fn meet(&self, place: Place) -> Result<(), HookError> {
        let before = {
            let mut known = self.known();
            let before = known.as_ref().map(|known| known.place);
            match before {
                Some(before) if before == place => return Ok(()),
                Some(_) if place.is_standby() => return Err(HookError::message("the server is a standby")),
                Some(before) if place.was_before(&before) => return Err(HookError::message(FORMER)),
                _ => {}
            }
            // Now, which is after this very connection was made: if both servers answer for a while, it is the next
            // that tells.
            *known = Some(Known { place, since: Instant::now() });
            before
        };
        if before.is_some() {
            warn!("store.url leads to another server than before; all connections to it are made anew");
        }
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(row: &Row) -> Result<Place, Error> {
    Ok(Place { system: row.try_get(0)?, timeline: row.try_get(1)?, database: row.try_get(2)? })
}

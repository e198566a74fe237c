//! Which server the connections lead to.
//!
//! A pool keeps a connection for as long as it works, and one to yesterday's primary works: it answers, and knows nothing
//! of what is banned since. So each new connection is asked where it leads; when it is another place than before, all
//! older ones are closed as they come back.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
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

/// A standby does not know its timeline before it is promoted.
const PLACE: &str = "
    SELECT (SELECT system_identifier FROM pg_control_system()),
        CASE WHEN pg_is_in_recovery() THEN 0
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END,
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        pg_is_in_recovery()";

impl Server {
    /// Asks each new connection.
    pub(super) fn on_connect(self: &Arc<Self>) -> Hook {
        let this = Arc::clone(self);
        Hook::async_fn(move |client: &mut ClientWrapper, _| {
            let this = Arc::clone(&this);
            Box::pin(async move {
                let found = client.query_typed_one(PLACE, &[]).await.and_then(|row| read(&row));
                let (place, standby) = found.map_err(HookError::Backend)?;
                this.meet(place, standby)
            })
        })
    }

    /// Lets no connection be used again that was made before the latest place was known.
    pub(super) fn on_reuse(self: &Arc<Self>) -> Hook {
        let this = Arc::clone(self);
        Hook::sync_fn(move |_, metrics: &Metrics| match &*this.known() {
            Some(known) if metrics.created < known.since => Err(HookError::message("it leads to another server")),
            _ => Ok(()),
        })
    }

    /// The first place may be a standby: what becomes of a start on it is for the start to say. A primary that takes no
    /// writes for a while is none; it answers for known keys.
    fn meet(&self, place: Place, standby: bool) -> Result<(), HookError> {
        let mut known = self.known();
        match &*known {
            Some(_) if standby => return Err(HookError::message("the server is a standby")),
            Some(known) if known.place == place => return Ok(()),
            Some(_) => warn!("store.url leads to another server than before; all connections to it are made anew"),
            None => {}
        }
        // Now, which is after this very connection was made: if both servers answer for a while, it is the next that tells.
        *known = Some(Known { place, since: Instant::now() });
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(row: &Row) -> Result<(Place, bool), Error> {
    Ok((Place { system: row.try_get(0)?, timeline: row.try_get(1)?, database: row.try_get(2)? }, row.try_get(3)?))
}

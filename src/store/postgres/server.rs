//! Detects which server the connections lead to.
//!
//! A pool keeps a connection for as long as it works. A connection to a former primary still works, but that server
//! misses later changes, such as bans. So the identity of the server is read on each new connection; if it differs from
//! the last one, no older connection is used again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use deadpool_postgres::{ClientWrapper, Hook, HookError, Metrics};
use tokio_postgres::{Error, Row};
use tracing::warn;

/// The server of all connections of a store.
#[derive(Debug, Default)]
pub(super) struct Server(Mutex<Option<Known>>);

/// The server of the latest connection.
#[derive(Debug)]
struct Known {
    identity: Identity,
    /// Older connections may lead to another server.
    since: Instant,
}

/// A cluster, its timeline, which changes with every promotion, and a database in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    system: i64,
    timeline: i32,
    database: u32,
}

/// A standby has no timeline of its own before it is promoted.
const IDENTITY: &str = "
    SELECT (SELECT system_identifier FROM pg_control_system()),
        CASE WHEN pg_is_in_recovery() THEN 0
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END,
        (SELECT oid FROM pg_database WHERE datname = current_database())";

const OLDER_TIMELINE: &str =
    "the server is on an older timeline, as a former primary is; if it is a restored store, restart Sentinel";

impl Identity {
    fn is_standby(&self) -> bool {
        self.timeline == 0
    }

    /// Whether this is the server that `later` was promoted from, or an ancestor of it.
    fn precedes(&self, later: &Self) -> bool {
        (self.system, self.database) == (later.system, later.database) && self.timeline < later.timeline
    }
}

impl Server {
    /// A hook that checks each new connection.
    pub(super) fn on_connect(self: &Arc<Self>) -> Hook {
        let this = Arc::clone(self);
        Hook::async_fn(move |client: &mut ClientWrapper, _| {
            let this = Arc::clone(&this);
            Box::pin(async move {
                let found = client.query_typed_one(IDENTITY, &[]).await.and_then(|row| read(&row));
                this.accept(found.map_err(HookError::Backend)?)
            })
        })
    }

    /// A hook that rejects a connection that was made before the server changed, or is older than `oldest`: a process
    /// that never makes a new connection would not notice another server.
    pub(super) fn on_reuse(self: &Arc<Self>, oldest: Duration) -> Hook {
        let this = Arc::clone(self);
        Hook::sync_fn(move |_, metrics: &Metrics| match &*this.known() {
            _ if metrics.age() > oldest => Err(HookError::message("the connection reached its maximum age")),
            Some(known) if metrics.created < known.since => {
                Err(HookError::message("the connection leads to another server"))
            }
            _ => Ok(()),
        })
    }

    /// The first server may be a standby: the start rejects it with its own error. A primary that is temporarily
    /// read-only is not a standby; it can still serve known keys.
    fn accept(&self, identity: Identity) -> Result<(), HookError> {
        let before = {
            let mut known = self.known();
            let before = known.as_ref().map(|known| known.identity);
            match before {
                Some(before) if before == identity => return Ok(()),
                Some(_) if identity.is_standby() => return Err(HookError::message("the server is a standby")),
                Some(before) if identity.precedes(&before) => return Err(HookError::message(OLDER_TIMELINE)),
                _ => {}
            }
            // Now, which is after this connection was made: if both servers answer for a while, the next connection
            // decides.
            *known = Some(Known { identity, since: Instant::now() });
            before
        };
        if before.is_some() {
            warn!("store.url leads to another server than before; all connections are replaced");
        }
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(row: &Row) -> Result<Identity, Error> {
    Ok(Identity { system: row.try_get(0)?, timeline: row.try_get(1)?, database: row.try_get(2)? })
}

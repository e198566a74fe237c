//! Brings the database up to date and checks that it is this process's to use.

use std::sync::atomic::Ordering;

use deadpool_postgres::{Object, PoolError};
use refinery::error::Kind;
use tokio_postgres::{Client, error::SqlState};

use super::{
    keys::Lock,
    partitions, pepper,
    rows::step,
    session::{PATIENCE, Session, in_time, message, unavailable},
    store::PostgresStore,
};
use crate::{
    domain::Peppers,
    store::{PepperFault, StoreError, rules::rotation},
};

mod steps {
    refinery::embed_migrations!("src/store/migrations/postgres");
}

/// The oldest server that has all that is asked of it.
const OLDEST: i32 = 130_000;

/// Why a database cannot be used. Waiting does not help, except for [`StoreError::Unavailable`].
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A newer version of Sentinel made it.
    #[error("{place} has schema version {found}, but this sentinel knows versions up to {known}: use a newer sentinel")]
    Schema {
        /// The database.
        place: String,
        /// Its schema version.
        found: i64,
        /// The newest schema version that this binary knows.
        known: i64,
    },
    /// The schema could not be brought up to date.
    #[error("{place}: {detail}")]
    Migration {
        /// The database.
        place: String,
        /// What PostgreSQL or the migration said.
        detail: String,
    },
    /// Nothing can be written there.
    #[error("{place} is read-only ({why}): it must be the primary")]
    ReadOnly {
        /// The database.
        place: String,
        /// Why.
        why: &'static str,
    },
    /// Too old.
    #[error("{place} is PostgreSQL {version}; 13 is the oldest that will do")]
    Version {
        /// The database.
        place: String,
        /// The server's.
        version: String,
    },
    /// It cannot hold all that is written.
    #[error(
        "{place} has the encoding {encoding}: it must be UTF8 (CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0)"
    )]
    Encoding {
        /// The database.
        place: String,
        /// Its encoding.
        encoding: String,
    },
    /// It does not let us in.
    #[error("{place}: {detail}")]
    Denied {
        /// The database.
        place: String,
        /// What it said.
        detail: String,
    },
    /// The peppers that are listed are not the store's.
    #[error(transparent)]
    Pepper(#[from] PepperFault),
    /// It does not answer, or what it holds cannot be read.
    #[error("{place}: {source}")]
    Store {
        /// The database.
        place: String,
        /// Why.
        source: StoreError,
    },
}

impl OpenError {
    /// Whether it may work later.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Store { source: StoreError::Unavailable(_), .. })
    }
}

impl PostgresStore {
    /// Brings the schema up to date and checks the peppers; until it has been done, every operation is
    /// [`StoreError::Unavailable`]. A new database is written with the first of `peppers`; of any other, they must
    /// include the active one, and all that keys are still under. Replicas that start together take their turns.
    pub async fn prepare(&self, peppers: &Peppers) -> Result<(), OpenError> {
        let lost = |source: StoreError| OpenError::Store { place: self.place.clone(), source };
        let connection = self.lanes.changes.connection().await.ok_or_else(|| lost(unavailable("no answer in time")))?;
        let client = connection.map_err(|error| self.denied_or_lost(error))?;
        in_time(PATIENCE, self.check_server(&client)).await.map_err(lost)??;
        migrate(client).await.map_err(|fault| fault.at(self.place.clone()))?;
        // The poll's, which holds it from now on: a server that has none for it is not there yet.
        drop(Session::take(&self.lanes.polls).await.map_err(lost)?);
        let mut session = Session::take(&self.lanes.changes).await.map_err(lost)?;
        record(&mut session, peppers).await.map_err(lost)?;
        let (active, check_value) = pepper::recorded(&mut session).await.map_err(lost)?;
        let known = pepper::peppers(&mut session).await.map_err(lost)?;
        rotation::may_start(&active, &check_value, &known, peppers)?;
        partitions::make(&mut session).await.map_err(lost)?;
        self.prepared.store(true, Ordering::Release);
        Ok(())
    }
}

impl PostgresStore {
    fn denied_or_lost(&self, error: PoolError) -> OpenError {
        let place = self.place.clone();
        match &error {
            // Invalid authorization, no such database, a certificate that does not hold: the answer of a server that is
            // there.
            PoolError::Backend(cause) if is_denial(cause) => OpenError::Denied { place, detail: message(cause) },
            _ => OpenError::Store { place, source: error.into() },
        }
    }

    async fn check_server(&self, client: &Client) -> Result<(), OpenError> {
        let sql = "SELECT current_setting('server_version_num')::int, current_setting('server_version'),
            pg_is_in_recovery(), current_setting('transaction_read_only')::bool, current_setting('server_encoding')";
        let lost = |error: tokio_postgres::Error| OpenError::Store { place: self.place.clone(), source: error.into() };
        let row = client.query_one(sql, &[]).await.map_err(lost)?;
        let [number, version, standby, read_only, encoding] = [0, 1, 2, 3, 4];
        let read_only_because = |why| OpenError::ReadOnly { place: self.place.clone(), why };
        if row.try_get::<_, i32>(number).map_err(lost)? < OLDEST {
            let version = row.try_get(version).map_err(lost)?;
            return Err(OpenError::Version { place: self.place.clone(), version });
        }
        if row.try_get(standby).map_err(lost)? {
            return Err(read_only_because("a standby"));
        }
        if row.try_get(read_only).map_err(lost)? {
            return Err(read_only_because("default_transaction_read_only is on"));
        }
        let encoding: String = row.try_get(encoding).map_err(lost)?;
        if encoding != "UTF8" {
            return Err(OpenError::Encoding { place: self.place.clone(), encoding });
        }
        Ok(())
    }
}

fn is_denial(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(code) => code.code().starts_with("28") || *code == SqlState::INVALID_CATALOG_NAME,
        None => message(error).contains("invalid peer certificate"),
    }
}

enum Fault {
    Failed(refinery::Error),
    Lost(tokio_postgres::Error),
}

impl Fault {
    fn at(self, place: String) -> OpenError {
        match self {
            Self::Lost(error) => OpenError::Store { place, source: error.into() },
            Self::Failed(error) => match error.kind() {
                // Applied there, unknown here.
                Kind::MissingVersion(newer) => {
                    let known =
                        steps::migrations::runner().get_migrations().iter().map(refinery::Migration::version).max();
                    OpenError::Schema { place, found: newer.version().into(), known: known.unwrap_or_default().into() }
                }
                // The library wraps the driver's error, which knows whether the server is merely gone.
                Kind::Connection(step, source) => match source.downcast_ref::<tokio_postgres::Error>() {
                    Some(error) if error.as_db_error().is_none() => {
                        OpenError::Store { place, source: StoreError::Unavailable(message(error)) }
                    }
                    Some(error) => OpenError::Migration { place, detail: format!("{step}: {}", message(error)) },
                    None => OpenError::Migration { place, detail: error.to_string() },
                },
                _ => OpenError::Migration { place, detail: error.to_string() },
            },
        }
    }
}

/// One process at a time: the library takes no lock of its own. The lock is the session's, for the migrations are
/// several transactions, and the session ends here.
async fn migrate(client: Object) -> Result<(), Fault> {
    let mut client = Object::take(client);
    client.batch_execute("SET statement_timeout = 0; SET lock_timeout = 0").await.map_err(Fault::Lost)?;
    let (ours, migration) = Lock::Migration.numbers();
    client.execute("SELECT pg_advisory_lock($1, $2)", &[&ours, &migration]).await.map_err(Fault::Lost)?;
    let runner = steps::migrations::runner();
    runner.run_async(&mut *client).await.map_err(Fault::Failed)?;
    Ok(())
}

/// Only into a database without keys: those of another pepper would be orphaned, and free for anyone to claim.
async fn record(session: &mut Session, peppers: &Peppers) -> Result<(), StoreError> {
    let Some(first) = peppers.iter().next() else { return Ok(()) };
    // Whoever waits for the lock is waited for by everyone who writes, on all replicas.
    if session.row(step!("SELECT FROM peppers LIMIT 1")).await?.is_some() {
        return Ok(());
    }
    let insert = step!(
        "INSERT INTO peppers (id, check_value, active) SELECT $1, $2, true
         WHERE NOT EXISTS (SELECT 1 FROM peppers) AND NOT EXISTS (SELECT 1 FROM known_keys)",
        first.id().to_string(),
        first.check_value().to_vec()
    );
    // Two first starts with two peppers: the second finds the first's.
    session.begin(vec![Lock::Writers.take()]).await?;
    session.commit(vec![insert]).await.map(drop)
}

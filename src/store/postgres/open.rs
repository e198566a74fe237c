//! Migrates the database and checks that this process may use it.

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
    store::{KnownPepper, PepperMismatch, PepperRow, StoreError, rules::rotation},
};

mod steps {
    refinery::embed_migrations!("src/store/migrations/postgres");
}

/// The minimum version of the server.
const MIN_VERSION: i32 = 130_000;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The listed peppers do not match the store.
    #[error(transparent)]
    Pepper(#[from] PepperMismatch),
    /// The database, and what is wrong with it.
    #[error("{0}: {1}")]
    Database(String, Unusable),
}

/// What is wrong with a database. Waiting does not help, except for [`StoreError::Unavailable`].
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// A newer version of Sentinel created it.
    #[error(
        "has schema version {found}, but this version of Sentinel supports versions up to {known}; use a newer version of Sentinel"
    )]
    Schema {
        /// Its schema version.
        found: i64,
        /// The newest schema version that this binary knows.
        known: i64,
    },
    /// The schema could not be migrated, with the error of PostgreSQL or of the migration.
    #[error("{0}")]
    Migration(String),
    /// No store was ever started in it, and none must be created.
    #[error("has no store of Sentinel")]
    Empty,
    /// It is read-only, and why.
    #[error("is read-only ({0}); the primary is required")]
    ReadOnly(&'static str),
    /// The server is too old.
    #[error("is PostgreSQL {0}; PostgreSQL 13 or newer is required")]
    Version(String),
    /// Its encoding does not support all Unicode text.
    #[error("has the encoding {0}; UTF8 is required (CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0)")]
    Encoding(String),
    /// It rejects the login, with its error.
    #[error("{0}")]
    Denied(String),
    /// It does not answer, or its content cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OpenError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Database(_, Unusable::Store(StoreError::Unavailable(_))))
    }
}

/// What happens to a database in which no store was ever started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WhenEmpty {
    Create,
    Refuse,
}

impl PostgresStore {
    /// Brings the schema up to date and checks the peppers; before it has succeeded, every operation is
    /// [`StoreError::Unavailable`]. The first of `peppers` becomes the active one of a new database; for any other,
    /// `peppers` must include the active one and all that keys are under. Replicas that start together run it one after
    /// the other.
    pub async fn prepare(&self, peppers: &Peppers) -> Result<(), OpenError> {
        self.prepare_as(peppers, WhenEmpty::Create).await
    }

    /// Like [`Self::prepare`], but creates nothing: [`Unusable::Empty`] if no store was ever started in the database.
    pub async fn prepare_existing(&self, peppers: &Peppers) -> Result<(), OpenError> {
        self.prepare_as(peppers, WhenEmpty::Refuse).await
    }

    async fn prepare_as(&self, peppers: &Peppers, when_empty: WhenEmpty) -> Result<(), OpenError> {
        let at = |fault| OpenError::Database(self.database.clone(), fault);
        let (mut session, active, known) = self.bring_up(peppers, when_empty).await.map_err(at)?;
        rotation::may_start(&active, &known, peppers)?;
        partitions::make(&mut session).await.map_err(|lost| at(lost.into()))?;
        self.prepared.store(true, Ordering::Release);
        Ok(())
    }

    /// Returns a session, the active pepper, and all known peppers.
    async fn bring_up(
        &self,
        peppers: &Peppers,
        when_empty: WhenEmpty,
    ) -> Result<(Session, KnownPepper, Vec<PepperRow>), Unusable> {
        let client = self.lanes.changes.connection().await.ok_or_else(|| unavailable("no answer in time"))??;
        in_time(PATIENCE, check_server(&client)).await??;
        migrate(client, when_empty).await?;
        // Opens the connection of the poll now, which keeps it: a server without a free connection for it is not
        // usable.
        drop(Session::take(&self.lanes.polls).await?);
        let mut session = Session::take(&self.lanes.changes).await?;
        record(&mut session, peppers).await?;
        let active = pepper::recorded(&mut session).await?;
        let known = pepper::peppers(&mut session).await?;
        Ok((session, active, known))
    }
}

async fn check_server(client: &Client) -> Result<(), Unusable> {
    let sql = "SELECT current_setting('server_version_num')::int, current_setting('server_version'),
        pg_is_in_recovery(), current_setting('transaction_read_only')::bool, current_setting('server_encoding')";
    let row = client.query_one(sql, &[]).await?;
    let [number, version, standby, read_only, encoding] = [0, 1, 2, 3, 4];
    if row.try_get::<_, i32>(number)? < MIN_VERSION {
        return Err(Unusable::Version(row.try_get(version)?));
    }
    if row.try_get(standby)? {
        return Err(Unusable::ReadOnly("a standby"));
    }
    if row.try_get(read_only)? {
        return Err(Unusable::ReadOnly("default_transaction_read_only is on"));
    }
    match row.try_get(encoding)? {
        "UTF8" => Ok(()),
        other => Err(Unusable::Encoding(other.to_owned())),
    }
}

impl From<PoolError> for Unusable {
    fn from(error: PoolError) -> Self {
        match &error {
            // A server that rejects the login, has no such database, or has an invalid certificate did answer.
            PoolError::Backend(cause) if is_denial(cause) => Self::Denied(message(cause)),
            _ => Self::Store(error.into()),
        }
    }
}

fn is_denial(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(code) => code.code().starts_with("28") || *code == SqlState::INVALID_CATALOG_NAME,
        None => message(error).contains("invalid peer certificate"),
    }
}

impl From<tokio_postgres::Error> for Unusable {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<refinery::Error> for Unusable {
    fn from(error: refinery::Error) -> Self {
        match error.kind() {
            // The database has a migration that this version does not know.
            Kind::MissingVersion(newer) => {
                let known = steps::migrations::runner().get_migrations().iter().map(refinery::Migration::version).max();
                Self::Schema { found: newer.version().into(), known: known.unwrap_or_default().into() }
            }
            // refinery wraps the error of the driver, which distinguishes a lost connection from an error of the server.
            Kind::Connection(step, source) => match source.downcast_ref::<tokio_postgres::Error>() {
                Some(error) if error.as_db_error().is_none() => StoreError::Unavailable(message(error)).into(),
                Some(error) => Self::Migration(format!("{step}: {}", message(error))),
                None => Self::Migration(error.to_string()),
            },
            _ => Self::Migration(error.to_string()),
        }
    }
}

/// Runs in one process at a time; refinery itself takes no lock. It is a session lock, because the migrations are
/// several transactions, and is released with the session.
async fn migrate(client: Object, when_empty: WhenEmpty) -> Result<(), Unusable> {
    let mut client = Object::take(client);
    client.batch_execute("SET statement_timeout = 0; SET lock_timeout = 0").await?;
    let (ours, migration) = Lock::Migration.numbers();
    client.execute("SELECT pg_advisory_lock($1, $2)", &[&ours, &migration]).await?;
    if when_empty == WhenEmpty::Refuse && !has_store(&client).await? {
        return Err(Unusable::Empty);
    }
    steps::migrations::runner().run_async(&mut *client).await?;
    Ok(())
}

/// Whether a store was ever started in the database. Every key refers to a pepper, so no pepper means no key.
async fn has_store(client: &Client) -> Result<bool, Unusable> {
    if !client.query_one("SELECT to_regclass('peppers') IS NOT NULL", &[]).await?.try_get::<_, bool>(0)? {
        return Ok(false);
    }
    Ok(client.query_one("SELECT EXISTS (SELECT FROM peppers)", &[]).await?.try_get(0)?)
}

/// Records the first pepper, only in a database without keys: keys under another pepper would be orphaned, and any
/// network could claim them.
async fn record(session: &mut Session, peppers: &Peppers) -> Result<(), StoreError> {
    let Some(first) = peppers.iter().next() else { return Ok(()) };
    // Checked before the lock is taken, because all writers of all replicas would queue behind this process.
    if session.row(step!("SELECT FROM peppers LIMIT 1")).await?.is_some() {
        return Ok(());
    }
    let insert = step!(
        "INSERT INTO peppers (id, check_value, active) SELECT $1, $2, true
         WHERE NOT EXISTS (SELECT 1 FROM peppers) AND NOT EXISTS (SELECT 1 FROM known_keys)",
        first.id().to_string(),
        first.check_value().to_vec()
    );
    // Of two concurrent first starts with different peppers, the second finds the pepper of the first.
    session.begin(vec![Lock::Writers.take()]).await?;
    session.commit(vec![insert]).await.map(drop)
}

//! Opens the store of `store.url`. SQLite is opened before the server starts; PostgreSQL may be unavailable at the
//! start, and is retried.

use std::sync::Arc;

use tracing::{info, warn};

use super::shutdown::Fatal;
use crate::{
    app::pepper,
    config::{Config, Store as Choice},
    domain::Peppers,
    net::backoff::Backoff,
    store::{
        Store,
        postgres::{OpenError, Options, PostgresStore},
        sqlite::Database,
    },
};

/// An open store.
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    pub(super) peppers: Peppers,
    /// Its URL without secrets.
    pub(super) store_url: String,
    /// Its background task, whose end ends the process.
    pub(super) background: Background,
}

/// The background task of a store.
pub(super) enum Background {
    /// Waits for the end of a SQLite thread, which only a restart repairs.
    Sqlite(futures_util::future::BoxFuture<'static, &'static str>),
    /// Connects to a server and prepares its schema.
    Postgres(Arc<PostgresStore>, Peppers),
}

pub(super) fn open(config: &Config) -> Result<Opened, Fatal> {
    match &config.store {
        Choice::Sqlite(path) => {
            let database = Database::open(path)?;
            let recorded = database.recorded_pepper()?.map(|recorded| recorded.id);
            let peppers = pepper::resolve(config.peppers.clone(), recorded, &config.data_dir)?;
            let store = database.start(&peppers)?;
            let background = Background::Sqlite(Box::pin(store.closed()));
            let store_url = format!("sqlite:{}", path.display());
            Ok(Opened { store: Arc::new(store), peppers, store_url, background })
        }
        Choice::Postgres(options) => {
            let peppers = pepper::resolve(config.peppers.clone(), None, &config.data_dir)?;
            let store = Arc::new(postgres(config, options)?);
            let background = Background::Postgres(Arc::clone(&store), peppers.clone());
            Ok(Opened { store, peppers, store_url: format!("postgres://{options}"), background })
        }
    }
}

/// A store that is not connected yet.
pub(super) fn postgres(config: &Config, options: &Options) -> Result<PostgresStore, String> {
    let options = options.clone().with_patience(config.settings.check_deadline);
    PostgresStore::new(&options).map_err(|fault| format!("store.url: {fault}"))
}

/// Brings the schema up to date. Returns the URL of the store without secrets.
pub(super) async fn migrate(config: &Config) -> Result<String, Fatal> {
    let Opened { store_url, background, .. } = open(config)?;
    if let Background::Postgres(store, peppers) = background {
        store.prepare(&peppers).await.map_err(by_setting)?;
    }
    Ok(store_url)
}

impl Background {
    /// Calls `prepared` once the store can be used. Returns an error that only an operator can fix.
    pub(super) async fn run(self, prepared: impl FnOnce() + Send) -> Fatal {
        match self {
            Self::Sqlite(closed) => {
                prepared();
                format!("the store's thread {} ended unexpectedly", closed.await).into()
            }
            Self::Postgres(store, peppers) => match prepare(&store, &peppers).await {
                Ok(()) => {
                    prepared();
                    std::future::pending().await
                }
                Err(fault) => by_setting(fault),
            },
        }
    }
}

/// Names the setting to fix.
fn by_setting(fault: OpenError) -> Fatal {
    match fault {
        OpenError::Pepper(_) => format!("pepper.secrets: {fault}").into(),
        _ => format!("store.url: {fault}").into(),
    }
}

async fn prepare(store: &PostgresStore, peppers: &Peppers) -> Result<(), OpenError> {
    let (mut backoff, mut warned) = (Backoff::default(), false);
    loop {
        match store.prepare(peppers).await {
            Ok(()) => {
                if warned {
                    info!("connected to the store");
                }
                return Ok(());
            }
            Err(cause) if cause.is_transient() => {
                if !std::mem::replace(&mut warned, true) {
                    warn!(%cause, "store.url: cannot connect to the store yet; until it answers, store.failsafe decides");
                }
                backoff.pause().await;
            }
            Err(fault) => return Err(fault),
        }
    }
}

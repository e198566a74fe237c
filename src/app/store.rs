//! `store.url` → a store. SQLite is opened before anything is served; PostgreSQL may be away, and is tried until it is
//! there.

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

/// A store, and what comes with it.
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    pub(super) peppers: Peppers,
    /// What an operator calls it; without a password.
    pub(super) place: String,
    /// Runs beside the requests; its end is the end of the process.
    pub(super) keep: Keep,
}

/// What a store needs beside the requests.
pub(super) enum Keep {
    /// The end of a thread of SQLite's is a fault that only a restart repairs.
    Sqlite(futures_util::future::BoxFuture<'static, &'static str>),
    /// A server that has yet to be reached.
    Postgres(Arc<PostgresStore>, Peppers),
}

pub(super) fn open(config: &Config) -> Result<Opened, Fatal> {
    match &config.store {
        Choice::Sqlite(path) => {
            let database = Database::open(path)?;
            let recorded = database.recorded_pepper()?.map(|recorded| recorded.id);
            let peppers = pepper::resolve(config.peppers.clone(), recorded, &config.data_dir)?;
            let store = database.start(&peppers)?;
            let keep = Keep::Sqlite(Box::pin(store.closed()));
            Ok(Opened { store: Arc::new(store), peppers, place: format!("sqlite:{}", path.display()), keep })
        }
        Choice::Postgres(options) => {
            let peppers = pepper::resolve(config.peppers.clone(), None, &config.data_dir)?;
            let store = Arc::new(postgres(config, options)?);
            let keep = Keep::Postgres(Arc::clone(&store), peppers.clone());
            Ok(Opened { store, peppers, place: format!("postgres://{options}"), keep })
        }
    }
}

/// A store that is not connected to anything yet.
pub(super) fn postgres(config: &Config, options: &Options) -> Result<PostgresStore, String> {
    let options = options.clone().with_patience(config.settings.check_deadline);
    PostgresStore::new(&options).map_err(|fault| format!("store.url: {fault}"))
}

/// Brings the schema up to date, once; answers where it is.
pub(super) async fn migrate(config: &Config) -> Result<String, Fatal> {
    let Opened { place, keep, .. } = open(config)?;
    if let Keep::Postgres(store, peppers) = keep {
        store.prepare(&peppers).await.map_err(refusal)?;
    }
    Ok(place)
}

impl Keep {
    /// Ends with what only an operator can mend.
    pub(super) async fn run(self, prepared: impl FnOnce() + Send) -> Fatal {
        match self {
            Self::Sqlite(closed) => {
                prepared();
                format!("the store's thread {} ended", closed.await).into()
            }
            Self::Postgres(store, peppers) => match prepare(&store, &peppers).await {
                Ok(()) => {
                    prepared();
                    std::future::pending().await
                }
                Err(fault) => refusal(fault),
            },
        }
    }
}

/// Names the setting to mend.
fn refusal(fault: OpenError) -> Fatal {
    match fault {
        OpenError::Pepper(_) => format!("pepper.secrets: {fault}").into(),
        _ => format!("store.url: {fault}").into(),
    }
}

async fn prepare(store: &PostgresStore, peppers: &Peppers) -> Result<(), OpenError> {
    let (mut backoff, mut told) = (Backoff::default(), false);
    loop {
        match store.prepare(peppers).await {
            Ok(()) => {
                if told {
                    info!("the store is there");
                }
                return Ok(());
            }
            Err(cause) if cause.may_pass() => {
                if !std::mem::replace(&mut told, true) {
                    warn!(%cause, "store.url: the store is not there yet; nothing is decided until it is");
                }
                backoff.pause().await;
            }
            Err(fault) => return Err(fault),
        }
    }
}

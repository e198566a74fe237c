//! Opens the store of `store.url`. SQLite is opened before the server starts; PostgreSQL may be unavailable at the
//! start, and is retried.

use std::{path::Path, sync::Arc};

use tracing::{info, warn};

use super::shutdown::Fatal;
use crate::{
    app::pepper,
    config::{Config, Store as Choice},
    domain::Peppers,
    net::backoff::Backoff,
    store::{
        PEPPER_SOURCES, Store,
        postgres::{OpenError, Options, PostgresStore, Unusable},
        sqlite::{self, Database, Inspection},
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

/// `create` allows a new store in any case: an operator asked for it.
pub(super) fn open(config: &Config, create: bool) -> Result<Opened, Fatal> {
    match &config.store {
        Choice::Sqlite(path) => {
            let database = match evidence(config).filter(|_| !create) {
                None => Database::open(path).map_err(file_fault)?,
                Some(evidence) => Database::open_existing(path).map_err(|fault| lost(fault, &evidence))?,
            };
            let recorded = database.recorded_pepper().map_err(file_fault)?.map(|recorded| recorded.id);
            let resolved = pepper::resolve(config.peppers.clone(), recorded, &config.data_dir)?;
            let store = database.start(&resolved.peppers).map_err(file_fault)?;
            resolved.keep()?;
            let background = Background::Sqlite(Box::pin(store.closed()));
            let store_url = format!("sqlite:{}", path.display());
            Ok(Opened { store: Arc::new(store), peppers: resolved.peppers, store_url, background })
        }
        Choice::Postgres(options) => {
            let peppers = pepper::resolve(config.peppers.clone(), None, &config.data_dir)?.peppers;
            let store = Arc::new(postgres(config, options)?);
            let background = Background::Postgres(Arc::clone(&store), peppers.clone());
            Ok(Opened { store, peppers, store_url: format!("postgres://{options}"), background })
        }
    }
}

/// What shows that the store existed before. With evidence, a missing or empty store is a lost one: in an empty store no
/// key has an owner, so that the next network that uses a key would own it.
fn evidence(config: &Config) -> Option<String> {
    let generated = pepper::file(&config.data_dir);
    match config.peppers {
        Some(_) => Some(CONFIGURED.to_owned()),
        None if generated.exists() => Some(format!("the pepper {} exists", generated.display())),
        None => None,
    }
}

const CONFIGURED: &str = "a pepper is configured";

/// The faults that [`open`] would find in the store and its peppers. Changes nothing, and does not connect to a server.
/// Beside the server that the configuration is for, `is_served`, its database is in use.
pub(super) fn check(config: &Config, is_served: bool) -> Vec<String> {
    let faults = match &config.store {
        Choice::Sqlite(path) => [check_sqlite(config, path, is_served).err(), None],
        Choice::Postgres(options) => {
            let peppers = pepper::find(config.peppers.clone(), None, &config.data_dir);
            [peppers.err().map(Fatal::from), postgres(config, options).err().map(Fatal::from)]
        }
    };
    faults.into_iter().flatten().map(|fault| fault.to_string()).collect()
}

fn check_sqlite(config: &Config, path: &Path, is_served: bool) -> Result<(), Fatal> {
    let find = |recorded| pepper::find(config.peppers.clone(), recorded, &config.data_dir);
    Database::check_path(path).map_err(file_fault)?;
    if !is_served {
        sqlite::check_unowned(path).map_err(file_fault)?;
    }
    let store = match (Inspection::open(path), evidence(config)) {
        (Ok(store), _) => store,
        (Err(fault), None) if fault.is_new_store() => return Ok(find(None).map(drop)?),
        (Err(fault), Some(evidence)) => return Err(lost(fault, &evidence)),
        (Err(fault), None) => return Err(file_fault(fault)),
    };
    let recorded = store.recorded_pepper().map_err(file_fault)?;
    match find(Some(recorded.id))? {
        Some(found) => store.may_start(&found.peppers).map_err(file_fault),
        None => Ok(()),
    }
}

/// The fault of a store that is lost, as far as the file system shows it.
pub(super) fn missing(config: &Config) -> Result<(), String> {
    match (&config.store, evidence(config)) {
        (Choice::Sqlite(path), Some(evidence)) => {
            Database::check_exists(path).map_err(|fault| lost(fault, &evidence).to_string())
        }
        _ => Ok(()),
    }
}

/// Adds the fix to the fault of a store that is lost.
fn lost(fault: sqlite::OpenError, evidence: &str) -> Fatal {
    match fault.is_new_store() {
        true => {
            format!("store.url: {fault}, but {evidence}; {NO_OWNERS}. Mount the volume or restore the backup; {INIT}")
                .into()
        }
        false => file_fault(fault),
    }
}

const NO_OWNERS: &str = "keys that had an owner would have none";
const INIT: &str =
    "only for a new store, run `sentinel migrate --init` with this configuration, as the user of the server";

/// Names the setting to fix.
fn file_fault(fault: sqlite::OpenError) -> Fatal {
    match fault {
        sqlite::OpenError::Pepper(_) => format!("{PEPPER_SOURCES}: {fault}").into(),
        _ => format!("store.url: {fault}").into(),
    }
}

/// A store that is not connected yet.
pub(super) fn postgres(config: &Config, options: &Options) -> Result<PostgresStore, String> {
    let options = options.clone().with_patience(config.settings.check_deadline);
    PostgresStore::new(&options).map_err(|fault| format!("store.url: {fault}"))
}

/// Brings the schema up to date; with `init`, creates the store if it is missing or empty. Returns its URL without secrets.
pub(super) async fn migrate(config: &Config, init: bool) -> Result<String, Fatal> {
    let Opened { store_url, background, .. } = open(config, init)?;
    if let Background::Postgres(store, peppers) = background {
        let prepared = match init {
            true => store.prepare(&peppers).await,
            false => store.prepare_existing(&peppers).await,
        };
        prepared.map_err(by_setting)?;
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
        OpenError::Pepper(_) => format!("{PEPPER_SOURCES}: {fault}").into(),
        OpenError::Database(_, Unusable::Empty) => {
            let fix = format!("{NO_OWNERS}. Check the name of the database, or restore the backup; {INIT}");
            format!("store.url: {fault}, but {CONFIGURED}; {fix}").into()
        }
        _ => format!("store.url: {fault}").into(),
    }
}

async fn prepare(store: &PostgresStore, peppers: &Peppers) -> Result<(), OpenError> {
    let (mut backoff, mut warned) = (Backoff::default(), false);
    loop {
        match store.prepare_existing(peppers).await {
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

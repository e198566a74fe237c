//! Where the store of a test lives: in a file, or with `SENTINEL_TEST_STORE=postgres` in a database of its own on the
//! server that all tests of a binary share. What a test asks of it beside the server is SQL that both understand.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread::{JoinHandle, sleep},
    time::{Duration, Instant},
};

use key_ip_sentinel::{
    domain::Peppers,
    store::{
        Changes, Revision, Store, StoreError,
        postgres::{OpenError, Options, PostgresStore},
        sqlite,
    },
};
use rusqlite::{Connection, OpenFlags, types::ValueRef};
use tokio::sync::oneshot;
use tokio_postgres::error::SqlState;

use super::{PATIENCE, eventually, postgres::Postgres};

/// Which store tests run on that do not care: SQLite, or `postgres`.
const STORE: &str = "SENTINEL_TEST_STORE";

pub(crate) fn on_postgres() -> bool {
    std::env::var_os(STORE).is_some_and(|store| store == "postgres")
}

#[derive(Clone, Debug)]
pub(crate) enum Database {
    Sqlite(PathBuf),
    /// Its URL.
    Postgres(String),
}

impl Database {
    /// An empty one; `file` is where SQLite has it.
    pub(crate) async fn new(file: PathBuf) -> Self {
        match on_postgres() {
            true => Self::Postgres(Postgres::shared().await.database().await),
            false => Self::Sqlite(file),
        }
    }

    /// As `store.url` names it.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(file) => format!("sqlite:{}", file.display()),
            Self::Postgres(url) => url.clone(),
        }
    }

    /// As the server names it: without a password.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Sqlite(_) => self.url(),
            Self::Postgres(url) => format!("postgres://{}", Options::parse(url, 1).unwrap()),
        }
    }

    /// The store of one process.
    pub(crate) async fn open(&self, peppers: &Peppers) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(file) => Arc::new(open_sqlite(file).start(peppers).unwrap()),
            Self::Postgres(url) => {
                // A busy machine takes longer than a decision's second.
                let options = Options::parse(url, 8).unwrap().with_patience(PATIENCE);
                Arc::new(open_postgres(&options, peppers).await)
            }
        }
    }

    /// What a statement returns, as text and NULL as nothing.
    pub(crate) async fn query(&self, sql: &str) -> Vec<Vec<String>> {
        match self {
            Self::Sqlite(file) => rows(&connect(file), sql),
            Self::Postgres(url) => Postgres::shared().await.query(url, sql).await,
        }
    }

    /// The one number that a statement returns.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.query(sql).await[0][0].parse().unwrap()
    }

    /// A moment in SQL: milliseconds, which PostgreSQL has a type for.
    pub(crate) fn moment(&self, millis: &str) -> String {
        match self {
            Self::Sqlite(_) => format!("({millis})"),
            Self::Postgres(_) => format!("(timestamptz 'epoch' + ({millis}) * interval '1 ms')"),
        }
    }

    /// The store's clock in SQL.
    pub(crate) fn now(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "(unixepoch() * 1000)",
            Self::Postgres(_) => "clock_timestamp()",
        }
    }

    /// Bytes in SQL.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> String {
        let digits: String = hex::encode(bytes);
        match self {
            Self::Sqlite(_) => format!("x'{digits}'"),
            Self::Postgres(_) => format!("'\\x{digits}'"),
        }
    }

    /// A time to add to a moment in SQL.
    pub(crate) fn span(&self, time: Duration) -> String {
        match self {
            Self::Sqlite(_) => time.as_millis().to_string(),
            Self::Postgres(_) => format!("interval '{} ms'", time.as_millis()),
        }
    }

    /// Keeps every writer out until the guard goes; readers read. A writer that waits gives up in its time.
    pub(crate) async fn lock(&self) -> Lock {
        match self {
            Self::Sqlite(file) => {
                let connection = connect(file);
                connection.busy_timeout(PATIENCE).unwrap();
                connection.execute_batch("BEGIN IMMEDIATE").unwrap();
                Lock::Sqlite(connection)
            }
            Self::Postgres(url) => Lock::Postgres(Stranger::new(Postgres::shared().await, url.clone()).await),
        }
    }
}

/// SQLite's file, once nobody owns it: a child that another test is just forking holds our lock until it is a program of
/// its own.
pub(crate) fn open_sqlite(file: &Path) -> sqlite::Database {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match sqlite::Database::open(file) {
            Err(sqlite::OpenError::File { fault: sqlite::Unusable::Owned(_), .. }) if Instant::now() < deadline => {
                sleep(Duration::from_millis(5))
            }
            opened => return opened.unwrap(),
        }
    }
}

/// A server's database, brought up to date; tried again where a busy machine is too slow for it.
pub(crate) async fn open_postgres(options: &Options, peppers: &Peppers) -> PostgresStore {
    let store = PostgresStore::new(options).unwrap();
    let is_known = |prepared: &Result<_, OpenError>| !prepared.as_ref().is_err_and(OpenError::is_transient);
    let prepared = eventually("the store is prepared", async || Some(store.prepare(peppers).await).filter(is_known));
    prepared.await.unwrap();
    store
}

/// What has changed since; asked again of a server that a busy machine keeps from answering a poll within its second.
pub(crate) async fn heard(store: &dyn Store, applied: Revision) -> Changes {
    eventually("a poll is answered", async || match store.changes_after(applied).await {
        Err(StoreError::Unavailable(_)) => None,
        changes => Some(changes.unwrap()),
    })
    .await
}

/// What keeps writers out.
pub(crate) enum Lock {
    Sqlite(Connection),
    Postgres(Stranger),
}

/// A session on a thread of its own, so that it comes to its end while the test's own thread is blocked.
pub(crate) struct Stranger {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Stranger {
    async fn new(server: &'static Postgres, url: String) -> Self {
        let ((locked, is_locked), (end, at_the_end)) = (oneshot::channel(), oneshot::channel());
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(keep_out(server, url, locked, at_the_end));
        });
        is_locked.await.unwrap();
        Self { end: Some(end), thread: Some(thread) }
    }
}

async fn keep_out(server: &Postgres, url: String, locked: oneshot::Sender<()>, end: oneshot::Receiver<()>) {
    let client = server.connect(&url).await;
    // Without waiting for the second with the first in hand, which whoever has the second may be waiting for.
    let lock = "BEGIN; LOCK TABLE audit, bans, bindings, candidates IN EXCLUSIVE MODE NOWAIT";
    eventually("nobody writes", async || match client.batch_execute(lock).await {
        Ok(()) => Some(()),
        Err(error) => {
            assert_eq!(error.code(), Some(&SqlState::LOCK_NOT_AVAILABLE), "{error:?}");
            client.batch_execute("ROLLBACK").await.unwrap();
            None
        }
    })
    .await;
    locked.send(()).unwrap();
    let _ = end.await;
    client.batch_execute("ROLLBACK").await.unwrap();
}

impl Drop for Stranger {
    fn drop(&mut self) {
        drop(self.end.take());
        // Its fault is in the output; a panic here would end all tests of the binary.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn connect(file: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(file, flags).unwrap()
}

fn rows(connection: &Connection, sql: &str) -> Vec<Vec<String>> {
    let mut statement = connection.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let cells = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| (0..cells).map(|cell| row.get_ref(cell).map(text)).collect();
    let rows = statement.query_map([], row).unwrap();
    rows.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
        ValueRef::Blob(_) => panic!("no text"),
    }
}

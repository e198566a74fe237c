//! A connection for one operation.
//!
//! Statements of one transaction are pipelined wherever none needs the answer of another: a first use costs two round
//! trips. A connection returns to its pool only after its operation has ended; a connection whose caller left is
//! closed, because its state is not known.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use deadpool_postgres::{ClientWrapper, HookError, Object, Pool, PoolError};
use futures_util::future::join_all;
use tokio::time::timeout;
use tokio_postgres::{Row, error::SqlState, types::ToSql};

use super::rows::{Step, step};
use crate::store::{ChangeError, StoreError, WriteObstacle, error::not_written};

/// The connections of one kind of operation.
#[derive(Debug)]
pub(super) struct Lane {
    pool: Pool,
    /// The statement timeout of the server.
    patience: Duration,
}

impl Lane {
    /// Creates a lane over a pool whose server cancels a statement after `patience`.
    pub(super) fn new(pool: Pool, patience: Duration) -> Self {
        Self { pool, patience }
    }

    /// Returns a connection, or `None` if no connection became free or could be made in time.
    pub(super) async fn connection(&self) -> Option<Result<Object, PoolError>> {
        timeout(self.patience.max(PATIENCE), self.pool.get()).await.ok()
    }
}

/// A borrowed connection.
pub(super) struct Session {
    /// `None` only during the drop.
    client: Option<Object>,
    /// How long to wait for an answer: longer than the statement timeout, because a hung server does not enforce its
    /// own timeout.
    patience: Duration,
    clean: bool,
    in_transaction: bool,
    writes: Writes,
    /// Whether the last failure, if there was one, has certainly written nothing.
    certain: bool,
    /// What the server said keeps it from writing.
    obstacle: Option<WriteObstacle>,
}

/// How an operation writes, and so when it may have written although it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writes {
    /// Not at all.
    Nothing,
    /// In a transaction: by its commit alone.
    InTransaction,
    /// Perhaps by single statements.
    Anywhere,
}

/// How long to wait for a new connection: a hung server accepts it and does not answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// [`join_all`] polls up to this many futures in order, which is the order in which they send; for more it guarantees
/// no order, and the COMMIT could be sent before the last of them.
const BATCH: usize = 30;

impl Session {
    /// Takes a connection of `lane`, outside of a transaction.
    pub(super) async fn take(lane: &Lane) -> Result<Self, StoreError> {
        let client = lane.connection().await.ok_or_else(|| unavailable("no connection became free in time"))??;
        let (patience, writes) = (lane.patience + PATIENCE, Writes::Nothing);
        let client = Some(client);
        Ok(Self { client, patience, clean: true, in_transaction: false, writes, certain: true, obstacle: None })
    }

    /// As [`take`](Self::take), for an operation that writes.
    pub(super) async fn take_to_write(lane: &Lane, writes: Writes) -> Result<Self, StoreError> {
        let mut taken = Self::take(lane).await.map_err(|fault| not_written(fault, None))?;
        taken.writes = writes;
        Ok(taken)
    }

    fn client(&self) -> Result<&Object, StoreError> {
        self.client.as_ref().ok_or_else(|| unavailable("the connection is closed"))
    }

    /// Sends all `steps` before it waits for an answer. They are carried out in order; the first error is returned, and
    /// the server skips the rest of the transaction.
    pub(super) async fn send(&mut self, steps: Vec<Step>) -> Result<Vec<Vec<Row>>, StoreError> {
        self.exchange(false, steps, false).await
    }

    /// As [`send`](Self::send), but begins a transaction.
    pub(super) async fn begin(&mut self, steps: Vec<Step>) -> Result<Vec<Vec<Row>>, StoreError> {
        self.in_transaction = true;
        self.exchange(true, steps, false).await
    }

    /// As [`send`](Self::send), but commits the transaction.
    pub(super) async fn commit(&mut self, steps: Vec<Step>) -> Result<Vec<Vec<Row>>, StoreError> {
        let answers = self.exchange(false, steps, true).await?;
        self.in_transaction = false;
        Ok(answers)
    }

    /// Begins a read-only transaction whose statements see one snapshot: a key is read with several statements, and one
    /// that is re-keyed between them would appear empty.
    pub(super) async fn begin_snapshot(&mut self) -> Result<(), StoreError> {
        let step = step!("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY");
        self.begin(vec![step]).await.map(drop)
    }

    /// Sends batches of [`BATCH`] steps, each after the previous one was answered.
    async fn exchange(&mut self, begin: bool, steps: Vec<Step>, commit: bool) -> Result<Vec<Vec<Row>>, StoreError> {
        let (mut begin, mut answers, mut steps) = (begin, Vec::with_capacity(steps.len()), steps);
        while steps.len() > BATCH {
            let rest = steps.split_off(BATCH);
            answers.extend(self.exchange_batch(std::mem::take(&mut begin), steps, false).await?);
            steps = rest;
        }
        answers.extend(self.exchange_batch(begin, steps, commit).await?);
        Ok(answers)
    }

    async fn exchange_batch(
        &mut self,
        begin: bool,
        steps: Vec<Step>,
        commit: bool,
    ) -> Result<Vec<Vec<Row>>, StoreError> {
        self.sending(commit);
        let answers = in_time(self.patience, answered(self.client()?, begin, steps, commit)).await?;
        match answers {
            Err(Unanswered::Commit(error)) => {
                self.clean = leaves_a_connection(&error);
                Err(error.into())
            }
            Err(Unanswered::Statement(error)) => self.settle(Err(error)),
            Ok(answers) => self.settle(Ok(answers)),
        }
    }

    /// Until the answer arrives, the connection is in an unknown state, and perhaps the store too.
    fn sending(&mut self, commit: bool) {
        self.clean = false;
        self.certain = !commit && self.writes != Writes::Anywhere;
    }

    /// Records that the answer has arrived. An error is an answer too; only some errors make the connection unusable. A
    /// statement that ends in an error of the server has written nothing, and neither does the COMMIT after it.
    fn settle<T>(&mut self, answer: Result<T, tokio_postgres::Error>) -> Result<T, StoreError> {
        self.clean = answer.as_ref().err().is_none_or(leaves_a_connection);
        if let Some(answered) = answer.as_ref().err().and_then(tokio_postgres::Error::as_db_error) {
            (self.certain, self.obstacle) = (true, obstacle(answered.code()));
        }
        Ok(answer?)
    }

    /// Returns the rows of one statement.
    pub(super) async fn rows(&mut self, step: Step) -> Result<Vec<Row>, StoreError> {
        Ok(self.send(vec![step]).await?.pop().unwrap_or_default())
    }

    /// Returns the first row of one statement.
    pub(super) async fn row(&mut self, step: Step) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(step).await?.into_iter().next())
    }

    /// Returns the rows of a statement that is built at run time.
    pub(super) async fn query(&mut self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        self.sending(false);
        let rows = in_time(self.patience, self.client()?.query(sql, values)).await?;
        self.settle(rows)
    }

    /// Runs statements without values or rows.
    pub(super) async fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        self.sending(false);
        let done = in_time(self.patience, self.client()?.batch_execute(sql)).await?;
        self.settle(done)
    }

    /// Ends the transaction, if one is open: commits it if the result is `Ok`, else rolls it back.
    pub(super) async fn end<T, E>(mut self, result: Result<T, E>) -> Result<T, E>
    where
        E: From<StoreError> + Into<ChangeError> + Clone,
    {
        let result = match result {
            Ok(value) if self.in_transaction => self.commit(Vec::new()).await.map(|_| value).map_err(E::from),
            result => result,
        };
        let Err(error) = result else { return result };
        self.roll_back().await;
        let says_so = self.writes != Writes::Nothing && self.certain;
        Err(if says_so { not_written(error, self.obstacle) } else { error })
    }

    /// Rolls back the transaction, if there is one, and returns whether the connection can be reused. An unusable
    /// connection stays unusable, and the server rolls back its transaction.
    pub(super) async fn roll_back(&mut self) -> bool {
        if !std::mem::take(&mut self.in_transaction) || !std::mem::take(&mut self.clean) {
            return self.clean;
        }
        if let Some(client) = &self.client {
            self.clean = matches!(in_time(self.patience, client.batch_execute("ROLLBACK")).await, Ok(Ok(())));
        }
        self.clean
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.clean || self.in_transaction {
            // Removed from the pool; the server rolls back what was not committed.
            self.client.take().map(Object::take);
        }
    }
}

async fn answered(
    client: &ClientWrapper,
    begin: bool,
    steps: Vec<Step>,
    commit: bool,
) -> Result<Vec<Vec<Row>>, Unanswered> {
    // All statements are prepared before the first is sent: preparing waits, and would break the order of sending.
    let mut prepared = Vec::with_capacity(steps.len());
    for step in &steps {
        prepared.push(client.prepare_cached(step.sql).await?);
    }
    let values: Vec<Vec<&(dyn ToSql + Sync)>> =
        steps.iter().map(|step| step.values.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect()).collect();
    let all_sent = AtomicBool::new(true);
    let begun = async { if begin { client.batch_execute("BEGIN").await } else { Ok(()) } };
    let asked = join_all(prepared.iter().zip(&values).map(async |(statement, values)| {
        let answer = client.query(statement, values).await;
        // If the type of a column was altered, the driver rejects the value before it sends the statement, and the
        // server sees no error.
        if answer.as_ref().is_err_and(|fault| fault.as_db_error().is_none()) {
            all_sent.store(false, Ordering::Relaxed);
        }
        answer
    }));
    let committed = async {
        if commit && all_sent.load(Ordering::Relaxed) { client.batch_execute("COMMIT").await } else { Ok(()) }
    };
    // Polled in this order; each sends when it is first polled.
    let (begun, answers, committed) = tokio::join!(biased; begun, asked, committed);
    begun?;
    let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    committed.map_err(Unanswered::Commit)?;
    Ok(answers)
}

/// What failed: a COMMIT may have been carried out nevertheless.
enum Unanswered {
    Statement(tokio_postgres::Error),
    Commit(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for Unanswered {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Statement(error)
    }
}

/// What keeps a server that answers so from writing.
fn obstacle(code: &SqlState) -> Option<WriteObstacle> {
    Some(match code.code() {
        "53100" => WriteObstacle::DiskFull,
        "53200" => WriteObstacle::OutOfMemory,
        "25006" => WriteObstacle::ReadOnly,
        "42501" => WriteObstacle::NotPermitted,
        "58030" => WriteObstacle::DiskFault,
        _ => return None,
    })
}

/// Limits the wait for a hung server.
pub(super) async fn in_time<T>(patience: Duration, answer: impl Future<Output = T>) -> Result<T, StoreError> {
    timeout(patience, answer).await.map_err(|_| unavailable("no answer in time"))
}

/// Whether a connection can be reused after this error. It cannot if every later statement would fail too: if the
/// connection is lost, if a table was altered after its statements were prepared, or if the server accepts no writes.
fn leaves_a_connection(error: &tokio_postgres::Error) -> bool {
    // SQLSTATE: feature not supported (the table of a prepared statement was altered), invalid transaction state
    // (read-only), object not in prerequisite state (recovery), shutdown, system error, internal error.
    const SPENT: [&str; 6] = ["0A", "25", "55000", "57P", "58", "XX"];
    error.code().is_some_and(|code| !SPENT.iter().any(|class| code.code().starts_with(class)))
}

pub(super) fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable(why.to_owned())
}

/// Callers need to know only whether a retry may succeed.
impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let text = message(&error);
        match error.code().map(SqlState::code) {
            Some("42501") => {
                Self::Corrupt(format!("{text}; GRANT the role of store.url all rights on Sentinel's tables"))
            }
            // Data exception, constraint violation, syntax error or missing object: the table was altered by hand.
            Some(code) if ["22", "23", "42"].contains(&&code[..2]) => Self::Corrupt(text),
            // The type of a column was altered, and the driver rejected the value before it sent the statement.
            None if error.to_string().starts_with("error serializing") => Self::Corrupt(text),
            _ => Self::Unavailable(text),
        }
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => Self::Unavailable(message(&error)),
            PoolError::PostCreateHook(HookError::Backend(error)) => error.into(),
            PoolError::PostCreateHook(HookError::Message(why)) => unavailable(&why),
            PoolError::Timeout(_) => unavailable("no connection became free in time"),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// Adds the cause, because the text of the driver is only the kind of the error.
pub(super) fn message(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(db), _) => format!("{} ({})", db.message(), db.code().code()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

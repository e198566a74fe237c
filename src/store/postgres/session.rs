//! A connection for one operation, and what becomes of it afterwards.
//!
//! Statements of one transaction go out together and are answered together wherever none needs the answer of another:
//! a first use costs two trips to the server. A connection goes back to its pool only after its operation came to an
//! end; one whose caller gave up is closed, because nobody knows what it is in the middle of.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use deadpool_postgres::{ClientWrapper, HookError, Object, Pool, PoolError};
use futures_util::future::join_all;
use tokio::time::timeout;
use tokio_postgres::{Row, error::SqlState, types::ToSql};

use super::rows::{Step, step};
use crate::store::StoreError;

/// The connections of one kind of operation.
#[derive(Debug)]
pub(super) struct Lane {
    pool: Pool,
    /// How long the server lets a statement run.
    patience: Duration,
}

impl Lane {
    /// Over a pool whose server gives up on a statement after `patience`.
    pub(super) fn new(pool: Pool, patience: Duration) -> Self {
        Self { pool, patience }
    }

    /// A connection. `None` if neither one came free nor a new one was made in time.
    pub(super) async fn connection(&self) -> Option<Result<Object, PoolError>> {
        timeout(self.patience.max(PATIENCE), self.pool.get()).await.ok()
    }
}

/// A borrowed connection.
pub(super) struct Session {
    /// `None` only while it is dropped.
    client: Option<Object>,
    /// How long an answer is waited for: longer than the server lets a statement run, for a server that hangs keeps to no
    /// limit of its own.
    patience: Duration,
    clean: bool,
    in_transaction: bool,
}

/// How long an operation waits for a connection that has to be made: a server that hangs accepts it and is silent.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// So many futures [`join_all`] polls in their order, which is the order in which they send; of more it promises none, and
/// the COMMIT might go out before the last of them.
const BATCH: usize = 30;

impl Session {
    /// A connection of `lane`, outside of a transaction.
    pub(super) async fn take(lane: &Lane) -> Result<Self, StoreError> {
        let client = lane.connection().await.ok_or_else(|| unavailable("no connection came free"))??;
        Ok(Self { client: Some(client), patience: lane.patience + PATIENCE, clean: true, in_transaction: false })
    }

    fn client(&self) -> Result<&Object, StoreError> {
        self.client.as_ref().ok_or_else(|| unavailable("its connection is closed"))
    }

    /// Sends all `steps` before it waits for an answer. They are carried out in their order; the first fault is the
    /// answer, and the server does nothing more in that transaction.
    pub(super) async fn send(&mut self, steps: Vec<Step>) -> Result<Vec<Vec<Row>>, StoreError> {
        self.exchange(false, steps, false).await
    }

    /// The same, as the beginning of a transaction.
    pub(super) async fn begin(&mut self, steps: Vec<Step>) -> Result<Vec<Vec<Row>>, StoreError> {
        self.in_transaction = true;
        self.exchange(true, steps, false).await
    }

    /// The same, as the end of it.
    pub(super) async fn commit(&mut self, steps: Vec<Step>) -> Result<Vec<Vec<Row>>, StoreError> {
        let answers = self.exchange(false, steps, true).await?;
        self.in_transaction = false;
        Ok(answers)
    }

    /// Begins a transaction that only reads, and whose statements all see the same: a key is a few of them, and one that
    /// is re-keyed between two would come out empty.
    pub(super) async fn begin_snapshot(&mut self) -> Result<(), StoreError> {
        let step = step!("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY");
        self.begin(vec![step]).await.map(drop)
    }

    /// In batches of [`BATCH`], each sent after the one before was answered.
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
        self.clean = false;
        let answers = in_time(self.patience, answered(self.client()?, begin, steps, commit)).await?;
        self.settle(answers)
    }

    /// A fault is an answer as well; only who did not wait for one leaves the connection in the middle of something.
    fn settle<T>(&mut self, answer: Result<T, tokio_postgres::Error>) -> Result<T, StoreError> {
        self.clean = answer.as_ref().err().is_none_or(leaves_a_connection);
        Ok(answer?)
    }

    /// The rows of one statement.
    pub(super) async fn rows(&mut self, step: Step) -> Result<Vec<Row>, StoreError> {
        Ok(self.send(vec![step]).await?.pop().unwrap_or_default())
    }

    /// The first row of one statement.
    pub(super) async fn row(&mut self, step: Step) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(step).await?.into_iter().next())
    }

    /// The rows of a statement that is made for once.
    pub(super) async fn query(&mut self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        self.clean = false;
        let rows = in_time(self.patience, self.client()?.query(sql, values)).await?;
        self.settle(rows)
    }

    /// Statements without values or answers.
    pub(super) async fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        self.clean = false;
        let done = in_time(self.patience, self.client()?.batch_execute(sql)).await?;
        self.settle(done)
    }

    /// Ends the transaction, if one is still open: kept if the result is good, else undone.
    pub(super) async fn end<T, E: From<StoreError>>(mut self, result: Result<T, E>) -> Result<T, E> {
        match &result {
            Ok(_) if self.in_transaction => drop(self.commit(Vec::new()).await?),
            Ok(_) => {}
            Err(_) => {
                self.roll_back().await;
            }
        }
        result
    }

    /// Undoes the transaction, if there is one; whether the connection is as good as before. One that is spent stays so,
    /// and the server undoes what it did.
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
            // Out of the pool; the server undoes what was not committed.
            self.client.take().map(Object::take);
        }
    }
}

async fn answered(
    client: &ClientWrapper,
    begin: bool,
    steps: Vec<Step>,
    commit: bool,
) -> Result<Vec<Vec<Row>>, tokio_postgres::Error> {
    // All of them before the first is sent: preparing waits, and what waits would come out of its order.
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
        // Values of another type than the column has by now are never sent, and the server knows of no fault.
        if answer.as_ref().is_err_and(|fault| fault.as_db_error().is_none()) {
            all_sent.store(false, Ordering::Relaxed);
        }
        answer
    }));
    let committed = async {
        if commit && all_sent.load(Ordering::Relaxed) { client.batch_execute("COMMIT").await } else { Ok(()) }
    };
    // Polled in this order, and each sends when it is first polled.
    let (begun, answers, committed) = tokio::join!(biased; begun, asked, committed);
    begun?;
    let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    committed?;
    Ok(answers)
}

/// Bounds what a server that hangs would not.
pub(super) async fn in_time<T>(patience: Duration, answer: impl Future<Output = T>) -> Result<T, StoreError> {
    timeout(patience, answer).await.map_err(|_| unavailable("no answer in time"))
}

/// Whether a connection is as good as before after this. One that is lost is not, nor is one whose prepared statements
/// are of a table that was altered since, nor one to a server that takes no writes: they fail for as long as they live.
fn leaves_a_connection(error: &tokio_postgres::Error) -> bool {
    // Not supported, transaction state (as read-only), prerequisite state (as recovery), shutdown, system and internal
    // errors.
    const SPENT: [&str; 6] = ["0A", "25", "55000", "57P", "58", "XX"];
    error.code().is_some_and(|code| !SPENT.iter().any(|class| code.code().starts_with(class)))
}

pub(super) fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable(why.to_owned())
}

/// Callers only need to know whether waiting may help.
impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let text = message(&error);
        match error.code().map(SqlState::code) {
            // Data exception, constraint violation, syntax error or missing object: a table that somebody altered.
            Some(code) if ["22", "23", "42"].contains(&&code[..2]) => Self::Corrupt(text),
            // A parameter whose column has another type by now never reached the server.
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
            PoolError::Timeout(_) => unavailable("no connection came free"),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// The driver's own text is only the kind of the error.
pub(super) fn message(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(db), _) => format!("{} ({})", db.message(), db.code().code()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

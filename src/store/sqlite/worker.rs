//! A thread that owns a connection and processes a queue, with many calls in one transaction.
//!
//! A commit costs a sync of the disk, regardless of its size. During a commit the next calls collect in the queue and
//! then share a transaction: many concurrent first uses wait for two syncs, not for one sync per key.

use std::{io, thread};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::rows::obstacle;
use crate::store::{ChangeError, StoreError, WriteObstacle, error::not_written};

/// The most queued calls; further callers wait for space. One second of work: a longer queue would only hold calls
/// whose deadline has passed.
const QUEUE: usize = 4096;

/// The configuration of a worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Role {
    /// The thread's name, also in errors.
    pub(super) name: &'static str,
    /// The statement that opens a transaction.
    pub(super) begin: &'static str,
    /// The most calls in one transaction.
    pub(super) batch: usize,
    /// Whether it writes, so that it matters to a caller whether a failed call has written.
    pub(super) writes: bool,
}

/// A running thread. Dropping it processes the queue and joins the thread.
#[derive(Debug)]
pub(super) struct Worker {
    name: &'static str,
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Worker {
    /// Starts the thread. `ended` receives its name when it ends, for any reason.
    pub(super) fn start(role: Role, conn: Connection, ended: watch::Sender<Option<&'static str>>) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let notice = EndNotice { name: role.name, ended };
        let thread = thread::Builder::new().name(role.name.to_owned()).spawn(move || {
            let _notice = notice;
            serve(role, &conn, jobs);
        })?;
        Ok(Self { name: role.name, queue: Some(queue), thread: Some(thread) })
    }

    /// Runs `work` in a transaction on the thread and returns after the commit. Work whose caller has left before its
    /// turn is skipped.
    pub(super) async fn call<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Into<ChangeError> + Clone + Send + 'static,
    {
        let gone = || E::from(StoreError::Unavailable(format!("the {} thread of the store has ended", self.name)));
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Call { work: Some(work), result: None, reply });
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        queue.send(job).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // The panic was logged, and `ended` was notified.
            let _ = thread.join();
        }
    }
}

struct EndNotice {
    name: &'static str,
    ended: watch::Sender<Option<&'static str>>,
}

impl Drop for EndNotice {
    fn drop(&mut self) {
        self.ended.send_replace(Some(self.name));
    }
}

/// A queued call.
trait Job: Send {
    /// Returns why it failed, if the store did. The failure has written nothing.
    fn run(&mut self, role: Role, conn: &Connection) -> Option<StoreError>;

    /// Answers the caller, once it is known whether the transaction was committed.
    fn answer(self: Box<Self>, committed: &Result<(), StoreError>);
}

struct Call<F, T, E> {
    work: Option<F>,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Job for Call<F, T, E>
where
    F: FnOnce(&Connection) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Into<ChangeError> + Clone + Send,
{
    fn run(&mut self, role: Role, conn: &Connection) -> Option<StoreError> {
        if self.reply.is_closed() {
            return None;
        }
        let done = in_savepoint(conn, self.work.take()?);
        let done = if role.writes { done.map_err(|fault| not_written(fault, None)) } else { done };
        let fault = done.as_ref().err().cloned().map(E::into);
        self.result = Some(done);
        match fault {
            Some(ChangeError::Store(fault)) => Some(fault),
            _ => None,
        }
    }

    fn answer(self: Box<Self>, committed: &Result<(), StoreError>) {
        let result = match committed {
            Ok(()) => self.result,
            Err(lost) => Some(Err(lost.clone().into())),
        };
        if let Some(result) = result {
            // A caller that has left sees the result with its next call.
            let _ = self.reply.send(result);
        }
    }
}

/// Runs `work` in a savepoint, so that a failure undoes its own work only, not that of the other calls in the batch.
fn in_savepoint<T, E: From<StoreError>>(
    conn: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    let step = |sql| -> Result<(), StoreError> {
        conn.prepare_cached(sql)?.execute([])?;
        Ok(())
    };
    step("SAVEPOINT call")?;
    let result = work(conn);
    if result.is_err() && conn.is_autocommit() {
        // SQLite rolled back the whole transaction, and the savepoint with it.
        return result;
    }
    if result.is_err() {
        step("ROLLBACK TO call")?;
    }
    step("RELEASE call")?;
    result
}

fn serve(role: Role, conn: &Connection, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
    let mut batch = Vec::with_capacity(role.batch);
    while jobs.blocking_recv_many(&mut batch, role.batch) > 0 {
        let committed = transact(role, conn, &mut batch);
        let usable = conn.is_autocommit() || conn.execute_batch("ROLLBACK").is_ok();
        for job in batch.drain(..) {
            job.answer(&committed);
        }
        if !usable {
            return;
        }
    }
}

fn transact(role: Role, conn: &Connection, batch: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    let lost = |error: rusqlite::Error| match obstacle(&error).filter(|_| role.writes) {
        Some(obstacle) => StoreError::NotWritten(obstacle, error.to_string()),
        None => StoreError::Unavailable(error.to_string()),
    };
    let begun = conn.execute_batch(role.begin).map_err(lost);
    begun.map_err(|fault| if role.writes { not_written(fault, None) } else { fault })?;
    for job in batch {
        let fault = job.run(role, conn);
        // A full disk and some other errors make SQLite roll back the whole transaction, not only the statement.
        if conn.is_autocommit() {
            let rolled_back = "SQLite rolled back the transaction".to_owned();
            return Err(fault.unwrap_or(StoreError::NotWritten(WriteObstacle::Passing, rolled_back)));
        }
    }
    conn.execute_batch("COMMIT").map_err(lost)
}

#[cfg(test)]
mod tests;

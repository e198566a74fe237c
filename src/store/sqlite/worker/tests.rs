//! Tests of what callers cannot control: which calls share a transaction, and the death of the thread.

use std::{pin::Pin, sync::mpsc as std_mpsc};

use futures_util::FutureExt;

use super::*;

const ROLE: Role = Role { name: "tested", begin: "BEGIN IMMEDIATE", batch: 8, writes: true };

type Pending<'a> = Pin<Box<dyn Future<Output = Result<i64, StoreError>> + 'a>>;

fn worker() -> (Worker, watch::Receiver<Option<&'static str>>) {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(
        "PRAGMA foreign_keys = ON; CREATE TABLE parent (id INTEGER PRIMARY KEY) STRICT;
         CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED) STRICT;",
    )
    .unwrap();
    let (notice, ended) = watch::channel(None);
    (Worker::start(ROLE, conn, notice).unwrap(), ended)
}

/// Queues a call now, not when it is first awaited.
fn queue<'a>(
    worker: &'a Worker,
    work: impl FnOnce(&Connection) -> Result<i64, StoreError> + Send + 'static,
) -> Pending<'a> {
    let mut call: Pending<'a> = Box::pin(worker.call(work));
    assert!((&mut call).now_or_never().is_none());
    call
}

/// Queues a call that keeps the thread busy until a message is sent or the sender is dropped, so that later calls share
/// the next transaction.
fn hold(worker: &Worker) -> (std_mpsc::Sender<()>, Pending<'_>) {
    let (release, released) = std_mpsc::channel::<()>();
    let (started, running) = std_mpsc::channel();
    let call = queue(worker, move |_| {
        let _ = started.send(());
        let _ = released.recv();
        Ok(0)
    });
    running.recv().unwrap();
    (release, call)
}

fn insert(table: &'static str, id: i64) -> impl FnOnce(&Connection) -> Result<i64, StoreError> + Send + 'static {
    move |conn| {
        conn.execute(&format!("INSERT INTO {table} (id) VALUES (?1)"), [id])?;
        Ok(id)
    }
}

async fn parents(worker: &Worker) -> i64 {
    worker
        .call(|conn| Ok::<_, StoreError>(conn.query_row("SELECT count(*) FROM parent", [], |row| row.get(0))?))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_failure_undoes_its_own_work_only() {
    let (worker, _) = worker();
    let (release, held) = hold(&worker);
    let first = queue(&worker, insert("parent", 1));
    let failing = queue(&worker, |conn| {
        insert("parent", 2)(conn)?;
        Err(StoreError::Corrupt("on purpose".into()))
    });
    let last = queue(&worker, insert("parent", 3));
    drop(release);
    held.await.unwrap();
    assert_eq!((first.await.unwrap(), last.await.unwrap()), (1, 3));
    assert!(matches!(failing.await, Err(StoreError::Corrupt(_))));
    assert_eq!(parents(&worker).await, 2);
}

#[tokio::test]
async fn a_failed_commit_fails_its_calls_and_no_later_call() {
    let (worker, _) = worker();
    let (release, held) = hold(&worker);
    // The foreign key violation is found only at the commit.
    let calls =
        [queue(&worker, insert("parent", 1)), queue(&worker, insert("child", 99)), queue(&worker, insert("parent", 2))];
    drop(release);
    held.await.unwrap();
    for call in calls {
        let answer = call.await;
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    assert_eq!(parents(&worker).await, 0);
    worker.call(insert("parent", 3)).await.unwrap();
    assert_eq!(parents(&worker).await, 1);
}

#[tokio::test]
async fn no_call_is_answered_before_the_commit() {
    let (worker, _) = worker();
    let (release_first, first_hold) = hold(&worker);
    let mut early = queue(&worker, insert("parent", 1));
    let (release, released) = std_mpsc::channel::<()>();
    let (started, running) = std_mpsc::channel();
    let late = queue(&worker, move |_| {
        let _ = started.send(());
        let _ = released.recv();
        Ok(0)
    });
    drop(release_first);
    first_hold.await.unwrap();
    running.recv().unwrap();
    assert!((&mut early).now_or_never().is_none(), "its work is done, but not committed");
    drop(release);
    assert_eq!(early.await.unwrap(), 1);
    late.await.unwrap();
}

#[tokio::test]
async fn work_of_a_caller_that_left_is_skipped() {
    let (worker, _) = worker();
    let (release, held) = hold(&worker);
    drop(queue(&worker, insert("parent", 1)));
    let kept = queue(&worker, insert("parent", 2));
    drop(release);
    held.await.unwrap();
    kept.await.unwrap();
    assert_eq!(parents(&worker).await, 1);
}

#[tokio::test]
async fn a_dead_thread_is_reported_and_makes_every_call_unavailable() {
    let (worker, mut ended) = worker();
    let (release, held) = hold(&worker);
    let with_it = queue(&worker, insert("parent", 1));
    let deadly = queue(&worker, |_| panic!("on purpose: the thread of this test dies"));
    let behind: Vec<_> = (2..20).map(|id| queue(&worker, insert("parent", id))).collect();
    drop(release);
    held.await.unwrap();
    for call in [with_it, deadly].into_iter().chain(behind) {
        assert!(
            matches!(call.await, Err(StoreError::Unavailable(text)) if text.contains("tested thread of the store has ended"))
        );
    }
    assert_eq!(*ended.wait_for(Option::is_some).await.unwrap(), Some("tested"));
    let later = worker.call(insert("parent", 100)).await;
    assert!(matches!(later, Err(StoreError::Unavailable(_))), "{later:?}");
}

#[tokio::test]
async fn a_full_queue_makes_callers_wait_and_loses_nothing() {
    let (worker, _) = worker();
    let (release, held) = hold(&worker);
    let calls: Vec<_> = (0..5000).map(|id| queue(&worker, insert("parent", id))).collect();
    drop(release);
    held.await.unwrap();
    for call in futures_util::future::join_all(calls).await {
        call.unwrap();
    }
    assert_eq!(parents(&worker).await, 5000);
}

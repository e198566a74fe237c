//! Writes the times of last use: collected by the cache, written in batches, never on the path of a request.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::oneshot,
    time::{Instant, MissedTickBehavior, interval},
};
use tracing::{info, warn};

use crate::{
    cache::TakenUses,
    domain::Timestamp,
    store::{ReplicaState, Revision, StoreError, Upkeep, Use},
};

/// How often times are written. A killed process loses those that are not written yet.
const BATCH_EVERY: Duration = Duration::from_secs(5);

/// Keys that are written each time. Where more are in use, each is written once a minute at most: to write those of a hundred
/// thousand keys every five seconds cost a seventh of the processor time of all checks, and first uses wait meanwhile.
const MOST: usize = 5_000;

/// How many times a round takes if it has more keys.
const TIMES: usize = 12;

/// Keys in one transaction. First uses wait for that transaction.
const BATCH: usize = 100;

/// The most uses that wait for a store that does not answer. Once some are dropped, this process never again says that all
/// its uses are written, so that nothing is archived until it is restarted.
const MAX_WAITING: usize = 1_000_000;

/// How often the store records that all times are written.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Writes what `take` returns until `stop` is sent or dropped, then writes the rest once.
pub async fn write(
    store: Arc<dyn Upkeep>,
    state: Arc<ReplicaState>,
    take: impl Fn(usize) -> TakenUses,
    mut stop: oneshot::Receiver<()>,
) {
    let mut tick = interval(BATCH_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut waiting, mut failing, mut dropped, mut said_at) = (Vec::new(), false, false, None::<Instant>);
    let mut rounds = Rounds { take, began: None, most: MOST };
    // At once after the first poll: to the other replicas, one that has written nothing may know of uses.
    let stopped = tokio::select! {
        _ = &mut stop => true,
        () = state.has_applied(Revision::default()) => false,
    };
    loop {
        let last = stopped
            || tokio::select! {
                _ = &mut stop => true,
                _ = tick.tick() => false,
            };
        // Before they are taken: a use that is marked meanwhile is written later.
        let (began, now) = (Instant::now(), state.time(Instant::now()));
        let (uses, until) = rounds.next(now, last);
        waiting.extend(uses);
        dropped |= drop_too_many(&mut waiting);
        let mut written;
        (waiting, written) = store_all(&*store, waiting).await;
        let is_due = said_at.is_none_or(|at| began.saturating_duration_since(at) >= LOG_EVERY);
        if let (Ok(()), Some(until)) = (&written, until.filter(|_| is_due && !dropped)) {
            written = store.uses_written(until).await;
            said_at = Some(began);
        }
        if written.is_err() {
            // Said again as soon as it is true again: nothing is archived meanwhile.
            said_at = None;
        }
        report(&written, &mut failing);
        state.writes().note_uses_unwritten(failing || dropped);
        if last {
            return;
        }
    }
}

/// Takes the times in rounds: each key once in a round, those that are used meanwhile in the next one.
struct Rounds<T> {
    take: T,
    /// When the round began; `None` if the time was not known.
    began: Option<Timestamp>,
    most: usize,
}

impl<T: Fn(usize) -> TakenUses> Rounds<T> {
    /// The next times, or with `all` all of them; and up to when all are taken, if a round ends with them.
    fn next(&mut self, now: Option<Timestamp>, all: bool) -> (Vec<Use>, Option<Timestamp>) {
        let mut taken = (self.take)(if all { usize::MAX } else { self.most });
        let mut uses = taken.uses;
        if all && !taken.is_first {
            taken = (self.take)(usize::MAX);
            uses.extend(taken.uses);
        }
        if taken.is_first {
            self.began = now;
            self.most = MOST.max(taken.left.div_ceil(TIMES));
        }
        (uses, self.began.filter(|_| taken.left == 0))
    }
}

/// Writes `uses`, and returns those that the store did not accept.
async fn store_all(store: &dyn Upkeep, mut uses: Vec<Use>) -> (Vec<Use>, Result<(), StoreError>) {
    while !uses.is_empty() {
        let batch = uses.split_off(uses.len().saturating_sub(BATCH));
        if let Err(cause) = store.note_uses(batch.clone()).await {
            uses.extend(batch);
            return (uses, Err(cause));
        }
    }
    (uses, Ok(()))
}

/// Whether there were more than may wait.
fn drop_too_many(waiting: &mut Vec<Use>) -> bool {
    let is_over = waiting.len() > MAX_WAITING;
    if is_over {
        warn!(
            uses = waiting.len(),
            "the store does not accept times of last use; they are dropped, and nothing is archived until this server is \
             restarted"
        );
        waiting.clear();
    }
    is_over
}

/// Logs once per outage, because a failed write is retried every few seconds. `failing` says whether the last one failed.
fn report(written: &Result<(), StoreError>, failing: &mut bool) {
    match written {
        Err(cause) if !std::mem::replace(failing, true) => {
            warn!(%cause, "cannot write times of last use; binding.archive_after archives nothing until they are written");
        }
        Ok(()) if std::mem::take(failing) => info!("times of last use are written again"),
        _ => {}
    }
}

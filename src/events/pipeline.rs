//! Flushes the denials that wait, in batches.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    audit_writer::{self, AuditWriter},
    run::PreviousRun,
    sink::Sinks,
    waiting::{Alike, Denials, Lost, Waiting},
};
use crate::{
    domain::{
        Timestamp,
        event::{EventKind, Record},
    },
    store::ReplicaState,
};

/// How often records are flushed. Denials with the same key, network and reason within this time are one record with an
/// exact count.
const FLUSH: Duration = Duration::from_secs(1);

/// How long a stopping process delivers what waits on the disk; the next start delivers the rest.
const LAST_FLUSH: Duration = Duration::from_secs(5);

pub(super) struct Pipeline {
    waiting: Arc<Waiting>,
    audit_writer: Arc<AuditWriter>,
    replica_state: Arc<ReplicaState>,
    lost: Lost,
    sinks: Sinks,
    /// The running flush, and how many denials it holds.
    flush: Option<(JoinHandle<bool>, u64)>,
    /// How the previous run ended, until the audit has a record of it.
    previous: PreviousRun,
}

impl Pipeline {
    pub(super) fn new(
        waiting: Arc<Waiting>,
        audit_writer: AuditWriter,
        previous: PreviousRun,
        replica_state: Arc<ReplicaState>,
        lost: Lost,
        sinks: Sinks,
    ) -> Self {
        Self { waiting, audit_writer: Arc::new(audit_writer), replica_state, lost, sinks, flush: None, previous }
    }

    pub(super) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut tick = interval(FLUSH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_due = false;
        loop {
            tokio::select! {
                _ = &mut stop => break,
                () = self.finish_flush(), if self.flush.is_some() => {}
                _ = tick.tick() => {
                    is_due = true;
                    self.lost.log();
                }
            }
            // One flush at a time, in a task; denials coalesce meanwhile.
            if is_due && self.flush.is_none() {
                is_due = false;
                self.start_flush(Duration::ZERO);
            }
        }
        self.finish_flush().await;
        self.start_flush(LAST_FLUSH);
        self.finish_flush().await;
        self.lost.add(self.waiting.take().iter().map(|(_, denials)| denials.count).sum());
        // A gap that is not stored yet is left to the next start.
        if self.previous == PreviousRun::Clean {
            self.audit_writer.stop(self.replica_state.time(Instant::now())).await;
        }
        self.lost.log();
    }

    /// Flushes everything that was published until now, unless the store clock is not known yet.
    fn start_flush(&mut self, patience: Duration) {
        let Some(at) = self.replica_state.time(Instant::now()) else { return };
        let gap = gap(self.previous, at);
        let has_gap = gap.is_some();
        let waiting = self.waiting.take().into_iter();
        let waiting = waiting.filter_map(|(alike, denials)| record(&self.replica_state, alike, &denials));
        let records: Vec<Record> = gap.into_iter().chain(waiting).collect();
        records.iter().for_each(|record| self.sinks.receive(record));
        let (held, audit_writer) = (audit_writer::denials(&records), Arc::clone(&self.audit_writer));
        self.flush =
            Some((tokio::spawn(async move { audit_writer.flush(records, at, has_gap, patience).await }), held));
    }

    /// Waits for the running flush.
    async fn finish_flush(&mut self) {
        // Cleared only when the flush has ended: this future may be dropped while it waits.
        let Some((flush, held)) = &mut self.flush else { return };
        match flush.await {
            Ok(true) => self.previous = PreviousRun::Clean,
            // The next flush repeats a gap that was lost.
            Ok(false) => {}
            // The task panicked; how many of its records were stored is not known.
            Err(_) => self.lost.add(*held),
        }
        self.flush = None;
    }
}

/// The audit record of a previous run that was interrupted.
fn gap(previous: PreviousRun, now: Timestamp) -> Option<Record> {
    let PreviousRun::Interrupted(flushed) = previous else { return None };
    let since = flushed.map_or("it started".to_owned(), |at| at.to_string());
    Some(Record {
        first_at: flushed.unwrap_or(now).min(now),
        detail: Some(format!("the previous run did not stop cleanly; its denials since {since} may be missing")),
        ..Record::new(EventKind::Gap, now)
    })
}

fn record(replica_state: &ReplicaState, (kind, reason, key_id, network): Alike, denials: &Denials) -> Option<Record> {
    Some(Record {
        reason: Some(reason),
        key_id,
        network,
        count: denials.count,
        first_at: replica_state.time(denials.first)?,
        decision_id: Some(denials.decision_id.to_string()),
        ..Record::new(kind, replica_state.time(denials.last)?)
    })
}

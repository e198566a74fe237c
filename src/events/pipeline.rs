//! Coalesces denials and flushes them in batches.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    Denial,
    audit_writer::{self, AuditWriter},
    queue::{Lost, QUEUE, Queued},
    run::PreviousRun,
    sink::Sinks,
};
use crate::{
    domain::{
        KeyId, Network, Reason, Timestamp,
        event::{DecisionId, EventKind, Record},
    },
    store::ReplicaState,
};

/// How often records are flushed. Denials with the same key, network and reason within this time are one record with an
/// exact count.
const FLUSH: Duration = Duration::from_secs(1);

/// The most records between two flushes; further denials are lost.
const MAX_PENDING: usize = 100_000;

/// How long a stopping process delivers what waits on the disk; the next start delivers the rest.
const LAST_FLUSH: Duration = Duration::from_secs(5);

type DenialKey = (EventKind, Reason, Option<KeyId>, Option<Network>);

struct Denials {
    count: u64,
    first: Instant,
    last: Instant,
    decision_id: DecisionId,
}

pub(super) struct Pipeline {
    audit_writer: Arc<AuditWriter>,
    replica_state: Arc<ReplicaState>,
    lost: Lost,
    sinks: Sinks,
    mask: bool,
    waiting: HashMap<DenialKey, Denials>,
    /// The running flush, and how many denials it holds.
    flush: Option<(JoinHandle<bool>, u64)>,
    /// How the previous run ended, until the audit has a record of it.
    previous: PreviousRun,
}

impl Pipeline {
    pub(super) fn new(
        audit_writer: AuditWriter,
        previous: PreviousRun,
        replica_state: Arc<ReplicaState>,
        lost: Lost,
        sinks: Sinks,
        mask: bool,
    ) -> Self {
        let (audit_writer, waiting) = (Arc::new(audit_writer), HashMap::new());
        Self { audit_writer, replica_state, lost, sinks, mask, waiting, flush: None, previous }
    }

    pub(super) async fn run(mut self, mut denials: mpsc::Receiver<Queued>, mut stop: oneshot::Receiver<()>) {
        let mut tick = interval(FLUSH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_due = false;
        loop {
            tokio::select! {
                _ = &mut stop => break,
                Some(denial) = denials.recv() => self.coalesce(denial),
                () = self.finish_flush(), if self.flush.is_some() => {}
                _ = tick.tick() => {
                    is_due = true;
                    self.lost.log();
                }
            }
            // One flush at a time, in a task; denials coalesce here meanwhile.
            if is_due && self.flush.is_none() {
                is_due = false;
                self.start_flush(&mut denials, Duration::ZERO);
            }
        }
        self.finish_flush().await;
        self.start_flush(&mut denials, LAST_FLUSH);
        self.finish_flush().await;
        self.lost.add(self.waiting.values().map(|denials| denials.count).sum());
        // A gap that is not stored yet is left to the next start.
        if self.previous == PreviousRun::Clean {
            self.audit_writer.stop(self.replica_state.time(Instant::now())).await;
        }
        self.lost.log();
    }

    fn coalesce(&mut self, queued: Queued) {
        let Queued { kind, denial: Denial { reason, key_id, ip, decision_id }, at } = queued;
        let network = ip.map(Network::owning).map(|network| if self.mask { network.masked() } else { network });
        let pending = self.waiting.len();
        match self.waiting.entry((kind, reason, key_id, network)) {
            Entry::Occupied(mut key) => {
                let denials = key.get_mut();
                denials.count += 1;
                denials.last = at;
            }
            Entry::Vacant(new) if pending < MAX_PENDING => {
                new.insert(Denials { count: 1, first: at, last: at, decision_id });
            }
            Entry::Vacant(_) => self.lost.add(1),
        }
    }

    /// Flushes everything that was published until now, unless the store clock is not known yet.
    fn start_flush(&mut self, denials: &mut mpsc::Receiver<Queued>, patience: Duration) {
        let now = Instant::now();
        for _ in 0..QUEUE {
            let Ok(denial) = denials.try_recv() else { break };
            self.coalesce(denial);
        }
        let Some(at) = self.replica_state.time(now) else { return };
        let gap = gap(self.previous, at);
        let has_gap = gap.is_some();
        let waiting = self.waiting.drain().filter_map(|(key, denials)| record(&self.replica_state, key, &denials));
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

fn record(
    replica_state: &ReplicaState,
    (kind, reason, key_id, network): DenialKey,
    denials: &Denials,
) -> Option<Record> {
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

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
    run::Before,
    sink::Sinks,
};
use crate::{
    domain::{
        KeyId, Network, Reason, Timestamp,
        event::{DecisionId, EventKind, Record},
    },
    store::ReplicaState,
};

/// Denials with the same key, network and reason within this time are one record with an exact count.
const FLUSH: Duration = Duration::from_secs(1);

/// Records between two flushes. Beyond it denials are lost.
const MAX_PENDING: usize = 100_000;

/// How long a stopping process goes on delivering what waits on the disk; the next start does the rest.
const LAST_FLUSH: Duration = Duration::from_secs(5);

type Same = (EventKind, Reason, Option<KeyId>, Option<Network>);

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
    waiting: HashMap<Same, Denials>,
    /// What is under way, and how many denials it holds.
    flush: Option<(JoinHandle<bool>, u64)>,
    /// How the last run ended, until the audit tells of it.
    before: Before,
}

impl Pipeline {
    pub(super) fn new(
        audit_writer: AuditWriter,
        before: Before,
        replica_state: Arc<ReplicaState>,
        lost: Lost,
        sinks: Sinks,
        mask: bool,
    ) -> Self {
        let (audit_writer, waiting) = (Arc::new(audit_writer), HashMap::new());
        Self { audit_writer, replica_state, lost, sinks, mask, waiting, flush: None, before }
    }

    pub(super) async fn run(mut self, mut denials: mpsc::Receiver<Queued>, mut stop: oneshot::Receiver<()>) {
        let mut tick = interval(FLUSH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_due = false;
        loop {
            tokio::select! {
                _ = &mut stop => break,
                Some(denial) = denials.recv() => self.take(denial),
                () = self.settle(), if self.flush.is_some() => {}
                _ = tick.tick() => {
                    is_due = true;
                    self.lost.log();
                }
            }
            // One at a time, in a task: meanwhile denials coalesce here.
            if is_due && self.flush.is_none() {
                is_due = false;
                self.start_flush(&mut denials, Duration::ZERO);
            }
        }
        self.settle().await;
        self.start_flush(&mut denials, LAST_FLUSH);
        self.settle().await;
        self.lost.add(self.waiting.values().map(|denials| denials.count).sum());
        // A gap that could not be told yet is left to the next start.
        if self.before == Before::Clean {
            self.audit_writer.stop(self.replica_state.time(Instant::now())).await;
        }
        self.lost.log();
    }

    fn take(&mut self, queued: Queued) {
        let Queued { kind, denial: Denial { reason, key_id, ip, decision_id }, at } = queued;
        let network = ip.map(Network::owning).map(|network| if self.mask { network.masked() } else { network });
        let pending = self.waiting.len();
        match self.waiting.entry((kind, reason, key_id, network)) {
            Entry::Occupied(mut same) => {
                let denials = same.get_mut();
                denials.count += 1;
                denials.last = at;
            }
            Entry::Vacant(new) if pending < MAX_PENDING => {
                new.insert(Denials { count: 1, first: at, last: at, decision_id });
            }
            Entry::Vacant(_) => self.lost.add(1),
        }
    }

    /// Sends off everything that was reported until now, unless there is no clock yet to date it by.
    fn start_flush(&mut self, denials: &mut mpsc::Receiver<Queued>, patience: Duration) {
        let now = Instant::now();
        for _ in 0..QUEUE {
            let Ok(denial) = denials.try_recv() else { break };
            self.take(denial);
        }
        let Some(at) = self.replica_state.time(now) else { return };
        let gap = gap(self.before, at);
        let has_gap = gap.is_some();
        let waiting = self.waiting.drain().filter_map(|(same, denials)| record(&self.replica_state, same, &denials));
        let records: Vec<Record> = gap.into_iter().chain(waiting).collect();
        records.iter().for_each(|record| self.sinks.receive(record));
        let (held, audit_writer) = (audit_writer::denials(&records), Arc::clone(&self.audit_writer));
        self.flush =
            Some((tokio::spawn(async move { audit_writer.flush(records, at, has_gap, patience).await }), held));
    }

    /// Waits for the flush.
    async fn settle(&mut self) {
        // Taken only when it is done: whoever stops waiting must still see what is under way.
        let Some((flush, held)) = &mut self.flush else { return };
        match flush.await {
            Ok(true) => self.before = Before::Clean,
            // Of a gap that was lost too the next flush tells again.
            Ok(false) => {}
            // The task panicked; how much of it was stored is not known.
            Err(_) => self.lost.add(*held),
        }
        self.flush = None;
    }
}

/// What to tell of the run before this one.
fn gap(before: Before, now: Timestamp) -> Option<Record> {
    let Before::CutOff(flushed) = before else { return None };
    let since = flushed.map_or("it started".to_owned(), |at| at.to_string());
    Some(Record {
        first_at: flushed.unwrap_or(now).min(now),
        detail: Some(format!("the last run was cut off; its denials since {since} may be missing")),
        ..Record::new(EventKind::Gap, now)
    })
}

fn record(replica_state: &ReplicaState, (kind, reason, key_id, network): Same, denials: &Denials) -> Option<Record> {
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

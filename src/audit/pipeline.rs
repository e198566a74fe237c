//! Coalesces denials and stores them in batches.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tracing::{error, warn};

use super::{Event, Happening, log};
use crate::{
    domain::{
        KeyId, Network, Reason,
        event::{DecisionId, EventKind, Record},
    },
    metrics::AuditMetrics,
    store::{Store, StoreError, view::View},
};

/// Denials with the same key, network and reason within this time are one record with an exact count.
const FLUSH: Duration = Duration::from_secs(1);

/// Records that wait for a store that does not answer. Beyond it events are lost, and counted and logged as lost.
const MAX_PENDING: usize = 100_000;

/// Records in one transaction: first uses wait behind it.
const BATCH: usize = 1_000;

/// How long a stopping process waits for the store to take the rest.
const LAST_FLUSH: Duration = Duration::from_secs(5);

type Same = (Reason, Option<KeyId>, Option<Network>);

struct Denials {
    count: u64,
    first: Instant,
    last: Instant,
    decision_id: DecisionId,
}

/// Or the records that were not stored.
type Flush = JoinHandle<Result<(), (Vec<Record>, StoreError)>>;

pub(super) struct Pipeline {
    store: Arc<dyn Store>,
    view: Arc<View>,
    metrics: AuditMetrics,
    denials: HashMap<Same, Denials>,
    /// Already logged, refused by the store once.
    retry: Vec<Record>,
    lost: u64,
}

impl Pipeline {
    pub(super) fn new(store: Arc<dyn Store>, view: Arc<View>, metrics: AuditMetrics) -> Self {
        Self { store, view, metrics, denials: HashMap::new(), retry: Vec::new(), lost: 0 }
    }

    pub(super) async fn run(mut self, mut events: mpsc::Receiver<Event>, mut stop: oneshot::Receiver<()>) {
        let mut tick = interval(FLUSH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut flush: Option<Flush> = None;
        loop {
            tokio::select! {
                _ = &mut stop => break,
                Some(event) = events.recv() => self.take(event),
                _ = tick.tick() => {
                    // One batch at a time, in a task: while the store is slow, events still coalesce here.
                    if flush.as_ref().is_none_or(JoinHandle::is_finished) {
                        self.settle(flush.take()).await;
                        flush = self.flush();
                    }
                }
            }
        }
        self.settle(flush).await;
        while let Ok(event) = events.try_recv() {
            self.take(event);
        }
        let last = self.flush();
        if timeout(LAST_FLUSH, self.settle(last)).await.is_err() || !self.retry.is_empty() {
            error!("the last denials could not be stored; they are in the log only");
        }
    }

    fn take(&mut self, event: Event) {
        let network = event.ip.map(Network::owning);
        let Happening::Denied(reason) = event.happening else {
            return self.log_first_use(event, network);
        };
        let pending = self.denials.len() + self.retry.len();
        match self.denials.entry((reason, event.key_id, network)) {
            Entry::Occupied(mut same) => {
                let denials = same.get_mut();
                denials.count += 1;
                denials.last = event.at;
            }
            Entry::Vacant(new) if pending < MAX_PENDING => {
                let Event { at, decision_id, .. } = event;
                new.insert(Denials { count: 1, first: at, last: at, decision_id });
            }
            Entry::Vacant(_) => {
                self.metrics.lost.increment(1);
                self.lost += 1;
            }
        }
    }

    fn log_first_use(&self, event: Event, network: Option<Network>) {
        // A first use was just stored, so the store's clock is known.
        let Some(at) = self.view.time(event.at) else { return };
        log(&Record {
            kind: EventKind::FirstUse,
            reason: None,
            key_id: event.key_id,
            network,
            count: 1,
            first_at: at,
            last_at: at,
            actor: None,
            decision_id: Some(event.decision_id.to_string()),
            detail: None,
        });
    }

    /// Hands everything pending to the store; `None` if there is nothing, or no clock yet to date it by.
    fn flush(&mut self) -> Option<Flush> {
        if std::mem::take(&mut self.lost) > 0 {
            warn!("audit events were lost: {MAX_PENDING} records already wait for the store");
        }
        self.view.time(Instant::now())?;
        let mut records = std::mem::take(&mut self.retry);
        let retried = records.len();
        records.extend(self.denials.drain().filter_map(|(same, denials)| record(&self.view, same, &denials)));
        records[retried..].iter().for_each(log);
        if records.is_empty() {
            return None;
        }
        let store = Arc::clone(&self.store);
        let metrics = self.metrics.clone();
        Some(tokio::spawn(async move {
            let mut left = records.as_slice();
            while !left.is_empty() {
                let (batch, rest) = left.split_at(BATCH.min(left.len()));
                if let Err(cause) = store.append_audit(batch.to_vec()).await {
                    return Err((left.to_vec(), cause));
                }
                metrics.stored.increment(batch.iter().map(|record| record.count).sum());
                left = rest;
            }
            Ok(())
        }))
    }

    /// Waits for a flush and keeps what it could not store for the next.
    async fn settle(&mut self, flush: Option<Flush>) {
        let Some(flush) = flush else { return };
        match flush.await {
            Ok(Ok(())) => {}
            Ok(Err((records, cause))) => {
                warn!(%cause, records = records.len(), "the audit was not stored; it will be tried again");
                self.retry = records;
            }
            Err(lost) => error!(%lost, "an audit batch was lost"),
        }
    }
}

fn record(view: &View, (reason, key_id, network): Same, denials: &Denials) -> Option<Record> {
    Some(Record {
        kind: EventKind::Denied,
        reason: Some(reason),
        key_id,
        network,
        count: denials.count,
        first_at: view.time(denials.first)?,
        last_at: view.time(denials.last)?,
        actor: None,
        decision_id: Some(denials.decision_id.to_string()),
        detail: None,
    })
}

//! Coalesces denials and stores them in batches.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use metrics::Counter;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tracing::warn;

use super::{Denial, Lost, log};
use crate::{
    domain::{
        KeyId, Network, Reason,
        event::{DecisionId, EventKind, Record},
    },
    store::{Store, StoreError, view::View},
};

/// Denials with the same key, network and reason within this time are one record with an exact count.
const FLUSH: Duration = Duration::from_secs(1);

/// Records that wait for a store that does not answer. Beyond it denials are lost.
const MAX_PENDING: usize = 100_000;

/// Records in one transaction: first uses wait behind it.
const BATCH: usize = 1_000;

/// How long a stopping process waits for the store to take the rest.
const LAST_FLUSH: Duration = Duration::from_secs(5);

type Same = (EventKind, Reason, Option<KeyId>, Option<Network>);

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
    stored: Counter,
    lost: Lost,
    waiting: HashMap<Same, Denials>,
    /// The batch that is being stored, and how many records and denials it holds.
    flush: Option<(Flush, usize, u64)>,
    /// Already logged, refused by the store once.
    retry: Vec<Record>,
}

impl Pipeline {
    pub(super) fn new(store: Arc<dyn Store>, view: Arc<View>, stored: Counter, lost: Lost) -> Self {
        Self { store, view, stored, lost, waiting: HashMap::new(), flush: None, retry: Vec::new() }
    }

    pub(super) async fn run(mut self, mut denials: mpsc::Receiver<Denial>, mut stop: oneshot::Receiver<()>) {
        let mut tick = interval(FLUSH);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = &mut stop => break,
                Some(denial) = denials.recv() => self.take(denial),
                _ = tick.tick() => {
                    // One batch at a time, in a task: while the store is slow, denials still coalesce here.
                    if self.flush.as_ref().is_none_or(|(flush, ..)| flush.is_finished()) {
                        self.settle().await;
                        self.start_flush();
                    }
                    self.lost.log();
                }
            }
        }
        while let Ok(denial) = denials.try_recv() {
            self.take(denial);
        }
        let stored = timeout(LAST_FLUSH, async {
            self.settle().await;
            self.start_flush();
            self.settle().await;
        });
        let _ = stored.await;
        self.lost.add(self.unstored());
        self.lost.log();
    }

    fn take(&mut self, denial: Denial) {
        let Denial { kind, reason, key_id, ip, decision_id, at } = denial;
        let in_flight = self.flush.as_ref().map_or(0, |(_, records, _)| *records);
        let pending = self.waiting.len() + self.retry.len() + in_flight;
        match self.waiting.entry((kind, reason, key_id, ip.map(Network::owning))) {
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

    /// Hands everything that waits to the store, unless there is nothing, or no clock yet to date it by.
    fn start_flush(&mut self) {
        if self.view.time(Instant::now()).is_none() {
            return;
        }
        let mut records = std::mem::take(&mut self.retry);
        let retried = records.len();
        records.extend(self.waiting.drain().filter_map(|(same, denials)| record(&self.view, same, &denials)));
        records[retried..].iter().for_each(log);
        if records.is_empty() {
            return;
        }
        let (length, denials) = (records.len(), sum(&records));
        let flush = tokio::spawn(store_all(Arc::clone(&self.store), self.stored.clone(), records));
        self.flush = Some((flush, length, denials));
    }

    /// Waits for the flush, and keeps what it could not store for the next.
    async fn settle(&mut self) {
        // Taken only when it is done: whoever stops waiting must still see what is under way.
        let Some((flush, _, denials)) = &mut self.flush else { return };
        match flush.await {
            Ok(Ok(())) => {}
            Ok(Err((records, cause))) => {
                warn!(%cause, records = records.len(), "the audit was not stored; it will be tried again");
                self.retry = records;
            }
            // The task panicked; how much of it was stored is not known.
            Err(_) => self.lost.add(*denials),
        }
        self.flush = None;
    }

    /// The denials that have no stored record.
    fn unstored(&self) -> u64 {
        let in_flight = self.flush.as_ref().map_or(0, |(_, _, denials)| *denials);
        self.waiting.values().map(|denials| denials.count).sum::<u64>() + sum(&self.retry) + in_flight
    }
}

async fn store_all(
    store: Arc<dyn Store>,
    stored: Counter,
    records: Vec<Record>,
) -> Result<(), (Vec<Record>, StoreError)> {
    let mut left = records.as_slice();
    while !left.is_empty() {
        let (batch, rest) = left.split_at(BATCH.min(left.len()));
        if let Err(cause) = store.append_audit(batch.to_vec()).await {
            return Err((left.to_vec(), cause));
        }
        stored.increment(sum(batch));
        left = rest;
    }
    Ok(())
}

fn sum(records: &[Record]) -> u64 {
    records.iter().map(|record| record.count).sum()
}

fn record(view: &View, (kind, reason, key_id, network): Same, denials: &Denials) -> Option<Record> {
    Some(Record {
        kind,
        reason: Some(reason),
        key_id,
        network,
        count: denials.count,
        first_at: view.time(denials.first)?,
        last_at: view.time(denials.last)?,
        actor: None,
        decision_id: Some(denials.decision_id.to_string()),
        detail: None,
        delta: None,
    })
}

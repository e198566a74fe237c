//! The denials that wait for the next flush. They are coalesced by the thread that decides: a channel to a task would cost
//! more than the decision, because its receiver must be woken, and would need room for denials that become one record.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use metrics::Counter;
use tokio::time::Instant;
use tracing::error;

use super::Denial;
use crate::domain::{
    KeyId, Network, Reason,
    event::{DecisionId, EventKind},
};

/// The most records between two flushes; further denials are lost.
const MAX_PENDING: usize = 100_000;

/// Denials that have this in common are one record.
pub(super) type Alike = (EventKind, Reason, Option<KeyId>, Option<Network>);

/// Denials that are alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Denials {
    pub(super) count: u64,
    pub(super) first: Instant,
    pub(super) last: Instant,
    pub(super) decision_id: DecisionId,
}

/// Where decisions put denials.
pub(super) struct Waiting {
    /// Sharded, so that two threads rarely wait for one lock.
    shards: [Mutex<HashMap<Alike, Denials>>; 16],
    hasher: RandomState,
    /// The records in all shards.
    pending: AtomicUsize,
    lost: Lost,
    /// `audit.mask_addresses`.
    mask: bool,
}

impl Waiting {
    pub(super) fn new(lost: Lost, mask: bool) -> Self {
        Self { shards: Default::default(), hasher: RandomState::new(), pending: AtomicUsize::new(0), lost, mask }
    }

    /// Without I/O. A denial that would be one record too many is lost and counted.
    pub(super) fn put(&self, kind: EventKind, denial: Denial) {
        let Denial { reason, key_id, ip, decision_id } = denial;
        // An attacker can make up any number of keys without a row. A record for each of them would fill the disk, which
        // the claim budget is there to prevent.
        let key_id = key_id.filter(|_| reason != Reason::ClaimLimited);
        let network = ip.map(Network::owning).map(|network| if self.mask { network.masked() } else { network });
        let (alike, now) = ((kind, reason, key_id, network), Instant::now());
        match locked(self.shard(&alike)).entry(alike) {
            Entry::Occupied(mut known) => {
                let denials = known.get_mut();
                denials.count += 1;
                denials.last = denials.last.max(now);
            }
            Entry::Vacant(new) if self.pending.fetch_add(1, Ordering::Relaxed) < MAX_PENDING => {
                new.insert(Denials { count: 1, first: now, last: now, decision_id });
            }
            Entry::Vacant(_) => {
                self.pending.fetch_sub(1, Ordering::Relaxed);
                self.lost.add(1);
            }
        }
    }

    fn shard(&self, alike: &Alike) -> &Mutex<HashMap<Alike, Denials>> {
        &self.shards[self.hasher.hash_one(alike) as usize % self.shards.len()]
    }

    /// Everything that was put until now.
    pub(super) fn take(&self) -> Vec<(Alike, Denials)> {
        let mut taken = Vec::new();
        for shard in &self.shards {
            taken.extend(locked(shard).drain());
        }
        self.pending.fetch_sub(taken.len(), Ordering::Relaxed);
        taken
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds it panics halfway through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts denials that no record reports.
#[derive(Clone)]
pub(super) struct Lost {
    counter: Counter,
    unlogged: Arc<AtomicU64>,
}

impl Lost {
    pub(super) fn new(counter: Counter) -> Self {
        Self { counter, unlogged: Arc::default() }
    }

    pub(super) fn add(&self, denials: u64) {
        self.counter.increment(denials);
        self.unlogged.fetch_add(denials, Ordering::Relaxed);
    }

    /// Logs what was lost since the last call. Called at most once a second.
    pub(super) fn log(&self) {
        let denials = self.unlogged.swap(0, Ordering::Relaxed);
        if denials > 0 {
            error!(denials, "denials are missing from the audit");
        }
    }
}

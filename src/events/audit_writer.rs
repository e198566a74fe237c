//! Writes batches to the store, or to the disk while the store does not accept them.

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout_at},
};
use tracing::{info, warn};

use super::{
    run::{PreviousRun, Run},
    spill::Spill,
    waiting::Lost,
};
use crate::{
    domain::{Timestamp, event::Record},
    store::{BatchId, SpoolId, Upkeep},
    telemetry::metrics::AuditMetrics,
};

/// Records in one transaction. First uses wait for that transaction.
const BATCH: usize = 1_000;

/// How long the store may take for the records of one flush. The rest of the second is for the disk: then the next
/// flush is due, and a kill loses less than two seconds of denials.
const PATIENCE: Duration = Duration::from_millis(500);

/// One per run. Its flushes must not overlap.
pub(super) struct AuditWriter {
    store: Arc<dyn Upkeep>,
    metrics: AuditMetrics,
    lost: Lost,
    spool: SpoolId,
    batches: AtomicU64,
    disk: Arc<Mutex<Disk>>,
}

struct Disk {
    spill: Spill,
    run: Run,
    /// Whether the store accepted the last batch.
    accepted: bool,
}

impl AuditWriter {
    pub(super) fn begin(
        directory: &Path,
        spill_max: u64,
        store: Arc<dyn Upkeep>,
        metrics: AuditMetrics,
        lost: Lost,
    ) -> io::Result<(Self, PreviousRun)> {
        let spill = Spill::open(directory, spill_max)?;
        let (run, previous) = Run::begin(directory)?;
        metrics.spilled.set(spill.bytes() as f64);
        let disk = Arc::new(Mutex::new(Disk { spill, run, accepted: true }));
        let (spool, batches) = (SpoolId(rand::random()), AtomicU64::new(0));
        Ok((Self { store, metrics, lost, spool, batches, disk }, previous))
    }

    /// Makes `records` durable, or counts them as lost, and then delivers what waits on the disk until `patience` has
    /// passed. `records`, together with those of earlier flushes, must contain every denial before `at`. If `has_gap`,
    /// the records contain the gap of the previous run, and until it is stored this run counts as not having flushed
    /// anything. Returns `false` if any record was lost.
    pub(super) async fn flush(&self, records: Vec<Record>, at: Timestamp, has_gap: bool, patience: Duration) -> bool {
        let (started, is_sync) = (Instant::now(), !records.is_empty());
        let mut left = self.numbered(records);
        // Spilled batches go first: the batches of a spool must arrive in order.
        if lock(&self.disk).spill.is_empty() {
            left = self.offer(left, started + PATIENCE).await;
        }
        let lost = self.spill(left).await;
        self.lost.add(lost);
        let is_complete = lost == 0;
        if is_complete || !has_gap {
            self.on_disk(move |disk| {
                if let Err(cause) = disk.run.flushed(at, is_sync) {
                    warn!(%cause, "cannot write the time of the audit's last flush");
                }
            })
            .await;
        }
        self.deliver(started + patience.max(PATIENCE)).await;
        self.metrics.spilled.set(lock(&self.disk).spill.bytes() as f64);
        is_complete
    }

    /// Records a clean end. Called after the last flush.
    pub(super) async fn stop(&self, at: Option<Timestamp>) {
        self.on_disk(move |disk| {
            if let Err(cause) = disk.run.stopped(at) {
                warn!(%cause, "cannot write the audit's clean end; the next start will record a gap");
            }
        })
        .await;
    }

    fn numbered(&self, mut records: Vec<Record>) -> Vec<(BatchId, Vec<Record>)> {
        let mut batches = Vec::new();
        while !records.is_empty() {
            let rest = records.split_off(BATCH.min(records.len()));
            let number = self.batches.fetch_add(1, Ordering::Relaxed) + 1;
            batches.push((BatchId { spool: self.spool, number }, std::mem::replace(&mut records, rest)));
        }
        batches
    }

    /// Returns the batches that the store has not acknowledged by `deadline`. It may have stored them; their numbers
    /// keep a second delivery from storing them twice.
    async fn offer(&self, batches: Vec<(BatchId, Vec<Record>)>, deadline: Instant) -> Vec<(BatchId, Vec<Record>)> {
        let mut left = batches.into_iter();
        while let Some((batch, records)) = left.as_slice().first() {
            if !self.append(*batch, records, deadline).await {
                break;
            }
            left.next();
        }
        left.collect()
    }

    async fn append(&self, batch: BatchId, records: &[Record], deadline: Instant) -> bool {
        let asked = timeout_at(deadline, self.store.deliver(batch, records.to_vec()));
        let accepted = match asked.await {
            Ok(Ok(appended)) => {
                // A batch of an earlier run that was stored already was counted by that run.
                if appended > 0 || batch.spool == self.spool {
                    self.metrics.stored.increment(denials(records));
                }
                Ok(())
            }
            Ok(Err(cause)) => Err(cause.to_string()),
            Err(_) => Err("no answer in time".to_owned()),
        };
        let accepted_before = std::mem::replace(&mut lock(&self.disk).accepted, accepted.is_ok());
        match &accepted {
            Ok(()) if !accepted_before => info!("the store accepts audit records again"),
            Err(cause) if accepted_before => {
                warn!(%cause, "the store does not accept audit records; they are kept on the disk")
            }
            _ => {}
        }
        accepted.is_ok()
    }

    /// Returns how many denials were lost.
    async fn spill(&self, batches: Vec<(BatchId, Vec<Record>)>) -> u64 {
        if batches.is_empty() {
            return 0;
        }
        let all = batches.iter().map(|(_, records)| denials(records)).sum();
        let lost = self.on_disk(move |disk| {
            let (written, done) = disk.spill.append(&batches);
            if let Err(cause) = done {
                warn!(%cause, "cannot write audit records to the disk");
            }
            batches[written..].iter().map(|(_, records)| denials(records)).sum()
        });
        lost.await.unwrap_or(all)
    }

    /// Delivers the oldest batches first, until the store rejects one, none is left, or the next flush is due.
    async fn deliver(&self, deadline: Instant) {
        while Instant::now() < deadline {
            let Some(Some((batch, records))) = self.on_disk(|disk| disk.spill.head()).await else { return };
            if !self.append(batch, &records, deadline).await {
                return;
            }
            self.on_disk(|disk| disk.spill.delivered()).await;
        }
    }

    /// `None` if `work` panicked.
    async fn on_disk<T: Send + 'static>(&self, work: impl FnOnce(&mut Disk) -> T + Send + 'static) -> Option<T> {
        let disk = Arc::clone(&self.disk);
        spawn_blocking(move || work(&mut lock(&disk))).await.ok()
    }
}

/// Locks the disk without a task, for what needs no I/O.
fn lock(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts denials; a gap is a record, but not a denial.
pub(super) fn denials(records: &[Record]) -> u64 {
    records.iter().filter(|record| record.reason.is_some()).map(|record| record.count).sum()
}

//! Brings batches to the store, by way of the disk when the store does not take them.

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
    queue::Lost,
    run::{Before, Run},
    spill::Spill,
};
use crate::{
    domain::{Timestamp, event::Record},
    store::{BatchId, SpoolId, Upkeep},
    telemetry::metrics::AuditMetrics,
};

/// Records in one transaction: first uses wait behind it.
const BATCH: usize = 1_000;

/// How long the store may take for what a flush hands to it. The rest of the second is the disk's: after that the next
/// flush is due, and what a kill takes with it is less than two seconds old.
const PATIENCE: Duration = Duration::from_millis(500);

/// One for each run. Its flushes must not overlap.
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
    /// Whether the store took what it was given last.
    taken: bool,
}

impl AuditWriter {
    pub(super) fn begin(
        directory: &Path,
        spill_max: u64,
        store: Arc<dyn Upkeep>,
        metrics: AuditMetrics,
        lost: Lost,
    ) -> io::Result<(Self, Before)> {
        let spill = Spill::open(directory, spill_max)?;
        let (run, before) = Run::begin(directory)?;
        metrics.spilled.set(spill.bytes() as f64);
        let disk = Arc::new(Mutex::new(Disk { spill, run, taken: true }));
        let (spool, batches) = (SpoolId(rand::random()), AtomicU64::new(0));
        Ok((Self { store, metrics, lost, spool, batches, disk }, before))
    }

    /// Makes `records` durable, or counts them as lost, and then delivers what waits on the disk for as long as `patience`
    /// lasts. Every denial before `at` is in them, or in those of an earlier flush. Until the last run's gap, if they
    /// have it, is in the audit, this run has not flushed anything. False if any of them was lost.
    pub(super) async fn flush(&self, records: Vec<Record>, at: Timestamp, has_gap: bool, patience: Duration) -> bool {
        let (started, is_sync) = (Instant::now(), !records.is_empty());
        let mut left = self.numbered(records);
        // What waits goes first: a spool's batches must come in their order.
        if lock(&self.disk).spill.is_empty() {
            left = self.offer(left, started + PATIENCE).await;
        }
        let lost = self.spill(left).await;
        self.lost.add(lost);
        let is_whole = lost == 0;
        if is_whole || !has_gap {
            self.on_disk(move |disk| {
                if let Err(cause) = disk.run.flushed(at, is_sync) {
                    warn!(%cause, "the time of the audit's last flush was not written");
                }
            })
            .await;
        }
        self.deliver(started + patience.max(PATIENCE)).await;
        self.metrics.spilled.set(lock(&self.disk).spill.bytes() as f64);
        is_whole
    }

    /// After the last flush.
    pub(super) async fn stop(&self, at: Option<Timestamp>) {
        self.on_disk(move |disk| {
            if let Err(cause) = disk.run.stopped(at) {
                warn!(%cause, "the audit's clean end was not written; the next start will record a gap");
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

    /// Returns what the store has not acknowledged by `deadline`. It may have taken it all the same: that is what the
    /// numbers are for.
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
        let taken = match asked.await {
            Ok(Ok(appended)) => {
                // What an earlier run has delivered, that run has counted.
                if appended > 0 || batch.spool == self.spool {
                    self.metrics.stored.increment(denials(records));
                }
                Ok(())
            }
            Ok(Err(cause)) => Err(cause.to_string()),
            Err(_) => Err("it does not answer in time".to_owned()),
        };
        let before = std::mem::replace(&mut lock(&self.disk).taken, taken.is_ok());
        match &taken {
            Ok(()) if !before => info!("the store takes the audit again"),
            Err(cause) if before => warn!(%cause, "the store does not take the audit; it waits on the disk"),
            _ => {}
        }
        taken.is_ok()
    }

    /// Returns how many denials are lost.
    async fn spill(&self, batches: Vec<(BatchId, Vec<Record>)>) -> u64 {
        if batches.is_empty() {
            return 0;
        }
        let all = batches.iter().map(|(_, records)| denials(records)).sum();
        let lost = self.on_disk(move |disk| {
            let (written, done) = disk.spill.append(&batches);
            if let Err(cause) = done {
                warn!(%cause, "the audit could not be written to the disk");
            }
            batches[written..].iter().map(|(_, records)| denials(records)).sum()
        });
        lost.await.unwrap_or(all)
    }

    /// Oldest first, until the store takes no more, or there is nothing left, or it is time for the next flush.
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

/// Beside [`AuditWriter::on_disk`], for what needs no I/O.
fn lock(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A gap is a record, but no denial.
pub(super) fn denials(records: &[Record]) -> u64 {
    records.iter().filter(|record| record.reason.is_some()).map(|record| record.count).sum()
}

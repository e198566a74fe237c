//! Batches of records on this process's own disk, for as long as the store does not take them.
//!
//! `DATA_DIR/audit/` holds segments, `00000000000000000001.spill` and on, mode 0600. Each batch is a [`frame`] that is
//! appended to the last one and synced; the first one is deleted once all of it was delivered. Where a delivery stood at a
//! crash is not written down: a segment is then delivered again from its start, and the store knows which of its batches
//! it has.

mod frame;

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use tracing::{error, info};

use crate::{domain::event::Record, store::BatchId};
use frame::{Frame, Next};

/// A delivered segment is deleted whole, and one at a time is in memory.
const SEGMENT: u64 = 4 * 1024 * 1024;

/// Why a batch was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpillError {
    #[error("audit.spill_max is reached")]
    Full,
    #[error(transparent)]
    Disk(#[from] io::Error),
}

/// The segments, oldest first.
#[derive(Debug)]
pub(super) struct Spill {
    directory: PathBuf,
    max: u64,
    segments: Vec<Segment>,
    /// The last segment, while it may be appended to.
    open: Option<File>,
    /// The first segment, while it is being delivered.
    head: Option<Head>,
    next_number: u64,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    bytes: u64,
}

#[derive(Debug)]
struct Head {
    content: Vec<u8>,
    at: usize,
    /// Where the batch at `at` ends, once it was read.
    end: usize,
    damaged: bool,
}

impl Spill {
    /// What earlier runs left in `directory`, to which this one appends nothing: their last batch may be torn.
    pub(super) fn open(directory: &Path, max: u64) -> io::Result<Self> {
        make_directory(directory)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".spill")?.parse::<u64>().ok());
            if let Some(number) = number {
                found.push((number, Segment { bytes: path.metadata()?.len(), path }));
            }
        }
        found.sort_by_key(|(number, _)| *number);
        let next_number = found.last().map_or(1, |(number, _)| number.saturating_add(1));
        let segments: Vec<_> = found.into_iter().map(|(_, segment)| segment).collect();
        let spill = Self { directory: directory.to_owned(), max, segments, open: None, head: None, next_number };
        if !spill.is_empty() {
            info!(bytes = spill.bytes(), "audit records of an earlier run wait on the disk for the store");
        }
        Ok(spill)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Appends all of `batches`, and returns how many of them are on the disk: synced, or not there at all.
    pub(super) fn append(&mut self, batches: &[(BatchId, Vec<Record>)]) -> (usize, Result<(), SpillError>) {
        let mut written = 0;
        while written < batches.len() {
            match self.append_some(&batches[written..]) {
                Ok(more) => written += more,
                Err(cause) => return (written, Err(cause)),
            }
        }
        (written, Ok(()))
    }

    /// As many as one segment holds, at least one, with one sync.
    fn append_some(&mut self, batches: &[(BatchId, Vec<Record>)]) -> Result<usize, SpillError> {
        let room = self.max.saturating_sub(self.bytes());
        let (mut bytes, mut count) = (Vec::new(), 0);
        for (batch, records) in batches {
            let frame = frame::encode(*batch, records).map_err(io::Error::from)?;
            let length = (bytes.len() + frame.len()) as u64;
            if length > room || (count > 0 && length > SEGMENT) {
                break;
            }
            bytes.extend(frame);
            count += 1;
        }
        if count == 0 {
            return Err(SpillError::Full);
        }
        self.write(&bytes)?;
        Ok(count)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let full = self.segments.last().is_none_or(|last| last.bytes + bytes.len() as u64 > SEGMENT);
        if self.open.is_none() || full {
            self.begin_segment()?;
        }
        let (Some(file), Some(last)) = (&mut self.open, self.segments.last_mut()) else { return Ok(()) };
        let done = file.write_all(bytes).and_then(|()| file.sync_data());
        match done {
            Ok(()) => last.bytes += bytes.len() as u64,
            // What is only half there, or may not be there after a crash, must not be delivered: it counts as lost.
            Err(_) if file.set_len(last.bytes).is_ok() => {}
            Err(_) => self.open = None,
        }
        done
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        // What is being delivered was read as it is, so nothing may follow in that file.
        self.open = None;
        let path = self.directory.join(format!("{:020}.spill", self.next_number));
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        self.next_number += 1;
        File::open(&self.directory)?.sync_all()?;
        self.segments.push(Segment { path, bytes: 0 });
        self.open = Some(file);
        Ok(())
    }

    /// The oldest batch; again, until [`Spill::delivered`] is called.
    pub(super) fn head(&mut self) -> Option<(BatchId, Vec<Record>)> {
        loop {
            let first = self.segments.first()?;
            let head = match &mut self.head {
                Some(head) => head,
                None => {
                    if self.segments.len() == 1 {
                        self.open = None;
                    }
                    match fs::read(&first.path) {
                        Ok(content) => self.head.insert(Head { content, at: 0, end: 0, damaged: false }),
                        Err(cause) => {
                            error!(file = %first.path.display(), %cause, "a spilled segment of the audit cannot be read");
                            self.retire(true);
                            continue;
                        }
                    }
                }
            };
            match frame::next(&head.content, head.at) {
                Next::Frame(Frame { batch, records }, end) => {
                    head.end = end;
                    return Some((batch, records));
                }
                Next::Damage(again) => (head.at, head.damaged) = (again, true),
                Next::End => {
                    let damaged = head.damaged;
                    self.retire(damaged);
                }
            }
        }
    }

    /// The batch that [`Spill::head`] returned is in the store.
    pub(super) fn delivered(&mut self) {
        let Some(head) = &mut self.head else { return };
        head.at = head.end;
        if head.at == head.content.len() && !head.damaged {
            self.retire(false);
        }
    }

    /// Ends the first segment: deleted, or kept under another name for whoever wants to know what it was.
    fn retire(&mut self, damaged: bool) {
        self.head = None;
        let Segment { path, .. } = self.segments.remove(0);
        let done = if damaged { fs::rename(&path, path.with_extension("damaged")) } else { fs::remove_file(&path) };
        let file = path.display();
        match done {
            Ok(()) if damaged => error!(
                file = %path.with_extension("damaged").display(),
                "a spilled segment of the audit is damaged; what could be read of it was delivered, the rest is lost"
            ),
            Ok(()) => {}
            // Its batches are known to the store: the next start finds it and tries again.
            Err(cause) => error!(%file, %cause, "a delivered segment of the audit cannot be put away"),
        }
    }
}

fn make_directory(directory: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Reason, Timestamp, event::EventKind},
        store::SpoolId,
    };

    fn batch(number: u64) -> (BatchId, Vec<Record>) {
        let record = Record {
            kind: EventKind::Denied,
            reason: Some(Reason::NoKey),
            key_id: None,
            network: None,
            count: number,
            first_at: Timestamp::from_millis(1),
            last_at: Timestamp::from_millis(1),
            actor: None,
            decision_id: None,
            detail: None,
            delta: None,
        };
        (BatchId { spool: SpoolId(7), number }, vec![record])
    }

    #[test]
    fn after_a_write_that_failed_the_next_goes_to_a_segment_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let mut spill = Spill::open(directory.path(), 1 << 20).unwrap();
        assert!(matches!(spill.append(&[batch(1)]), (1, Ok(()))));
        // A device that is always full, and that cannot be cut back.
        spill.open = Some(OpenOptions::new().write(true).open("/dev/full").unwrap());
        assert!(matches!(spill.append(&[batch(2)]), (0, Err(SpillError::Disk(_)))));
        assert!(matches!(spill.append(&[batch(3)]), (1, Ok(()))));
        assert_eq!(spill.segments.len(), 2);
        for number in [1, 3] {
            assert_eq!(spill.head().unwrap(), batch(number));
            spill.delivered();
        }
        assert!(spill.head().is_none() && spill.is_empty());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

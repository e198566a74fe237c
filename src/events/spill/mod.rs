//! Keeps batches of records on this process's own disk while the store does not accept them.
//!
//! `DATA_DIR/audit/` holds segments, from `00000000000000000001.spill` on, with mode 0600. Each batch is a [`frame`]
//! that is appended to the last segment and synced; the first segment is deleted once all of it is delivered. The
//! position of the delivery is not persisted: after a crash, a segment is delivered again from its start, and the store
//! skips the batches that it has.

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

/// The size of a segment in bytes. A segment is deleted as a whole, and one at a time is in memory.
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
    /// The last segment, while it can be appended to.
    open: Option<File>,
    /// The first segment, while it is delivered.
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
    /// Where the batch at `at` ends, once it is read.
    end: usize,
    damaged: bool,
}

impl Spill {
    /// Opens what earlier runs left in `directory`. This run appends nothing to their segments, because their last
    /// batch may be torn.
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
            info!(
                bytes = spill.bytes(),
                "the disk holds audit records of an earlier run; they will be delivered to the store"
            );
        }
        Ok(spill)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Appends all of `batches`, and returns how many of them are on the disk and synced; no other batch is there in
    /// part.
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

    /// Appends as many batches as one segment holds, at least one, with one sync.
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
            // A batch that is incomplete, or that a crash may still lose, must not be delivered: it counts as lost.
            Err(_) if file.set_len(last.bytes).is_ok() => {}
            Err(_) => self.open = None,
        }
        done
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        // A segment was read as a whole when its delivery began, so nothing may be appended to it.
        self.open = None;
        let path = self.directory.join(format!("{:020}.spill", self.next_number));
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        self.next_number += 1;
        File::open(&self.directory)?.sync_all()?;
        self.segments.push(Segment { path, bytes: 0 });
        self.open = Some(file);
        Ok(())
    }

    /// Returns the oldest batch, the same one until [`Spill::delivered`] is called.
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
                            error!(file = %first.path.display(), %cause, "cannot read a spilled audit segment");
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

    /// Marks the batch that [`Spill::head`] returned as stored.
    pub(super) fn delivered(&mut self) {
        let Some(head) = &mut self.head else { return };
        head.at = head.end;
        if head.at == head.content.len() && !head.damaged {
            self.retire(false);
        }
    }

    /// Removes the first segment: deletes it, or renames a damaged one so that an operator can examine it.
    fn retire(&mut self, damaged: bool) {
        self.head = None;
        let Segment { path, .. } = self.segments.remove(0);
        let done = if damaged { fs::rename(&path, path.with_extension("damaged")) } else { fs::remove_file(&path) };
        let file = path.display();
        match done {
            Ok(()) if damaged => error!(
                file = %path.with_extension("damaged").display(),
                "a spilled audit segment is damaged; the readable records were delivered, the others are lost"
            ),
            Ok(()) => {}
            // The store skips its batches: the next start finds the file and tries again.
            Err(cause) => error!(%file, %cause, "cannot remove a delivered audit segment"),
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

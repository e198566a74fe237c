//! Records whether the previous run stopped cleanly, and until when its denials are in the audit.
//!
//! `DATA_DIR/audit/run` is one line that is rewritten in place after every flush: `running 1767225600000 <checksum>`,
//! or `stopped …` after a clean end. A lock on it keeps a second process out of the directory.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use sha2::{Digest, Sha256};

use crate::domain::Timestamp;

/// How the previous run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PreviousRun {
    /// There was none, or it stopped after its last flush.
    Clean,
    /// It was interrupted after the flush of this time, if it had one.
    Interrupted(Option<Timestamp>),
}

/// The state file of this run.
#[derive(Debug)]
pub(super) struct Run {
    file: File,
}

impl Run {
    /// Locks the directory for this process. An interrupted previous run is reported by every start until the first
    /// [`Run::flushed`]: by then its gap is in the audit.
    pub(super) fn begin(directory: &Path) -> io::Result<(Self, PreviousRun)> {
        let path = directory.join("run");
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.try_lock().map_err(|cause| match cause {
            TryLockError::WouldBlock => io::Error::other("another process uses this directory"),
            TryLockError::Error(cause) => cause,
        })?;
        let mut text = String::new();
        // A file that is not text is not a valid line either.
        let _ = file.by_ref().take(256).read_to_string(&mut text);
        let is_new = file.metadata()?.len() == 0;
        let run = Self { file };
        let previous = match parse(&text) {
            Some((STOPPED, at)) => {
                run.write(RUNNING, at, true)?;
                PreviousRun::Clean
            }
            None if is_new => {
                run.write(RUNNING, None, true)?;
                File::open(directory)?.sync_all()?;
                PreviousRun::Clean
            }
            Some((_, at)) => PreviousRun::Interrupted(at),
            None => PreviousRun::Interrupted(None),
        };
        Ok((run, previous))
    }

    /// Records that every denial before `at` is on a disk, or counted as lost. Only a loss of power can undo an
    /// unsynced write, back to the last synced time, which the gap then names.
    pub(super) fn flushed(&self, at: Timestamp, sync: bool) -> io::Result<()> {
        self.write(RUNNING, Some(at), sync)
    }

    /// Records a clean end: no denial followed the last flush.
    pub(super) fn stopped(&self, at: Option<Timestamp>) -> io::Result<()> {
        self.write(STOPPED, at, true)
    }

    /// Writes in place, with one write of constant length within one sector, so that the line is never torn.
    fn write(&self, word: &str, at: Option<Timestamp>, sync: bool) -> io::Result<()> {
        let line = line(word, at);
        self.file.write_all_at(line.as_bytes(), 0)?;
        if sync {
            self.file.set_len(line.len() as u64)?;
            self.file.sync_data()?;
        }
        Ok(())
    }
}

const RUNNING: &str = "running";
const STOPPED: &str = "stopped";

fn line(word: &str, at: Option<Timestamp>) -> String {
    let at = at.map_or("-".to_owned(), |at| at.as_millis().to_string());
    let content = format!("{word} {at:>20}");
    format!("{content} {}\n", checksum(&content))
}

fn parse(text: &str) -> Option<(&str, Option<Timestamp>)> {
    let (content, found) = text.strip_suffix('\n')?.rsplit_once(' ')?;
    let (word, at) = content.split_once(' ')?;
    let at = at.trim_start().parse().ok().map(Timestamp::from_millis);
    (found == checksum(content)).then_some((word, at))
}

fn checksum(content: &str) -> String {
    let digest = Sha256::digest(content.as_bytes());
    hex::encode(&digest[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    fn previous(directory: &Path) -> PreviousRun {
        Run::begin(directory).unwrap().1
    }

    #[test]
    fn an_interrupted_run_is_known_by_its_last_flush_until_the_next_run_flushes() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(previous(directory.path()), PreviousRun::Clean);
        assert_eq!(previous(directory.path()), PreviousRun::Interrupted(None), "interrupted before its first flush");
        let (run, _) = Run::begin(directory.path()).unwrap();
        run.flushed(NOW, false).unwrap();
        drop(run);
        assert_eq!(previous(directory.path()), PreviousRun::Interrupted(Some(NOW)));
        assert_eq!(
            previous(directory.path()),
            PreviousRun::Interrupted(Some(NOW)),
            "interrupted before the gap was flushed"
        );
        let (run, _) = Run::begin(directory.path()).unwrap();
        run.stopped(Some(NOW)).unwrap();
        drop(run);
        assert_eq!(previous(directory.path()), PreviousRun::Clean);
        assert_eq!(previous(directory.path()), PreviousRun::Interrupted(Some(NOW)), "nothing was flushed since");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_interrupted_run() {
        let directory = tempfile::tempdir().unwrap();
        for bad in [&b"running"[..], b"\xff\xff", b"stopped 1767225600000 00000000\n", &[0; 64]] {
            std::fs::write(directory.path().join("run"), bad).unwrap();
            let (run, found) = Run::begin(directory.path()).unwrap();
            assert_eq!(found, PreviousRun::Interrupted(None), "{bad:?}");
            run.stopped(None).unwrap();
            drop(run);
            assert_eq!(previous(directory.path()), PreviousRun::Clean, "{bad:?}: nothing is left of it");
        }
    }

    #[test]
    fn a_second_process_is_kept_out() {
        let directory = tempfile::tempdir().unwrap();
        let _first = Run::begin(directory.path()).unwrap();
        assert!(Run::begin(directory.path()).unwrap_err().to_string().contains("another process"));
    }
}

//! Whether the last run ended well, and until when its denials are known to be in the audit.
//!
//! `DATA_DIR/audit/run` is one line, rewritten in place after every flush: `running 1767225600000 <checksum>`, and
//! `stopped …` at a clean end. Its lock keeps a second process out of the directory.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use sha2::{Digest, Sha256};

use crate::domain::Timestamp;

/// How the run before this one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// There was none, or it stopped after its last flush.
    Clean,
    /// It was cut off after the flush of this time, if it had one.
    CutOff(Option<Timestamp>),
}

/// The file of this run.
#[derive(Debug)]
pub(super) struct Run {
    file: File,
}

impl Run {
    /// Takes the directory for this process. A run that was cut off stays so until the first [`Run::flushed`]: by then its
    /// gap is in the audit.
    pub(super) fn begin(directory: &Path) -> io::Result<(Self, Before)> {
        let path = directory.join("run");
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.try_lock().map_err(|cause| match cause {
            TryLockError::WouldBlock => io::Error::other("another process uses this directory"),
            TryLockError::Error(cause) => cause,
        })?;
        let mut text = String::new();
        // What is no text is no line of ours either.
        let _ = file.by_ref().take(256).read_to_string(&mut text);
        let is_new = file.metadata()?.len() == 0;
        let run = Self { file };
        let before = match parse(&text) {
            Some((STOPPED, at)) => {
                run.write(RUNNING, at, true)?;
                Before::Clean
            }
            None if is_new => {
                run.write(RUNNING, None, true)?;
                File::open(directory)?.sync_all()?;
                Before::Clean
            }
            Some((_, at)) => Before::CutOff(at),
            None => Before::CutOff(None),
        };
        Ok((run, before))
    }

    /// Every denial before `at` is on a disk, or counted as lost. A kill does not take back what was written; only the
    /// loss of power may, to the last synced time, and then the gap names that.
    pub(super) fn flushed(&self, at: Timestamp, sync: bool) -> io::Result<()> {
        self.write(RUNNING, Some(at), sync)
    }

    /// Nothing came after the last flush.
    pub(super) fn stopped(&self, at: Option<Timestamp>) -> io::Result<()> {
        self.write(STOPPED, at, true)
    }

    /// In place, in one write within one sector, always as long: it is never half there.
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
    let said = format!("{word} {at:>20}");
    format!("{said} {}\n", check(&said))
}

fn parse(text: &str) -> Option<(&str, Option<Timestamp>)> {
    let (said, checksum) = text.strip_suffix('\n')?.rsplit_once(' ')?;
    let (word, at) = said.split_once(' ')?;
    let at = at.trim_start().parse().ok().map(Timestamp::from_millis);
    (checksum == check(said)).then_some((word, at))
}

fn check(said: &str) -> String {
    let digest = Sha256::digest(said.as_bytes());
    hex::encode(&digest[..4])
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    fn before(directory: &Path) -> Before {
        Run::begin(directory).unwrap().1
    }

    #[test]
    fn a_run_that_was_cut_off_is_known_by_its_last_flush_until_the_next_ones_first() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(before(directory.path()), Before::Clean);
        assert_eq!(before(directory.path()), Before::CutOff(None), "cut off before its first flush");
        let (run, _) = Run::begin(directory.path()).unwrap();
        run.flushed(NOW, false).unwrap();
        drop(run);
        assert_eq!(before(directory.path()), Before::CutOff(Some(NOW)));
        assert_eq!(before(directory.path()), Before::CutOff(Some(NOW)), "cut off before the gap was flushed");
        let (run, _) = Run::begin(directory.path()).unwrap();
        run.stopped(Some(NOW)).unwrap();
        drop(run);
        assert_eq!(before(directory.path()), Before::Clean);
        assert_eq!(before(directory.path()), Before::CutOff(Some(NOW)), "nothing was flushed since");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_run_that_was_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        for bad in [&b"running"[..], b"\xff\xff", b"stopped 1767225600000 00000000\n", &[0; 64]] {
            std::fs::write(directory.path().join("run"), bad).unwrap();
            let (run, found) = Run::begin(directory.path()).unwrap();
            assert_eq!(found, Before::CutOff(None), "{bad:?}");
            run.stopped(None).unwrap();
            drop(run);
            assert_eq!(before(directory.path()), Before::Clean, "{bad:?}: nothing is left of it");
        }
    }

    #[test]
    fn a_second_process_is_kept_out() {
        let directory = tempfile::tempdir().unwrap();
        let _first = Run::begin(directory.path()).unwrap();
        assert!(Run::begin(directory.path()).unwrap_err().to_string().contains("another process"));
    }
}

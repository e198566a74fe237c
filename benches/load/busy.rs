//! How busy the machine was with other programs.

use std::{fs, time::Instant};

/// Cores that others may use before a round says nothing.
pub(crate) const MOST_OTHERS: f64 = 0.10;

/// The processor time of the whole machine and of the measured processes, at one moment.
pub(crate) struct Mark {
    at: Instant,
    /// User and system time, in ticks of 10 ms.
    all: u64,
    ours: u64,
    pids: Vec<u32>,
}

fn machine() -> u64 {
    let text = fs::read_to_string("/proc/stat").expect("Linux");
    let line = text.lines().next().expect("a line");
    let ticks: Vec<u64> = line.split_whitespace().skip(1).map(|word| word.parse().expect("a number")).collect();
    // user, nice, system; the last, steal, is what other virtual machines took.
    ticks[0] + ticks[1] + ticks[2] + ticks[7]
}

/// User and system time of a process in ticks, with that of threads that have ended.
pub(crate) fn ticks(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = text.rsplit(')').next().unwrap_or_default();
    after.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

impl Mark {
    /// Now; `pids` and this process are no others.
    pub(crate) fn now(pids: &[u32]) -> Self {
        let ours = pids.iter().map(|pid| ticks(*pid)).sum::<u64>() + ticks(std::process::id());
        Self { at: Instant::now(), all: machine(), ours, pids: pids.to_vec() }
    }

    /// The cores that others have used since then.
    pub(crate) fn others(&self) -> f64 {
        let now = Self::now(&self.pids);
        let others = (now.all - self.all).saturating_sub(now.ours - self.ours);
        others as f64 / 100.0 / self.at.elapsed().as_secs_f64()
    }
}

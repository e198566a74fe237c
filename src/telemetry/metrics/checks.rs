//! Decisions.

use metrics::{Counter, Histogram, counter, histogram};
use tokio::time::Instant;

use super::table::{CANCELLED, CHECK_DURATION, CHECKS};
use crate::domain::{Mode, Reason};

/// Decision counters and latency.
#[derive(Clone, Debug)]
pub struct CheckMetrics {
    /// By mode.
    allowed: [Vec<Counter>; 3],
    denied: [Vec<Counter>; 3],
    cancelled: Counter,
    duration: Histogram,
}

/// Whether this decision can have this reason in this mode. A series that can never count would only invite alerts on
/// it.
fn is_possible(allow: bool, reason: Reason, mode: Mode) -> bool {
    let judged = reason != Reason::ModeOff;
    match mode {
        Mode::Enforce => judged && (reason == Reason::NoKey || reason.allows() == allow),
        Mode::Observe => judged && (allow != reason.binds_in_observe()),
        Mode::Off if allow => reason == Reason::ModeOff,
        Mode::Off => matches!(reason, Reason::MalformedRequest | Reason::CallerRejected),
    }
}

impl CheckMetrics {
    pub(super) fn register() -> Self {
        let of = |decision, allow, mode: Mode| {
            let series = move |reason: Reason| match is_possible(allow, reason, mode) {
                true => {
                    counter!(CHECKS, "decision" => decision, "reason" => reason.as_str(), "mode" => mode.as_str())
                }
                false => Counter::noop(),
            };
            Reason::ALL.into_iter().map(series).collect()
        };
        Self {
            allowed: Mode::ALL.map(|mode| of("allow", true, mode)),
            denied: Mode::ALL.map(|mode| of("deny", false, mode)),
            cancelled: counter!(CANCELLED),
            duration: histogram!(CHECK_DURATION),
        }
    }

    /// Counts the decision on a check that began at `started`.
    pub fn finished(&self, started: Instant, allowed: bool, reason: Reason, mode: Mode) {
        let series = if allowed { &self.allowed } else { &self.denied };
        series[mode as usize][reason as usize].increment(1);
        self.duration.record(started.elapsed());
    }

    /// Counts a check whose caller left before the decision.
    pub fn cancelled(&self) {
        self.cancelled.increment(1);
    }
}

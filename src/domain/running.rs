//! How long the fleet has run. A key counts as unused only for time in which its uses would have been recorded, so that
//! neither a clock that was set forward, nor a long stop, nor an old snapshot, makes idle keys ownerless at once.

use std::time::Duration;

use super::Timestamp;

/// Replicas report to the store every minute that they run; a longer silence than this is a [`Pause`].
const SILENCE: Duration = Duration::from_secs(600);

/// Replicas estimate the store's clock, and differ by some milliseconds. A clock that is further back than this was set
/// back.
const DIFFERENCE: Duration = Duration::from_secs(60);

/// How long the fleet runs after a pause before its clock is believed.
const SETTLED: Duration = Duration::from_secs(3_600);

/// A time in which no replica ran: a stop, a suspend, the age of a restored snapshot, or a clock that was set forward,
/// which looks the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pause {
    /// When the first replica ran again.
    pub ended_at: Timestamp,
    /// How long none ran.
    pub lasted: Duration,
}

impl Pause {
    /// How long it lasted, in milliseconds, as a store writes it.
    pub fn lasted_millis(&self) -> i64 {
        i64::try_from(self.lasted.as_millis()).unwrap_or(i64::MAX)
    }
}

/// A replica, as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its name, which no other process has.
    pub name: String,
    /// All uses of keys that it has decided up to then are recorded. The epoch if it has never recorded any.
    pub uses_written_at: Timestamp,
    /// When it last read from the store.
    pub seen_at: Timestamp,
}

/// The replica that may have decided uses of keys since `unused_since` that are not recorded: it kept reading from the
/// store after its last write. What it decided in a shorter time than a pause is lost with a process that is killed,
/// and too little to matter.
pub fn unwritten(replicas: &[Replica], unused_since: Timestamp) -> Option<&Replica> {
    replicas.iter().find(|it| it.seen_at >= unused_since && it.seen_at.since(it.uses_written_at) > SILENCE)
}

/// What the store records when a replica runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The last time at which a replica ran.
    pub ran_at: Timestamp,
    /// The pause that ends with this tick.
    pub pause: Option<Pause>,
    /// The clock was set back: pauses that ended later were seen by a clock that was ahead, and are deleted. What is true
    /// of one, the time until now, is the new pause.
    pub forget_after: Option<Timestamp>,
}

impl Tick {
    /// The tick at `now`, after one at `last` and these pauses.
    pub fn new(last: Timestamp, now: Timestamp, pauses: &[Pause]) -> Self {
        let silence_since = |began| {
            let lasted = now.since(began);
            (lasted > SILENCE).then_some(Pause { ended_at: now, lasted })
        };
        if now.after(DIFFERENCE) < last {
            let later = pauses.iter().filter(|pause| pause.ended_at > now);
            let pause = later.map(|pause| pause.ended_at.before(pause.lasted)).min().and_then(silence_since);
            return Self { ran_at: now, pause, forget_after: Some(now) };
        }
        Self { ran_at: now.max(last), pause: silence_since(last), forget_after: None }
    }
}

/// The moment since which the fleet ran for `running`, by the clock `now`.
pub fn began(now: Timestamp, running: Duration, pauses: &[Pause]) -> Timestamp {
    let mut newest_first = pauses.to_vec();
    newest_first.sort_unstable_by(|a, b| b.cmp(a));
    newest_first.into_iter().fold(now.before(running), |began, pause| {
        if pause.ended_at > began { began.before(pause.lasted) } else { began }
    })
}

/// How far the clock `now` may be ahead: the pauses that ended a short time ago may have been a clock that was set forward.
pub fn unsettled(now: Timestamp, pauses: &[Pause]) -> Duration {
    pauses.iter().filter(|pause| now.since(pause.ended_at) < SETTLED).map(|pause| pause.lasted).sum()
}

/// Whether a clock that gained `ahead` on the monotonic clock was set forward.
pub fn is_jump(ahead: Duration) -> bool {
    ahead > SILENCE
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn day(days: u32) -> Timestamp {
        Timestamp::from_millis(0).after(DAY * days)
    }

    fn pause(ended: u32, lasted: u32) -> Pause {
        Pause { ended_at: day(ended), lasted: DAY * lasted }
    }

    #[test]
    fn only_time_in_which_the_fleet_ran_counts() {
        for (pauses, expected) in [
            (&[][..], day(910)),
            (&[pause(950, 30)], day(880)),
            // Before the time that counts.
            (&[pause(910, 30), pause(900, 5)], day(910)),
            // The first pause moves the beginning before the end of the second.
            (&[pause(900, 5), pause(950, 30)], day(875)),
            (&[pause(1_000, 91)], day(819)),
        ] {
            assert_eq!(began(day(1_000), DAY * 90, pauses), expected, "{pauses:?}");
        }
    }

    #[test]
    fn a_replica_that_reads_and_does_not_write_may_know_of_uses() {
        let replica =
            |written, seen| Replica { name: String::new(), uses_written_at: day(written), seen_at: day(seen) };
        for (written, seen, waits) in
            [(100, 100, false), (1, 100, true), (1, 40, true), (1, 39, false), (99, 98, false)]
        {
            assert_eq!(unwritten(&[replica(written, seen)], day(40)).is_some(), waits, "{written} {seen}");
        }
        let short = Replica { seen_at: day(100).after(SILENCE), ..replica(100, 100) };
        assert_eq!(unwritten(&[short], day(40)), None);
    }

    #[test]
    fn a_clock_is_believed_an_hour_after_a_pause() {
        let pauses = [pause(10, 3), pause(100, 91)];
        assert_eq!(unsettled(day(100), &pauses), DAY * 91);
        assert_eq!(unsettled(day(100).after(SETTLED), &pauses), Duration::ZERO);
        assert_eq!(unsettled(day(10).after(SETTLED / 2), &pauses[..1]), DAY * 3);
    }

    #[test]
    fn a_silence_is_a_pause_and_a_clock_that_is_set_back_forgets_what_it_saw_ahead() {
        let minute = Duration::from_secs(60);
        let tick = |last, now| Tick::new(last, now, &[]);
        assert_eq!(tick(day(1), day(1).after(minute)).pause, None);
        assert_eq!(tick(day(1), day(1).after(SILENCE)).pause, None);
        assert_eq!(tick(day(1), day(92)).pause, Some(pause(92, 91)));
        let nearly_equal = tick(day(1), day(1).before(Duration::from_millis(5)));
        assert_eq!(nearly_equal, Tick { ran_at: day(1), pause: None, forget_after: None });
        assert_eq!(tick(day(92), day(1)), Tick { ran_at: day(1), pause: None, forget_after: Some(day(1)) });
        assert_eq!(Tick::new(day(92), day(1), &[pause(92, 91)]).pause, None, "nothing of it was true");
        let ahead_by_a_day = Tick::new(day(32), day(31), &[pause(5, 1), pause(32, 31)]);
        assert_eq!(ahead_by_a_day.pause, Some(pause(31, 30)), "what was true of it stays");
    }
}

//! The clock of the store, and how far this process is behind the store.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::Duration,
};

use nix::time::{ClockId, clock_gettime};
use tokio::{sync::watch, time::Instant};

use super::{Changes, Revision, WriteState};
use crate::domain::{Timestamp, running};

/// The last known clock of the store, advanced by the monotonic clock of this process; the time of the last successful
/// poll; and the last applied revision.
///
/// Read on every request: plain atomics, no lock.
#[derive(Debug)]
pub struct ReplicaState {
    /// The origin of the monotonic milliseconds below.
    origin: Instant,
    /// The clock of the store minus the monotonic milliseconds, or [`NEVER`].
    offset: AtomicI64,
    /// Monotonic milliseconds of the last successful poll, or [`NEVER`].
    polled: AtomicI64,
    /// How long the machine has been suspended in all, which the monotonic clock does not count.
    suspended: fn() -> Duration,
    /// The same at the last successful poll, in seconds.
    suspended_at_poll: AtomicU64,
    /// How far the store's clock may be ahead, in milliseconds.
    unsettled: AtomicU64,
    /// How often that clock was seen to be set forward.
    jumps: AtomicU64,
    /// `None` before the first successful poll.
    applied: watch::Sender<Option<Revision>>,
    writes: WriteState,
}

const NEVER: i64 = i64::MIN;

/// What is known of the store at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The moment on the clock of the store; `None` before the first successful poll.
    pub time: Option<Timestamp>,
    /// How far that clock may be ahead.
    pub unsettled: Duration,
    /// How long before it the last successful poll was.
    pub since_poll: Option<Duration>,
    /// Whether that is within the grace that was asked for.
    pub is_fresh: bool,
}

impl ReplicaState {
    /// A state before the first poll. `now` is any moment not after the first use.
    pub fn new(now: Instant) -> Self {
        Self::with_suspend(now, suspended)
    }

    /// Like [`ReplicaState::new`]; `suspended` returns how long the machine has been suspended since its start.
    pub fn with_suspend(now: Instant, suspended: fn() -> Duration) -> Self {
        Self {
            origin: now,
            suspended,
            suspended_at_poll: AtomicU64::new(0),
            offset: AtomicI64::new(NEVER),
            polled: AtomicI64::new(NEVER),
            unsettled: AtomicU64::new(0),
            jumps: AtomicU64::new(0),
            applied: watch::Sender::new(None),
            writes: WriteState::default(),
        }
    }

    /// Whether the store accepts writes.
    pub fn writes(&self) -> &WriteState {
        &self.writes
    }

    /// The state at `at`, which is what a decision needs; the clocks are read once.
    pub fn moment(&self, at: Instant, grace: Duration) -> Moment {
        let slept = self.slept();
        let time = match self.offset.load(Ordering::Acquire) {
            NEVER => None,
            offset => Some(Timestamp::from_millis(offset.saturating_add(self.monotonic(at))).after(slept)),
        };
        let pause = if running::is_jump(slept) { slept } else { Duration::ZERO };
        let unsettled = Duration::from_millis(self.unsettled.load(Ordering::Relaxed)).saturating_add(pause);
        let since_poll = match self.polled.load(Ordering::Relaxed) {
            NEVER => None,
            polled => {
                let awake = Duration::from_millis(u64::try_from(self.monotonic(at) - polled).unwrap_or(0));
                Some(awake.saturating_add(slept))
            }
        };
        Moment { time, unsettled, since_poll, is_fresh: since_poll.is_some_and(|since| since <= grace) }
    }

    /// The moment `at` on the clock of the store; `None` before the first successful poll.
    pub fn time(&self, at: Instant) -> Option<Timestamp> {
        self.moment(at, Duration::ZERO).time
    }

    /// How far the store's clock may be ahead: no ban ends by that much of it. A suspend since the last poll is a pause.
    pub fn unsettled(&self) -> Duration {
        self.moment(self.origin, Duration::ZERO).unsettled
    }

    /// Sets how far the store's clock may be ahead.
    pub fn set_unsettled(&self, unsettled: Duration) {
        self.unsettled.store(u64::try_from(unsettled.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How often the store's clock was seen to be set forward. What was read from the store before a jump says nothing
    /// about the clock after it.
    pub fn jumps(&self) -> u64 {
        self.jumps.load(Ordering::Relaxed)
    }

    /// How long before `at` the last successful poll was; `None` before the first.
    pub fn since_poll(&self, at: Instant) -> Option<Duration> {
        self.moment(at, Duration::ZERO).since_poll
    }

    /// Whether the last successful poll was at most `grace` before `at`.
    pub fn is_fresh(&self, at: Instant, grace: Duration) -> bool {
        self.moment(at, grace).is_fresh
    }

    /// The last revision that this process has applied.
    pub fn applied(&self) -> Revision {
        self.applied.borrow().unwrap_or_default()
    }

    /// Waits until this process has applied `revision`; any first poll satisfies the default one.
    pub async fn has_applied(&self, revision: Revision) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.applied.subscribe().wait_for(|applied| *applied >= Some(revision)).await;
    }

    /// Records a successful poll that was answered at `at`, after the caches have applied its changes.
    pub fn polled(&self, changes: &Changes, at: Instant) {
        let at = self.monotonic(at);
        let offset = changes.now.as_millis().saturating_sub(at);
        // Only the poll writes it.
        let before = self.offset.load(Ordering::Relaxed);
        let ahead = Duration::from_millis(u64::try_from(offset.saturating_sub(before)).unwrap_or(0));
        if before != NEVER && running::is_jump(ahead) {
            // Until the next tick of the store, which records a pause. Before the clock itself, with which bans would end.
            let unsettled = Duration::from_millis(self.unsettled.load(Ordering::Relaxed));
            self.jumps.fetch_add(1, Ordering::Relaxed);
            self.set_unsettled(unsettled.saturating_add(ahead));
        }
        self.offset.store(offset, Ordering::Release);
        self.polled.store(at, Ordering::Relaxed);
        self.suspended_at_poll.store((self.suspended)().as_secs(), Ordering::Relaxed);
        // Not the maximum: a restored store goes back, and its next changes take revisions that were used before.
        let revision = Some(changes.revision);
        self.applied.send_if_modified(|applied| std::mem::replace(applied, revision) != revision);
    }

    fn monotonic(&self, at: Instant) -> i64 {
        i64::try_from(at.saturating_duration_since(self.origin).as_millis()).unwrap_or(i64::MAX)
    }

    /// How long the machine was suspended since the last poll, in whole seconds.
    fn slept(&self) -> Duration {
        let asleep = (self.suspended)().as_secs().saturating_sub(self.suspended_at_poll.load(Ordering::Relaxed));
        // The clocks are read one after the other, so one second may be none.
        Duration::from_secs(if asleep > 1 { asleep } else { 0 })
    }
}

/// Two reads of clocks that need no system call. Where there is no such clock, no suspend is noticed before the next poll.
fn suspended() -> Duration {
    let read = |clock| clock_gettime(clock).map(Duration::from);
    match (read(ClockId::CLOCK_BOOTTIME), read(ClockId::CLOCK_MONOTONIC)) {
        (Ok(boot), Ok(awake)) => boot.saturating_sub(awake),
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::Pepper, store::HistoryId};

    static SUSPENDED: AtomicU64 = AtomicU64::new(0);

    /// The monotonic clock stands still while a virtual machine is suspended, so facts that were hours old looked fresh.
    #[test]
    fn a_suspend_makes_what_is_known_stale_and_is_a_pause() {
        const HOUR: Duration = Duration::from_secs(3_600);
        let (start, grace) = (Instant::now(), Duration::from_secs(600));
        let state = ReplicaState::with_suspend(start, || Duration::from_secs(SUSPENDED.load(Ordering::Relaxed)));
        let clock = Timestamp::from_millis(1_767_225_600_000);
        SUSPENDED.store(86_400, Ordering::Relaxed);
        state.polled(&changes(clock), start);
        assert!(state.is_fresh(start, grace), "what was before the process does not count");
        assert_eq!((state.time(start), state.unsettled()), (Some(clock), Duration::ZERO));

        SUSPENDED.fetch_add(3_600, Ordering::Relaxed);
        assert!(!state.is_fresh(start, grace));
        assert_eq!(state.since_poll(start), Some(HOUR));
        assert_eq!((state.time(start), state.unsettled()), (Some(clock.after(HOUR)), HOUR), "no ban ends by it");

        state.polled(&changes(clock.after(HOUR)), start);
        assert!(state.is_fresh(start, grace));
        assert_eq!(state.time(start), Some(clock.after(HOUR)));
        assert_eq!(state.unsettled(), HOUR, "until the store has recorded the pause");
    }

    /// Sabotage: without the block of `is_jump` in `polled`.
    #[test]
    fn a_clock_that_is_set_forward_under_way_ends_no_ban() {
        const DAYS: Duration = Duration::from_hours(24 * 91);
        let (start, clock) = (Instant::now(), Timestamp::from_millis(1_767_225_600_000));
        let state = ReplicaState::with_suspend(start, || Duration::ZERO);
        state.polled(&changes(clock), start);
        assert_eq!((state.jumps(), state.unsettled()), (0, Duration::ZERO));
        state.polled(&changes(clock.after(DAYS)), start);
        assert_eq!((state.jumps(), state.unsettled()), (1, DAYS));
        state.polled(&changes(clock), start);
        assert_eq!((state.jumps(), state.unsettled()), (1, DAYS), "until the store has seen it");
    }

    #[test]
    fn a_machine_that_is_awake_does_not_sleep() {
        let state = ReplicaState::new(Instant::now());
        state.polled(&changes(Timestamp::from_millis(0)), Instant::now());
        assert!((0..10_000).all(|_| state.slept().is_zero()));
    }

    fn changes(now: Timestamp) -> Changes {
        Changes {
            now,
            revision: Revision::default(),
            changed: Vec::new(),
            complete_from: Revision::default(),
            history: HistoryId::default(),
            active_pepper: Pepper::new(&[7; 32]).unwrap().id(),
            other_peppers: Vec::new(),
        }
    }
}

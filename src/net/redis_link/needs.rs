//! What Sentinel needs of Redis, and what Redis refuses: by an ACL, as a read-only replica, or because its memory is full.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use metrics::Gauge;
use tokio::time::Instant;
use tracing::{info, warn};

/// Something without which Redis is of less use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Need {
    /// Facts are read.
    Read,
    /// Facts are shared.
    Write,
    /// Changes are published.
    Publish,
    /// Changes are received.
    Subscribe,
}

impl Need {
    /// The command of Redis.
    fn command(self) -> &'static str {
        match self {
            Self::Read => "MGET",
            Self::Write => "SET",
            Self::Publish => "PUBLISH",
            Self::Subscribe => "SUBSCRIBE",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Why a need is not met.
pub(super) enum Cause {
    /// Redis answers, with an error.
    Refused(String),
    /// Redis does not answer on a connection of its own, but on another one.
    Failed(String),
}

/// The needs that are met, and the gauge that is 1 while all are.
pub(super) struct Needs {
    /// One bit for each need that is not met, for readers without a lock.
    unmet: AtomicU8,
    state: Mutex<State>,
    up: Gauge,
}

#[derive(Default)]
struct State {
    is_connected: bool,
    /// When each cause was logged.
    logged: HashMap<(Need, String), Instant>,
    /// One bit for each unmet need whose cause was logged.
    open: u8,
}

/// A cause that comes and goes is logged once in this time.
const REPEAT: Duration = Duration::from_mins(10);

/// The most causes to remember: the texts are those of the server.
const CAUSES: usize = 16;

impl Needs {
    pub(super) fn new(up: Gauge) -> Self {
        Self { unmet: AtomicU8::new(0), state: Mutex::default(), up }
    }

    pub(super) fn is_met(&self, need: Need) -> bool {
        self.unmet.load(Ordering::Relaxed) & need.bit() == 0
    }

    /// Whether something is refused on the shared connection, which is therefore checked again.
    pub(super) fn must_check(&self) -> bool {
        [Need::Read, Need::Write, Need::Publish].into_iter().any(|need| !self.is_met(need))
    }

    pub(super) fn connected(&self, is_connected: bool) {
        let mut state = self.state();
        state.is_connected = is_connected;
        self.show(&state);
    }

    pub(super) fn met(&self, need: Need) {
        if self.is_met(need) {
            return;
        }
        let mut state = self.state();
        self.unmet.fetch_and(!need.bit(), Ordering::Relaxed);
        if state.open & need.bit() != 0 {
            state.open &= !need.bit();
            info!(command = need.command(), "Redis accepts the command again");
        }
        self.show(&state);
    }

    /// Without a `cause`, the shared connection failed too, which is logged as such.
    pub(super) fn unmet(&self, need: Need, cause: Option<Cause>) {
        let mut state = self.state();
        self.unmet.fetch_or(need.bit(), Ordering::Relaxed);
        if let Some(cause) = cause {
            state.log(need, cause);
        }
        self.show(&state);
    }

    fn show(&self, state: &State) {
        let is_up = state.is_connected && self.unmet.load(Ordering::Relaxed) == 0;
        self.up.set(if is_up { 1.0 } else { 0.0 });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn log(&mut self, need: Need, cause: Cause) {
        let (is_refusal, text) = match cause {
            Cause::Refused(text) => (true, text),
            Cause::Failed(text) => (false, text),
        };
        let (now, id) = (Instant::now(), (need, text));
        if self.logged.get(&id).is_some_and(|logged| now.duration_since(*logged) < REPEAT) {
            return;
        }
        self.open |= need.bit();
        let (command, cause) = (need.command(), &id.1);
        if is_refusal {
            warn!(
                command,
                cause,
                "Redis refuses a command that Sentinel needs; the store does its work. docs/replicas.md lists the rights"
            );
        } else {
            warn!(command, cause, "a connection to Redis fails again and again, although another one works");
        }
        if self.logged.len() >= CAUSES {
            self.logged.clear();
        }
        self.logged.insert(id, now);
    }
}

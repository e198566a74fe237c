//! The threads that serve HTTP/2 connections, each with a runtime of its own: one for each core, apart from the runtime
//! of the store, the audit and the commands, so that these cannot delay a check, and so that a check stays on one core.
//! A runtime that shares its tasks among threads costs more than the decision.

use std::{io, num::NonZero, sync::Arc, thread};

use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot},
};

use super::{accept::Connection, caller::Trust};

/// A connection to serve.
pub(super) type Accepted = (Connection, Trust);

/// Running threads. Dropping it ends them and closes their connections.
pub(super) struct Workers {
    connections: Vec<mpsc::UnboundedSender<Accepted>>,
    next: usize,
    ended: Vec<oneshot::Receiver<()>>,
    _running: Vec<oneshot::Sender<()>>,
}

impl Workers {
    /// Starts a thread for each core that this process may use. Each runs `serve`, which must end when it has received
    /// the last connection and has served it.
    pub(super) fn start<F>(
        serve: impl Fn(mpsc::UnboundedReceiver<Accepted>) -> F + Send + Sync + 'static,
    ) -> io::Result<Self>
    where
        F: Future<Output = ()>,
    {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let serve = Arc::new(serve);
        let mut workers = Self { connections: Vec::new(), next: 0, ended: Vec::new(), _running: Vec::new() };
        for core in 0..cores {
            let (sender, receiver) = mpsc::unbounded_channel();
            let (end, ended) = oneshot::channel();
            let (running, dropped) = oneshot::channel::<()>();
            let (serve, runtime) = (Arc::clone(&serve), Builder::new_current_thread().enable_all().build()?);
            thread::Builder::new().name(format!("checks-{core}")).spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = serve(receiver) => {}
                        _ = dropped => {}
                    }
                });
                drop(runtime);
                // The receiver may be gone, with all others.
                let _ = end.send(());
            })?;
            workers.connections.push(sender);
            workers.ended.push(ended);
            workers._running.push(running);
        }
        Ok(workers)
    }

    /// Gives the connection to the next thread: an Envoy opens one for each of its own threads, at once.
    pub(super) fn serve(&mut self, accepted: Accepted) {
        let worker = &self.connections[self.next % self.connections.len()];
        self.next = self.next.wrapping_add(1);
        // A thread ends only with this value.
        let _ = worker.send(accepted);
    }

    /// Waits until every thread has served its last connection.
    pub(super) async fn drain(mut self) {
        self.connections.clear();
        for ended in self.ended.drain(..) {
            let _ = ended.await;
        }
    }
}

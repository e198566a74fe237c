//! An HTTP/2 server for Envoy.
//!
//! hyper itself, not the server of tonic: tonic answers a call whose `grpc-timeout` has passed with a gRPC status,
//! which Envoy treats as a failure of Sentinel, and no option turns that off.

use std::{collections::VecDeque, error::Error, time::Duration};

use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    server::conn::http2,
    service::Service,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::Instant,
};
use tracing::debug;

use super::{
    accept::Acceptor,
    caller::{Callers, Trust},
    meter::Metered,
};

/// Envoy has one connection per worker and resets the calls of clients that disconnect. The limits of hyper (20 resets
/// not yet accepted, 200 streams) are made for untrusted peers: here, many disconnecting clients would cost Envoy the
/// connection, and with it the checks of all other clients. Callers that are not known yet have [`Metered`]'s limits.
const MAX_RESETS: usize = 65_536;

/// A connection without traffic for this long is asked for a sign of life (PING), and closed without one, so that a
/// silent connection does not keep its file indefinitely.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How long the answer to that PING may take.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that have not shown the caller's token, at a time.
const MOST_UNKNOWN: usize = 1_024;

type Fault = Box<dyn Error + Send + Sync>;

/// Serves until `stop` resolves, then sends GOAWAY and waits for the last call. Dropping the future closes open
/// connections. `service` makes the service of a connection, which earns its trust by calls from `callers`.
pub async fn serve<S, B>(
    service: impl Fn(Trust) -> S,
    callers: Callers,
    acceptor: Acceptor,
    stop: impl Future<Output = ()>,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<Fault>, Future: Send> + Clone + Send + 'static,
    S::Future: 'static,
    B: Body<Data: Send, Error: Into<Fault>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let mut unknown = Unknown { most: (acceptor.slots() / 2).min(MOST_UNKNOWN), connections: VecDeque::new() };
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => continue,
            accepted = acceptor.accept() => accepted,
        };
        let trust = Trust::of(&callers);
        let stream = Metered::new(accepted, trust.clone(), Instant::now());
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .auto_date_header(false)
            .keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .max_concurrent_streams(None)
            .max_pending_accept_reset_streams(MAX_RESETS)
            .serve_connection(TokioIo::new(stream), service(trust.clone()));
        let connection = graceful.watch(connection);
        let task = connections.spawn(async move {
            if let Err(cause) = connection.await {
                debug!(%cause, "a connection failed");
            }
        });
        unknown.add(task, trust);
    }
    drop(acceptor);
    graceful.shutdown().await;
}

/// The connections that have not shown the caller's token. The oldest is closed for a new one beyond `most`: Envoy shows
/// the token with its first call, so callers without it cannot keep Envoy out.
struct Unknown {
    most: usize,
    connections: VecDeque<(AbortHandle, Trust)>,
}

impl Unknown {
    fn add(&mut self, connection: AbortHandle, trust: Trust) {
        if trust.is_given() {
            return;
        }
        self.connections.push_back((connection, trust));
        if self.connections.len() > self.most {
            self.connections.retain(|(connection, trust)| !trust.is_given() && !connection.is_finished());
        }
        if self.connections.len() > self.most
            && let Some((oldest, _)) = self.connections.pop_front()
        {
            oldest.abort();
        }
    }
}

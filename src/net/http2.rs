//! An HTTP/2 server for Envoy.
//!
//! hyper itself, not the server of tonic: tonic answers a call whose `grpc-timeout` has passed with a gRPC status,
//! which Envoy treats as a failure of Sentinel, and no option turns that off.

use std::{error::Error, io, sync::Arc, time::Duration};

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
use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tracing::debug;

use super::{
    accept::Acceptor,
    caller::{Callers, Trust},
    meter::Metered,
    open_calls::Counted,
    workers::{Accepted, Workers},
};

/// Envoy has one connection per worker and resets the calls of clients that disconnect. The limits of hyper (20 resets
/// not yet accepted, 200 streams) are made for untrusted peers: here, many disconnecting clients would cost Envoy the
/// connection, and with it the checks of all other clients. Callers that are not known yet have the limits of [`Metered`] and [`Counted`].
const MAX_RESETS: usize = 65_536;

/// A connection without traffic for this long is asked for a sign of life (PING), and closed without one, so that a
/// silent connection does not keep its file indefinitely.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How long the answer to that PING may take.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that have not shown the caller's token, at a time. Envoy shows it with its first call, so callers without
/// it cannot keep Envoy out, and all of them together use some 100 MiB at most.
const MOST_UNKNOWN: usize = 256;

type Fault = Box<dyn Error + Send + Sync>;

/// Starts the threads of the server. The result serves until `stop` resolves, then sends GOAWAY and waits for the last
/// call; dropping it closes open connections. `service` makes the service of a connection, which grants its trust to calls
/// from `callers`.
pub fn serve<S, B>(
    service: impl Fn(Trust) -> S + Send + Sync + 'static,
    callers: Callers,
    acceptor: Acceptor,
    stop: impl Future<Output = ()>,
) -> io::Result<impl Future<Output = ()>>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<Fault>, Future: Send + Unpin>
        + Clone
        + Send
        + 'static,
    S::Future: 'static,
    B: Body<Data: Send, Error: Into<Fault>> + Send + Unpin + 'static,
{
    let mut acceptor = acceptor.with_unknown(MOST_UNKNOWN);
    let service = Arc::new(service);
    let mut workers = Workers::start(move |connections| serve_each(Arc::clone(&service), connections))?;
    Ok(async move {
        tokio::pin!(stop);
        loop {
            let trust = Trust::of(&callers);
            tokio::select! {
                () = &mut stop => break,
                accepted = acceptor.accept(&trust) => workers.serve((accepted, trust)),
            }
        }
        drop(acceptor);
        workers.drain().await;
    })
}

/// Serves connections on the current thread until there are no more, then sends GOAWAY and waits for the last call.
async fn serve_each<S, B>(service: Arc<impl Fn(Trust) -> S>, mut accepted: mpsc::UnboundedReceiver<Accepted>)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<Fault>, Future: Send + Unpin>
        + Clone
        + Send
        + 'static,
    S::Future: 'static,
    B: Body<Data: Send, Error: Into<Fault>> + Send + Unpin + 'static,
{
    let mut connections = JoinSet::new();
    let graceful = GracefulShutdown::new();
    while let Some((connection, trust)) = accepted.recv().await {
        while connections.try_join_next().is_some() {}
        // It fails only without memory for the reactor, and then closes the connection.
        let Ok(connection) = connection.adopted() else { continue };
        let stream = Metered::new(connection, trust.clone(), Instant::now());
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .auto_date_header(false)
            .keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .max_concurrent_streams(None)
            .max_pending_accept_reset_streams(MAX_RESETS)
            .serve_connection(TokioIo::new(stream), Counted::new(service(trust.clone()), trust));
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(cause) = connection.await {
                debug!(%cause, "a connection failed");
            }
        });
    }
    graceful.shutdown().await;
}

//! An HTTP/2 server for Envoy.
//!
//! hyper itself, not the server of tonic: tonic answers a call whose `grpc-timeout` has passed with a gRPC status,
//! which Envoy treats as a failure of Sentinel, and no option turns that off.

use std::{error::Error, io, time::Duration};

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
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
    time::sleep,
};
use tracing::{debug, warn};

use super::listen::Listener;

/// Envoy has one connection per worker and resets the calls of clients that disconnect. The limits of hyper (20 resets
/// not yet accepted, 200 streams) are made for untrusted peers: here, many disconnecting clients would cost Envoy the
/// connection, and with it the checks of all other clients.
const MAX_RESETS: usize = 65_536;

/// Pause after a failed accept: while the file limit of the process is reached, an immediate retry would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

type Fault = Box<dyn Error + Send + Sync>;

/// Serves until `stop` resolves, then sends GOAWAY and waits for the last call. Dropping the future closes open
/// connections.
pub async fn serve<S, B>(service: S, listener: Listener, stop: impl Future<Output = ()>)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error: Into<Fault>, Future: Send> + Clone + Send + 'static,
    S::Future: 'static,
    B: Body<Data: Send, Error: Into<Fault>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener) => accepted,
        };
        match accepted {
            Ok(stream) => {
                let connection = http2::Builder::new(TokioExecutor::new())
                    .timer(TokioTimer::new())
                    .auto_date_header(false)
                    .max_concurrent_streams(None)
                    .max_pending_accept_reset_streams(MAX_RESETS)
                    .serve_connection(TokioIo::new(stream), service.clone());
                let connection = graceful.watch(connection);
                connections.spawn(async move {
                    if let Err(cause) = connection.await {
                        debug!(%cause, "a connection failed");
                    }
                });
            }
            Err(cause) => {
                warn!(%cause, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    graceful.shutdown().await;
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn accept(listener: &Listener) -> io::Result<Box<dyn Stream>> {
    match listener {
        Listener::Tcp(tcp) => {
            let (stream, _) = tcp.accept().await?;
            // An answer is one small write, which Nagle's algorithm would delay.
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        Listener::Unix(unix) => Ok(Box::new(unix.accept().await?.0)),
    }
}

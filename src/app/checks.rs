//! The HTTP/2 server that Envoy connects to.
//!
//! hyper itself, not `tonic::transport::Server`: that one answers a call whose `grpc-timeout` has passed with a gRPC
//! status, which Envoy takes for our failure, and no option turns it off.

use std::{convert::Infallible, io, time::Duration};

use futures_util::future::BoxFuture;
use hyper::{body::Incoming, server::conn::http2};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
    time::sleep,
};
use tonic::body::Body;
use tonic_health::pb::health_server::{Health, HealthServer};
use tower::Service;
use tracing::{debug, warn};

use crate::{ext_authz::Server, net::listen::Listener};

/// Envoy has one connection a worker and resets the calls of clients that hang up. hyper's limits (20 resets not yet
/// accepted, 200 streams) are for strangers: here a crowd of hanging-up clients would cost Envoy the connection, and
/// with it the checks of everyone else.
const MAX_RESETS: usize = 65_536;

/// The process's file limit is reached: accepting again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Checks, and gRPC health on the same port: what is probed is what serves.
pub(super) struct Services<H: Health> {
    pub(super) checks: Server,
    pub(super) health: HealthServer<H>,
}

impl<H: Health> Clone for Services<H> {
    fn clone(&self) -> Self {
        Self { checks: self.checks.clone(), health: self.health.clone() }
    }
}

impl<H: Health> hyper::service::Service<http::Request<Incoming>> for Services<H> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        let request = request.map(Body::new);
        match request.uri().path().starts_with("/grpc.health.v1.Health/") {
            true => self.health.clone().call(request),
            false => self.checks.clone().call(request),
        }
    }
}

/// Serves until `stop` resolves; then sends GOAWAY and waits for the last call. Dropped, it cuts what is open.
pub(super) async fn serve<H: Health>(services: Services<H>, listener: Listener, stop: impl Future<Output = ()>) {
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
                    .serve_connection(TokioIo::new(stream), services.clone());
                let connection = graceful.watch(connection);
                connections.spawn(async move {
                    if let Err(cause) = connection.await {
                        debug!(%cause, "a connection ended");
                    }
                });
            }
            Err(cause) => {
                warn!(%cause, "a connection could not be accepted");
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
            // An answer is one small write: Nagle's algorithm would hold it back.
            stream.set_nodelay(true)?;
            Ok(Box::new(stream))
        }
        Listener::Unix(unix) => Ok(Box::new(unix.accept().await?.0)),
    }
}

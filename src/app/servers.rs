//! The operators' server and the probes' server, each on whichever kind of socket it got. They live as long as the
//! process.

use axum::Router as HttpRouter;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::transport::server::Router;

use super::Fatal;
use crate::net::listen::Listener;

/// The admin API.
pub(super) async fn admin(router: Router, listener: Listener) -> Result<(), Fatal> {
    match listener {
        Listener::Tcp(tcp) => router.serve_with_incoming(TcpListenerStream::new(tcp)).await?,
        Listener::Unix(unix) => router.serve_with_incoming(UnixListenerStream::new(unix)).await?,
    }
    Ok(())
}

/// `listen.http`.
pub(super) async fn http(router: HttpRouter, listener: Listener) -> Result<(), Fatal> {
    match listener {
        Listener::Tcp(tcp) => axum::serve(tcp, router).await?,
        Listener::Unix(unix) => axum::serve(unix, router).await?,
    }
    Ok(())
}

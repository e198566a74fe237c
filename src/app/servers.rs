//! A server on whichever kind of socket it got.

use axum::Router as HttpRouter;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::server::{Router, TcpIncoming};

use super::Fatal;
use crate::listen::Listener;

/// Serves gRPC until `stop` resolves and the last connection has ended.
pub(super) async fn grpc(
    router: Router,
    listener: Listener,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), Fatal> {
    match listener {
        Listener::Tcp(tcp) => {
            let incoming = TcpIncoming::from(tcp).with_nodelay(Some(true));
            router.serve_with_incoming_shutdown(incoming, stop).await?;
        }
        Listener::Unix(unix) => {
            router.serve_with_incoming_shutdown(UnixListenerStream::new(unix), stop).await?;
        }
    }
    Ok(())
}

/// Serves HTTP for as long as the process lives.
pub(super) async fn http(router: HttpRouter, listener: Listener) -> Result<(), Fatal> {
    match listener {
        Listener::Tcp(tcp) => axum::serve(tcp, router).await?,
        Listener::Unix(unix) => axum::serve(unix, router).await?,
    }
    Ok(())
}

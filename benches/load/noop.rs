//! The yardstick: what a Rust team would write on day one. tonic and envoy-types, which decodes every `CheckRequest`
//! and always answers OK, on one thread.

use std::{fs, net::TcpListener};

use envoy_types::ext_authz::v3::{
    CheckResponseExt,
    pb::{Authorization, AuthorizationServer, CheckRequest, CheckResponse},
};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::{Request, Response, Status, transport::Server};

#[derive(Default)]
struct Noop;

#[tonic::async_trait]
impl Authorization for Noop {
    async fn check(&self, _request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Ok(Response::new(CheckResponse::with_status(Status::ok("request is valid"))))
    }
}

/// Serves on `address` (`IP:PORT` or `unix:PATH`) until the process is killed.
pub(crate) fn serve(address: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let server = Server::builder().add_service(AuthorizationServer::new(Noop));
        match address.strip_prefix("unix:") {
            Some(path) => {
                let _ = fs::remove_file(path);
                let listener = tokio::net::UnixListener::bind(path).expect("a free path");
                server.serve_with_incoming(UnixListenerStream::new(listener)).await
            }
            None => {
                let listener = TcpListener::bind(address).expect("a free port");
                listener.set_nonblocking(true).expect("a socket");
                let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
                let incoming = async_stream::stream! {
                    let mut listener = TcpListenerStream::new(listener);
                    while let Some(stream) = tokio_stream::StreamExt::next(&mut listener).await {
                        if let Ok(stream) = &stream {
                            let _ = stream.set_nodelay(true);
                        }
                        yield stream;
                    }
                };
                server.serve_with_incoming(incoming).await
            }
        }
        .expect("a server");
    });
}

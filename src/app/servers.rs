//! The services of each listener. The admin and HTTP servers run until the process ends.

use std::{convert::Infallible, sync::Arc};

use axum::Router;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::{body::Body, transport};
use tonic_health::pb::health_server::{Health, HealthServer};
use tower::Service;

use super::shutdown::Fatal;
use crate::{admin, ext_authz::Server, net::listen::Listener};

/// `listen.grpc`: checks, and gRPC health on the same port, so that a probe tests the port that serves.
pub(super) struct ChecksAndHealth<H: Health> {
    pub(super) checks: Server,
    pub(super) health: HealthServer<H>,
}

impl<H: Health> Clone for ChecksAndHealth<H> {
    fn clone(&self) -> Self {
        Self { checks: self.checks.clone(), health: self.health.clone() }
    }
}

impl<H: Health> hyper::service::Service<http::Request<Incoming>> for ChecksAndHealth<H> {
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

/// `listen.admin`.
pub(super) async fn admin(service: Arc<admin::service::Service>, listener: Listener) -> Result<(), Fatal> {
    let router = transport::Server::builder().add_service(admin::grpc::server(service));
    match listener {
        Listener::Tcp(tcp) => router.serve_with_incoming(TcpListenerStream::new(tcp)).await?,
        Listener::Unix(unix) => router.serve_with_incoming(UnixListenerStream::new(unix)).await?,
    }
    Ok(())
}

/// `listen.http`.
pub(super) async fn http(router: Router, listener: Listener) -> Result<(), Fatal> {
    match listener {
        Listener::Tcp(tcp) => axum::serve(tcp, router).await?,
        Listener::Unix(unix) => axum::serve(unix, router).await?,
    }
    Ok(())
}

//! The services of each listener. The admin and HTTP servers run until the process ends.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use async_stream::stream;
use axum::Router;
use futures_util::{
    TryFutureExt,
    future::{BoxFuture, Either, MapOk},
};
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::task::JoinSet;
use tonic::{
    body::Body,
    transport::{
        self,
        server::{Connected, UdsConnectInfo},
    },
};
use tonic_health::pb::health_server::{Health, HealthServer};
use tower::Service;
use tracing::debug;

use super::shutdown::Fatal;
use crate::{
    admin,
    ext_authz::{AnswerBody, Check, Server},
    net::{
        accept::{Acceptor, Connection},
        caller::Trust,
    },
};

/// How long a client of `listen.http` may take for the headers of its first and of each later request.
const HEADERS: Duration = Duration::from_secs(10);

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

type Answer = Response<http_body_util::Either<AnswerBody, Body>>;

impl<H: Health> hyper::service::Service<Request<Incoming>> for ChecksAndHealth<H> {
    type Response = Answer;
    type Error = Infallible;
    type Future = Either<
        MapOk<Check<Incoming>, fn(Response<AnswerBody>) -> Answer>,
        BoxFuture<'static, Result<Answer, Infallible>>,
    >;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if request.uri().path().starts_with("/grpc.health.v1.Health/") {
            let health = self.health.clone().call(request.map(Body::new));
            return Either::Right(Box::pin(health.map_ok(|answer| answer.map(http_body_util::Either::Right))));
        }
        let check = hyper::service::Service::call(&self.checks, request);
        Either::Left(check.map_ok(|answer| answer.map(http_body_util::Either::Left)))
    }
}

/// `listen.admin`. If no slot is free, the oldest connection is closed for a new one: a command that is stopped or silent
/// must not keep a ban out. It is not asked for a sign of life, because a pager may stop an export for any time.
pub(super) async fn admin(service: Arc<admin::service::Service>, mut acceptor: Acceptor) -> Result<(), Fatal> {
    let every = Trust::unknown();
    let connections = stream! {
        loop {
            yield Ok::<_, io::Error>(acceptor.accept(&every).await);
        }
    };
    transport::Server::builder().add_service(admin::grpc::server(service)).serve_with_incoming(connections).await?;
    Ok(())
}

impl Connected for Connection {
    type ConnectInfo = UdsConnectInfo;

    fn connect_info(&self) -> UdsConnectInfo {
        UdsConnectInfo { peer_addr: None, peer_cred: self.peer() }
    }
}

/// `listen.http`. If no slot is free, the oldest connection is closed for a new one: hyper has no timer for a client that
/// does not read its answers, and any number of slow requests would pass each timer.
pub(super) async fn http(router: Router, mut acceptor: Acceptor) -> Result<(), Fatal> {
    let (mut connections, every) = (JoinSet::new(), Trust::unknown());
    loop {
        let connection = acceptor.accept(&every).await;
        while connections.try_join_next().is_some() {}
        let serve = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS)
            .serve_connection(TokioIo::new(connection), TowerToHyperService::new(router.clone()));
        connections.spawn(async move {
            if let Err(cause) = serve.await {
                debug!(%cause, "a connection of listen.http failed");
            }
        });
    }
}

//! The transport of `envoy.service.auth.v3.Authorization/Check`: gRPC over HTTP/2 (grpc/grpc doc/PROTOCOL-HTTP2.md).
//!
//! Not tonic's server: it decodes before the handler runs, and answers an invalid or too long message with a gRPC
//! status. Envoy treats that as a failure of this service, which `failure_mode_allow` turns into an allow. Here every
//! fault becomes a `CheckResponse`. It also costs more than the decision: boxed futures, and copies of each message.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header::CONTENT_TYPE};
use hyper::{
    body::{Body, Frame},
    service::Service,
};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    authorization::{Answer, Arrived, Authorization},
    grpc_message::GrpcMessage,
};
use crate::{domain::Reason, net::caller::Trust};

/// The full name of the service, also for health checks.
pub const SERVICE: &str = "envoy.service.auth.v3.Authorization";

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// The payload of a DATA frame. h2 writes answers together as long as their payloads are shorter than 1,024 bytes
/// (`CHAIN_THRESHOLD_WITHOUT_VECTORED_IO`), and a longer one by itself.
const PART: usize = 1_023;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The gRPC service of one connection.
#[derive(Clone)]
pub struct Server(Arc<Connection>);

/// What the calls of a connection share. Each clones the [`Arc`], which is the connection's own: threads that count
/// references in one place slow each other down.
struct Connection {
    authorization: Arc<Authorization>,
    trust: Trust,
}

impl Server {
    /// Serves `authorization` on a connection, whose `trust` it grants to the accepted caller.
    pub fn new(authorization: Arc<Authorization>, trust: Trust) -> Self {
        Self(Arc::new(Connection { authorization, trust }))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Service<Request<B>> for Server {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Check<B>;

    fn call(&self, request: Request<B>) -> Check<B> {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let connection = Arc::clone(&self.0);
        let state = if head.uri.path() != CHECK {
            State::Unknown
        } else if connection.authorization.accepts(&head.headers) {
            // Not when the call is polled: until that, the many first calls of a new connection of Envoy would be those
            // of an unknown caller.
            connection.trust.grant();
            let (metadata, message) = (head.headers, GrpcMessage::default());
            State::Reading(Reading { metadata, body, message, is_over: false, deadline: None })
        } else {
            State::Rejected(head.headers)
        };
        Check { connection, started, state }
    }
}

/// A call in progress. Dropped before its end, it counts as cancelled.
pub struct Check<B> {
    connection: Arc<Connection>,
    started: Instant,
    state: State<B>,
}

enum State<B> {
    /// Another method.
    Unknown,
    /// From a caller that is not accepted. Nothing is read: the audit must not record an address that it sent.
    Rejected(HeaderMap),
    Reading(Reading<B>),
    Deciding(BoxFuture<'static, Bytes>),
    Answered,
}

struct Reading<B> {
    metadata: HeaderMap,
    body: B,
    message: GrpcMessage,
    is_over: bool,
    /// Envoy's message has nearly always arrived already, and a timer costs more than reading it.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<B: Body<Data = Bytes> + Unpin> Future for Check<B> {
    type Output = Result<Response<AnswerBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { connection, started, state } = self.get_mut();
        let authorization = &connection.authorization;
        loop {
            let answer = match state {
                State::Unknown => {
                    *state = State::Answered;
                    return Poll::Ready(Ok(unimplemented()));
                }
                State::Rejected(metadata) => {
                    authorization.check(Arrived::Not(Reason::CallerRejected), metadata, *started)
                }
                State::Reading(reading) => {
                    let deadline = |metadata: &HeaderMap| authorization.deadline(metadata, *started);
                    let arrived = match ready!(reading.poll(cx, deadline)) {
                        Ok(()) => Arrived::Message(reading.message.complete()),
                        Err(reason) => Arrived::Not(reason),
                    };
                    authorization.check(arrived, &reading.metadata, *started)
                }
                State::Deciding(decision) => Answer::Ready(ready!(decision.as_mut().poll(cx))),
                State::Answered => return Poll::Pending,
            };
            *state = match answer {
                Answer::Ready(message) => {
                    *state = State::Answered;
                    return Poll::Ready(Ok(answered(message)));
                }
                Answer::Pending(decision) => State::Deciding(decision),
            };
        }
    }
}

impl<B> Drop for Check<B> {
    fn drop(&mut self) {
        if matches!(self.state, State::Reading(_) | State::Deciding(_)) {
            self.connection.authorization.cancelled();
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Reading<B> {
    fn poll(&mut self, cx: &mut Context<'_>, deadline: impl FnOnce(&HeaderMap) -> Instant) -> Poll<Result<(), Reason>> {
        if !self.is_over && self.receive(cx).is_pending() {
            let metadata = &self.metadata;
            let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep_until(deadline(metadata))));
            ready!(deadline.as_mut().poll(cx));
            return Poll::Ready(Err(Reason::DeadlineExceeded));
        }
        if !self.is_over && self.message.complete().is_none() {
            // If the caller reset the call, hyper reports an error or (CANCEL) the end of the body. It drops the call,
            // which then counts as cancelled, only when the call waits.
            self.is_over = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Receives until the end of the body, or until it cannot be one message any more.
    fn receive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.body.is_end_stream() && !self.message.is_invalid() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame.into_data().into_iter().for_each(|data| self.message.push(data)),
                Some(Err(_)) => self.message = GrpcMessage::Invalid,
                None => break,
            }
        }
        Poll::Ready(())
    }
}

/// The body of a response: a message and `grpc-status: 0`, or nothing.
#[derive(Debug)]
pub struct AnswerBody {
    message: Option<Bytes>,
    has_trailers: bool,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if let Some(mut message) = this.message.take() {
            let part = message.split_to(message.len().min(PART));
            this.message = Some(message).filter(|rest| !rest.is_empty());
            return Poll::Ready(Some(Ok(Frame::data(part))));
        }
        let trailers = std::mem::take(&mut this.has_trailers).then(|| {
            let mut trailers = HeaderMap::with_capacity(1);
            trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
            Ok(Frame::trailers(trailers))
        });
        Poll::Ready(trailers)
    }

    fn is_end_stream(&self) -> bool {
        self.message.is_none() && !self.has_trailers
    }
}

fn answered(message: Bytes) -> Response<AnswerBody> {
    grpc(AnswerBody { message: Some(message), has_trailers: true })
}

fn unimplemented() -> Response<AnswerBody> {
    let mut response = grpc(AnswerBody { message: None, has_trailers: false });
    let headers = response.headers_mut();
    headers.insert(GRPC_STATUS, HeaderValue::from_static("12"));
    headers.insert("grpc-message", HeaderValue::from_static("this service has only the method Check"));
    response
}

fn grpc(body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

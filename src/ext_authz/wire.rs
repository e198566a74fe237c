//! The transport of `envoy.service.auth.v3.Authorization/Check`.
//!
//! tonic's generated server decodes before the handler runs, and answers an invalid or too long message with a gRPC
//! status. Envoy treats that as a failure of this service, which `failure_mode_allow` turns into an allow. So the codec
//! returns bytes, and the call is served as a client stream: that is the same on the wire as a unary call, but the
//! handler receives the framing errors and answers them with a `CheckResponse`.

use std::{
    convert::Infallible,
    error::Error,
    future::pending,
    iter::successors,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use envoy_types::pb::envoy::service::auth::v3::CheckResponse;
use futures_util::future::BoxFuture;
use prost::Message;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::{ClientStreamingService, Grpc, NamedService},
};

use super::{authorization::Authorization, call::Call};
use crate::net::caller::Trust;

/// The longest Check message that is read, in bytes. Envoy limits request headers to 60 KiB by default and 8 MiB at
/// most (`max_request_headers_kb`); a longer message contains a request body, which this service does not read.
const MAX_MESSAGE: usize = 8 << 20;

/// The full name of the service, also for health checks.
pub const SERVICE: &str = "envoy.service.auth.v3.Authorization";

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// The gRPC service of one connection.
#[derive(Clone)]
pub struct Server {
    authorization: Arc<Authorization>,
    trust: Trust,
}

impl Server {
    /// Serves `authorization` on a connection that earns `trust`.
    pub fn new(authorization: Arc<Authorization>, trust: Trust) -> Self {
        Self { authorization, trust }
    }
}

impl NamedService for Server {
    const NAME: &'static str = SERVICE;
}

impl tower::Service<http::Request<Body>> for Server {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let check = Check(self.clone());
        Box::pin(async move {
            if request.uri().path() != CHECK {
                return Ok(Status::unimplemented("this service has only the method Check").into_http());
            }
            // tonic would answer a compressed call with a gRPC status. Without the header, the handler receives a frame
            // that it cannot decode, and denies.
            request.headers_mut().remove("grpc-encoding");
            let mut grpc = Grpc::new(FrameCodec).apply_max_message_size_config(Some(MAX_MESSAGE), None);
            Ok(grpc.client_streaming(check, request).await)
        })
    }
}

struct Check(Server);

impl ClientStreamingService<Bytes> for Check {
    type Response = CheckResponse;
    type Future = BoxFuture<'static, Result<Response<CheckResponse>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let Server { authorization, trust } = self.0.clone();
        Box::pin(async move {
            let (metadata, _, mut messages) = request.into_parts();
            // `None` for no message, an invalid frame, a too long one, and a second message.
            let frame = async move {
                let frame = next(&mut messages).await.ok()??;
                matches!(next(&mut messages).await, Ok(None)).then_some(frame)
            };
            Ok(Response::new(authorization.check(frame, Call::new(metadata), &trust).await))
        })
    }
}

/// Returns the next message, and never returns if the caller reset the call: hyper then drops the call's future, which
/// counts as cancelled. An answer would reach nobody, and the call would count as malformed.
async fn next(messages: &mut Streaming<Bytes>) -> Result<Option<Bytes>, Status> {
    match messages.message().await {
        Err(fault) if is_from_transport(&fault) => pending().await,
        message => message,
    }
}

/// Whether the connection failed, not the framing of gRPC.
fn is_from_transport(fault: &Status) -> bool {
    successors(fault.source(), |cause| (*cause).source()).any(|cause| cause.is::<hyper::Error>())
}

/// Bytes in, `CheckResponse` out.
#[derive(Clone, Copy, Default)]
struct FrameCodec;

impl Codec for FrameCodec {
    type Encode = CheckResponse;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for FrameCodec {
    type Item = CheckResponse;
    type Error = Status;

    fn encode(&mut self, item: CheckResponse, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.encoded_len());
        item.encode(buffer).map_err(|cause| Status::internal(cause.to_string()))
    }
}

impl Decoder for FrameCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

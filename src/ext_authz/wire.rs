//! The transport of `envoy.service.auth.v3.Authorization/Check`, down to the frame's bytes.
//!
//! tonic's generated server would decode before the handler and answer a bad or over-long message with a gRPC status,
//! which Envoy treats as *our failure* and which `failure_mode_allow` turns into an allow. So the codec hands over
//! bytes, and the call is served as a client stream: on the wire that is the same as a unary call, but the handler
//! itself receives the framing errors and answers them in-protocol.

use std::{
    convert::Infallible,
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

/// The longest Check message that is read, in bytes. Envoy's own limit for request headers is 60 KiB by default and
/// 8 MiB at most (`max_request_headers_kb`); a longer message carries a request body, which nothing here reads.
const MAX_MESSAGE: usize = 8 << 20;

/// The service's full name, for health checks too.
pub const SERVICE: &str = "envoy.service.auth.v3.Authorization";

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// The gRPC service.
#[derive(Clone)]
pub struct Server(Arc<Authorization>);

impl Server {
    /// Serves `authorization`.
    pub fn new(authorization: Arc<Authorization>) -> Self {
        Self(authorization)
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
        let authorization = Arc::clone(&self.0);
        Box::pin(async move {
            if request.uri().path() != CHECK {
                return Ok(Status::unimplemented("this service has one method, Check").into_http());
            }
            // tonic refuses a compressed call with a gRPC status; without the header its frame is one that cannot be decoded.
            request.headers_mut().remove("grpc-encoding");
            let mut grpc = Grpc::new(FrameCodec).apply_max_message_size_config(Some(MAX_MESSAGE), None);
            Ok(grpc.client_streaming(Check(authorization), request).await)
        })
    }
}

struct Check(Arc<Authorization>);

impl ClientStreamingService<Bytes> for Check {
    type Response = CheckResponse;
    type Future = BoxFuture<'static, Result<Response<CheckResponse>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let authorization = Arc::clone(&self.0);
        Box::pin(async move {
            let (metadata, _, mut messages) = request.into_parts();
            // No message, a broken frame, an over-long one and a second one are all the same to the handler: nothing to
            // decode.
            let frame = async move {
                let frame = messages.message().await.ok().flatten()?;
                matches!(messages.message().await, Ok(None)).then_some(frame)
            };
            Ok(Response::new(authorization.check(frame, Call::new(metadata)).await))
        })
    }
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

//! The transport of `envoy.service.auth.v3.Authorization/Check`.
//!
//! tonic's generated server decodes before the handler runs, and answers an invalid or too long message with a gRPC
//! status. Envoy treats that as a failure of this service, which `failure_mode_allow` turns into an allow. So the codec
//! returns bytes, and the call is served as a client stream: that is the same on the wire as a unary call, but the
//! handler receives the framing errors and answers them with a `CheckResponse`.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use envoy_types::pb::envoy::service::auth::v3::CheckResponse;
use futures_util::future::BoxFuture;
use prost::Message;
use tokio::task::yield_now;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
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
    /// Serves `authorization` on a connection, whose `trust` it grants to the accepted caller.
    pub fn new(authorization: Arc<Authorization>, trust: Trust) -> Self {
        Self { authorization, trust }
    }

    /// Grants the connection's trust to the accepted caller. Not in the call's own task: until that runs, the many first
    /// calls of a new connection of Envoy would be those of an unknown caller.
    fn meet(&self, request: &http::Request<Body>) {
        let call = || Call::new(MetadataMap::from_headers(request.headers().clone()));
        if !self.trust.is_granted() && call().is_from(&self.authorization.callers) {
            self.trust.grant();
        }
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
        self.meet(&request);
        let check = Check(Arc::clone(&self.authorization));
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

struct Check(Arc<Authorization>);

impl ClientStreamingService<Bytes> for Check {
    type Response = CheckResponse;
    type Future = BoxFuture<'static, Result<Response<CheckResponse>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let authorization = Arc::clone(&self.0);
        Box::pin(async move {
            let (metadata, _, mut messages) = request.into_parts();
            let frame = async move {
                let frame = only(&mut messages).await;
                if frame.is_none() {
                    // If the caller reset the call, hyper reports an error or (CANCEL) the end of the body. It drops the
                    // call, which then counts as cancelled, only when the call waits.
                    yield_now().await;
                }
                frame
            };
            Ok(Response::new(authorization.check(frame, Call::new(metadata)).await))
        })
    }
}

/// The only message: `None` for no message, an invalid frame, a too long one, and a second message.
async fn only(messages: &mut Streaming<Bytes>) -> Option<Bytes> {
    let message = messages.message().await.ok()??;
    matches!(messages.message().await, Ok(None)).then_some(message)
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

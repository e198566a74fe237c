//! gRPC at the level of frames: what is sent need not be a message, and what comes back is seen as it is.

use std::{convert::Infallible, error::Error, io, net::SocketAddr, path::PathBuf};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2::{SendRequest, handshake},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{
    net::{TcpStream, UnixStream},
    sync::oneshot,
    task::JoinHandle,
};

use super::within;

/// Where a server listens.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Target {
    /// `127.0.0.1:9191` or `unix:/path`.
    pub(crate) fn parse(text: &str) -> Self {
        match text.strip_prefix("unix:") {
            Some(path) => Self::Unix(path.into()),
            None => Self::Tcp(text.parse().unwrap()),
        }
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// One HTTP/2 connection.
#[derive(Clone)]
pub(crate) struct Channel(SendRequest<Body>);

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl Channel {
    pub(crate) async fn connect(target: &Target) -> Self {
        Self::try_connect(target).await.unwrap()
    }

    /// Fails if nobody listens.
    pub(crate) async fn try_connect(target: &Target) -> io::Result<Self> {
        let sender = match target {
            Target::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                sender
            }
            Target::Unix(path) => {
                let stream = UnixStream::connect(path).await?;
                let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                sender
            }
        };
        Ok(Self(sender))
    }

    /// Posts `body` as it is.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: Bytes) -> Reply {
        self.try_post(path, headers, body).await.unwrap()
    }

    /// Like [`Channel::post`], for a server that may die meanwhile.
    pub(crate) async fn try_post(&self, path: &str, headers: &[(&str, &str)], body: Bytes) -> hyper::Result<Reply> {
        let request = request(path, headers, Full::new(body).boxed_unsync());
        let mut sender = self.0.clone();
        within("the server answers", async {
            sender.ready().await?;
            collect(sender.send_request(request).await?).await
        })
        .await
    }

    /// Sends a call unless the connection takes no more of them (after GOAWAY, or at its end): then `None`, and the
    /// call may be made elsewhere. That holds for a call above the last stream of GOAWAY too (RFC 9113, section 6.8):
    /// the client's answer to the server's PING may overtake a call that it queued before. An error is a call that was
    /// sent and lost.
    pub(crate) async fn offer(&self, path: &str, body: Bytes) -> Option<hyper::Result<Reply>> {
        let request = request(path, &[], Full::new(body).boxed_unsync());
        let mut sender = self.0.clone();
        within("the server answers", async {
            sender.ready().await.ok()?;
            match sender.try_send_request(request).await {
                Ok(response) => Some(collect(response).await),
                Err(unsent) if unsent.message().is_some() => None,
                Err(lost) => {
                    let cause = lost.into_error();
                    (!is_refused_by_goaway(&cause)).then_some(Err(cause))
                }
            }
        })
        .await
    }

    /// Begins a call whose body is still to come.
    pub(crate) fn begin(&self, path: &str) -> Begun {
        let (body, later) = oneshot::channel();
        let frame = async move {
            match later.await {
                Ok(body) => Ok(Frame::data(body)),
                // Nobody will finish it: then it is never half-closed.
                Err(_) => std::future::pending().await,
            }
        };
        let request = request(path, &[], StreamBody::new(stream::once(frame)).boxed_unsync());
        let mut sender = self.0.clone();
        // Sent now: a later call on this connection reaches the server after this one.
        let response = sender.send_request(request);
        Begun { body, reply: tokio::spawn(async move { collect(response.await?).await }) }
    }

    /// A unary call: the message, or gRPC's code and text.
    pub(crate) async fn unary<M: Message + Default>(
        &self,
        path: &str,
        message: &impl Message,
    ) -> Result<M, (u32, String)> {
        let body = frame(&message.encode_to_vec());
        let reply = self.try_post(path, &[], body).await.map_err(|error| (14, error.to_string()))?;
        match reply.grpc_status() {
            0 => Ok(M::decode(reply.message()).unwrap()),
            code => Err((code, reply.grpc_message())),
        }
    }
}

/// A call whose body is still to come.
pub(crate) struct Begun {
    body: oneshot::Sender<Bytes>,
    reply: JoinHandle<hyper::Result<Reply>>,
}

impl Begun {
    /// Sends the body and half-closes.
    pub(crate) fn send(self, body: Bytes) -> JoinHandle<hyper::Result<Reply>> {
        self.body.send(body).unwrap();
        self.reply
    }

    /// Sends nothing more, and never half-closes.
    pub(crate) async fn abandon(self) -> hyper::Result<Reply> {
        within("the server gives up", self.reply).await.unwrap()
    }
}

/// Whether the call was not sent any more, or GOAWAY said that the server did not process it. (A call that it did process,
/// and whose connection ended, fails with an I/O error.)
fn is_refused_by_goaway(cause: &hyper::Error) -> bool {
    let cause = cause.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| cause.is_go_away() && cause.is_remote() && cause.reason() == Some(h2::Reason::NO_ERROR))
}

fn request(path: &str, headers: &[(&str, &str)], body: Body) -> Request<Body> {
    let mut request = Request::post(format!("http://sentinel{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).unwrap()
}

async fn collect(response: Response<Incoming>) -> hyper::Result<Reply> {
    let (head, body) = response.into_parts();
    let collected = body.collect().await?;
    let trailers = collected.trailers().cloned();
    Ok(Reply { status: head.status.as_u16(), headers: head.headers, body: collected.to_bytes(), trailers })
}

/// A message in its gRPC frame.
pub(crate) fn frame(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    frame.freeze()
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Reply {
    fn grpc(&self, name: &str) -> Option<&str> {
        let trailer = self.trailers.as_ref().and_then(|trailers| trailers.get(name));
        trailer.or_else(|| self.headers.get(name)).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn grpc_status(&self) -> u32 {
        self.grpc("grpc-status").unwrap_or_else(|| panic!("no grpc-status: {self:?}")).parse().unwrap()
    }

    pub(crate) fn grpc_message(&self) -> String {
        self.grpc("grpc-message").unwrap_or_default().to_owned()
    }

    /// The one message of the body.
    pub(crate) fn message(&self) -> Bytes {
        assert!(self.body.len() >= 5, "no frame: {self:?}");
        assert_eq!(self.body[0], 0, "compressed without being asked to: {self:?}");
        let length = u32::from_be_bytes([self.body[1], self.body[2], self.body[3], self.body[4]]) as usize;
        assert_eq!(self.body.len(), 5 + length, "not exactly one frame: {self:?}");
        self.body.slice(5..)
    }
}

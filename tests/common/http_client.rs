//! HTTP clients that choose their source address, repeat headers, and send bytes that no library would.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, UnixStream},
};

use super::{grpc::Target, within};

/// A TCP or unix stream.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The protocol of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    /// With prior knowledge.
    Http2,
}

impl Version {
    pub(crate) const BOTH: [Self; 2] = [Self::Http1, Self::Http2];
}

/// One request over a connection of its own.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    to: Target,
    from: Option<IpAddr>,
    /// Bytes sent before HTTP: a PROXY protocol header.
    prefix: Vec<u8>,
    version: Version,
    method: Method,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Call {
    pub(crate) fn get(to: impl Into<Target>, path: &str) -> Self {
        Self {
            to: to.into(),
            from: None,
            prefix: Vec::new(),
            version: Version::Http1,
            method: Method::GET,
            path: path.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    pub(crate) fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// The same call for another path.
    pub(crate) fn at(mut self, path: &str) -> Self {
        self.path = path.to_owned();
        self
    }

    pub(crate) fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Binds this source address, such as `127.0.0.2`; to a server on every address, the loopback of its family.
    pub(crate) fn from(mut self, ip: &str) -> Self {
        let from: IpAddr = ip.parse().unwrap();
        if let Target::Tcp(to) = &mut self.to
            && to.ip().is_unspecified()
        {
            to.set_ip(if from.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        }
        self.from = Some(from);
        self
    }

    /// One more header line, of any bytes that the protocol can frame.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = HeaderValue::from_bytes(value.as_ref()).unwrap();
        self.headers.push((name.parse().unwrap(), value));
        self
    }

    /// `Authorization: Bearer <key>`.
    pub(crate) fn key(self, key: &str) -> Self {
        self.header("authorization", format!("Bearer {key}"))
    }

    /// A PROXY protocol v1 header that tells `client` as the source.
    pub(crate) fn proxied_for(mut self, client: &str) -> Self {
        let (family, proxy) = if client.contains(':') { ("TCP6", "::1") } else { ("TCP4", "127.0.0.1") };
        self.prefix = format!("PROXY {family} {client} {proxy} 40000 443\r\n").into_bytes();
        self
    }

    /// A PROXY protocol v1 header that names no client.
    pub(crate) fn proxied_for_nobody(mut self) -> Self {
        self.prefix = b"PROXY UNKNOWN\r\n".to_vec();
        self
    }

    /// A PROXY protocol v2 header that tells `client` as the source, or that it speaks for nobody (`LOCAL`).
    pub(crate) fn proxied_v2_for(mut self, client: Option<Ipv4Addr>) -> Self {
        const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
        let rest = match client {
            Some(client) => [b"\x21\x11\0\x0c", &client.octets()[..], b"\x7f\0\0\x01\x9c\x40\x01\xbb"].concat(),
            None => b"\x20\0\0\0".to_vec(),
        };
        self.prefix = [SIGNATURE, &rest].concat();
        self
    }

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        let mut stream: Box<dyn Stream> = match &self.to {
            Target::Tcp(to) => {
                let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                if let Some(from) = self.from {
                    socket.bind(SocketAddr::new(from, 0))?;
                }
                let stream = socket.connect(*to).await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Target::Unix(path) => Box::new(UnixStream::connect(path).await?),
        };
        stream.write_all(&self.prefix).await?;
        stream.flush().await?;
        Ok(stream)
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let authority = "gateway.test";
        let uri: Uri = match (self.version, self.method == Method::CONNECT) {
            (_, true) => self.path.parse().unwrap(),
            (Version::Http1, false) => self.path.parse().unwrap(),
            (Version::Http2, false) => format!("http://{authority}{}", self.path).parse().unwrap(),
        };
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        if self.version == Version::Http1 {
            request.headers_mut().insert("host", HeaderValue::from_static("gateway.test"));
        }
        for (name, value) in &self.headers {
            request.headers_mut().append(name.clone(), value.clone());
        }
        request
    }

    pub(crate) async fn send(self) -> HttpReply {
        let what = format!("{:?} answers {} {}", self.to, self.method, self.path);
        let result = within(&what, self.try_send()).await;
        result.unwrap_or_else(|error| panic!("no answer: {error}; {what}"))
    }

    /// The answer, or why the connection ended without one.
    pub(crate) async fn try_send(self) -> Result<HttpReply, Box<dyn std::error::Error + Send + Sync>> {
        let io = TokioIo::new(self.connect().await?);
        let request = self.request();
        let response = match self.version {
            Version::Http1 => {
                let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
                tokio::spawn(connection);
                sender.send_request(request).await?
            }
            Version::Http2 => {
                let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
                let (mut sender, connection) = builder.max_header_list_size(1 << 20).handshake(io).await?;
                tokio::spawn(connection);
                sender.send_request(request).await?
            }
        };
        let (head, body) = response.into_parts();
        let collected = body.collect().await?;
        let trailers = collected.trailers().cloned();
        let body = collected.to_bytes();
        Ok(HttpReply { status: head.status.as_u16(), headers: head.headers, body, trailers })
    }

    /// Sends `bytes` instead of a request and returns the beginning of what comes back: nothing, if the server closes.
    pub(crate) async fn first_bytes(self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect().await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = vec![0; 1024];
        // A reset is as good as a close.
        let count = within("the server answers or closes", stream.read(&mut answer)).await.unwrap_or(0);
        answer.truncate(count);
        answer
    }
}

#[derive(Clone, Debug)]
pub(crate) struct HttpReply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl HttpReply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// gRPC's code, wherever it is.
    pub(crate) fn grpc_status(&self) -> Option<&str> {
        let trailer = self.trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
        trailer.or_else(|| self.headers.get("grpc-status")).map(|value| value.to_str().unwrap())
    }
}

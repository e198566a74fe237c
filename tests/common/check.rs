//! CheckRequests as Envoy 1.40 builds them, in both of its header encodings.

use std::collections::HashMap;

use bytes::Bytes;
use envoy_types::pb::envoy::{
    config::core::v3::{
        Address, EnvoyInternalAddress, HeaderMap, HeaderValue, Pipe, SocketAddress, address::Address as Kind,
        envoy_internal_address::AddressNameSpecifier, socket_address::PortSpecifier,
    },
    service::auth::v3::{
        AttributeContext, CheckRequest,
        attribute_context::{HttpRequest, Peer, Request},
    },
};
use prost::Message;

use super::{
    answer::Answer,
    grpc::{Channel, frame},
    sentinel::Sentinel,
};

/// The method that Envoy calls.
pub(crate) const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// How Envoy encodes the client's headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// `header_map` (`encode_raw_headers: true`): lines in order, raw bytes.
    Raw,
    /// `headers`, the default: repeated lines joined with a comma, each byte that is not UTF-8 a `!`.
    Joined,
}

impl Encoding {
    pub(crate) const BOTH: [Self; 2] = [Self::Raw, Self::Joined];
}

/// A CheckRequest in the making.
#[derive(Clone)]
pub(crate) struct Check<'a> {
    sentinel: &'a Sentinel,
    channel: Option<Channel>,
    encoding: Encoding,
    source: Option<Address>,
    method: String,
    path: String,
    headers: Vec<(String, Vec<u8>)>,
    extensions: HashMap<String, String>,
    metadata: Vec<(String, String)>,
}

impl<'a> Check<'a> {
    pub(super) fn new(sentinel: &'a Sentinel) -> Self {
        Self {
            sentinel,
            channel: None,
            encoding: Encoding::Raw,
            source: Some(socket_address("192.0.2.1")),
            method: "GET".to_owned(),
            path: "/".to_owned(),
            headers: Vec::new(),
            extensions: HashMap::new(),
            metadata: Vec::new(),
        }
    }

    /// `Authorization: Bearer <key>`.
    pub(crate) fn key(self, key: &str) -> Self {
        self.header("authorization", format!("Bearer {key}"))
    }

    /// One more header line.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The connection's peer.
    pub(crate) fn from(mut self, ip: &str) -> Self {
        self.source = Some(socket_address(ip));
        self
    }

    /// A peer on a unix socket.
    pub(crate) fn on_pipe(mut self, path: &str) -> Self {
        self.source = Some(Address { address: Some(Kind::Pipe(Pipe { path: path.to_owned(), ..Default::default() })) });
        self
    }

    /// A peer on an internal listener of Envoy.
    pub(crate) fn on_internal_listener(mut self) -> Self {
        let name = AddressNameSpecifier::ServerListenerName("internal".to_owned());
        let address = EnvoyInternalAddress { address_name_specifier: Some(name), ..Default::default() };
        self.source = Some(Address { address: Some(Kind::EnvoyInternalAddress(address)) });
        self
    }

    /// A peer whose port is a name: Envoy has none such, so the address is not one that Envoy saw.
    pub(crate) fn on_named_port(mut self, port: &str) -> Self {
        if let Some(Address { address: Some(Kind::SocketAddress(address)) }) = &mut self.source {
            address.port_specifier = Some(PortSpecifier::NamedPort(port.to_owned()));
        }
        self
    }

    /// No peer at all.
    pub(crate) fn without_peer(mut self) -> Self {
        self.source = None;
        self
    }

    pub(crate) fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    pub(crate) fn method(mut self, method: &str) -> Self {
        self.method = method.to_owned();
        self
    }

    pub(crate) fn path(mut self, path: &str) -> Self {
        self.path = path.to_owned();
        self
    }

    /// A `context_extensions` entry of the route.
    pub(crate) fn extension(mut self, name: &str, value: &str) -> Self {
        self.extensions.insert(name.to_owned(), value.to_owned());
        self
    }

    /// A header of the gRPC call itself, such as `grpc-timeout`.
    pub(crate) fn metadata(mut self, name: &str, value: &str) -> Self {
        self.metadata.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sends over this connection instead of the shared one.
    pub(crate) fn over(mut self, channel: &Channel) -> Self {
        self.channel = Some(channel.clone());
        self
    }

    /// The message.
    pub(crate) fn message(&self) -> CheckRequest {
        let mut lines: Vec<(String, Vec<u8>)> = [
            (":authority", "gateway.test"),
            (":method", &self.method),
            (":path", &self.path),
            (":scheme", "http"),
            ("x-forwarded-proto", "http"),
            ("x-request-id", "6f1c7f0e-5a52-4c39-9f0a-5a1d0c3b2e11"),
        ]
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_owned()))
        .to_vec();
        for (name, value) in &self.headers {
            // `authorization` is an inline header of Envoy's: repeated lines are joined in either encoding.
            let joined = self.encoding == Encoding::Joined || name == "authorization";
            match lines.iter_mut().find(|(earlier, _)| joined && earlier == name) {
                Some((_, earlier)) => {
                    earlier.push(b',');
                    earlier.extend_from_slice(value);
                }
                None => lines.push((name.clone(), value.clone())),
            }
        }
        let mut http = HttpRequest {
            id: "1234567890".to_owned(),
            method: self.method.clone(),
            path: self.path.clone(),
            host: "gateway.test".to_owned(),
            scheme: "http".to_owned(),
            protocol: "HTTP/1.1".to_owned(),
            ..Default::default()
        };
        match self.encoding {
            Encoding::Raw => http.header_map = Some(header_map(lines)),
            Encoding::Joined => {
                http.headers = lines.into_iter().map(|(name, value)| (name, sanitized(&value))).collect();
            }
        }
        let peer = |address| Peer { address, ..Default::default() };
        let attributes = AttributeContext {
            source: Some(peer(self.source.clone())),
            destination: Some(peer(Some(socket_address("198.51.100.1")))),
            request: Some(Request { http: Some(http), ..Default::default() }),
            context_extensions: self.extensions.clone(),
            ..Default::default()
        };
        CheckRequest { attributes: Some(attributes) }
    }

    pub(crate) async fn send(self) -> Answer {
        let body = frame(&self.message().encode_to_vec());
        self.send_body(body).await
    }

    /// Sends another message, for the ones that this builder will not build.
    pub(crate) async fn send_message(self, message: &CheckRequest) -> Answer {
        self.send_body(frame(&message.encode_to_vec())).await
    }

    /// Sends these bytes as the call's body, frame header included.
    pub(crate) async fn send_body(self, body: Bytes) -> Answer {
        let metadata: Vec<_> = self.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let channel = match &self.channel {
            Some(channel) => channel,
            None => self.sentinel.channel().await,
        };
        Answer::from_reply(&channel.post(CHECK, &metadata, body).await)
    }

    /// Like [`Check::send`], for a server that may die meanwhile.
    pub(crate) async fn try_send(self) -> Option<Answer> {
        let body = frame(&self.message().encode_to_vec());
        let channel = self.channel.as_ref().expect("a dying server needs a connection of the test's own");
        let reply = channel.try_post(CHECK, &[], body).await.ok()?;
        // A connection that breaks inside an answer may end without trailers.
        reply.trailers.is_some().then(|| Answer::from_reply(&reply))
    }
}

fn header_map(lines: Vec<(String, Vec<u8>)>) -> HeaderMap {
    let entry = |(key, raw_value)| HeaderValue { key, raw_value, ..Default::default() };
    HeaderMap { headers: lines.into_iter().map(entry).collect() }
}

/// What Envoy makes of a value for a proto string.
fn sanitized(value: &[u8]) -> String {
    let mut text = String::new();
    for chunk in value.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '!'));
    }
    text
}

/// A peer's address as Envoy writes it, with a port.
pub(crate) fn socket_address(ip: &str) -> Address {
    let address = SocketAddress {
        address: ip.to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(40_000)),
        ..Default::default()
    };
    Address { address: Some(Kind::SocketAddress(address)) }
}

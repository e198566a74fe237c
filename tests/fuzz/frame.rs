//! One case: a Check taken apart, changed, and written again.

use envoy_types::pb::envoy::{
    config::core::v3::{
        Address, EnvoyInternalAddress, HeaderMap, HeaderValue, Pipe, address::Address as Kind,
        socket_address::PortSpecifier,
    },
    service::auth::v3::{CheckRequest, attribute_context::HttpRequest},
};
use prost::Message;

use crate::common::check::socket_address;

/// What the service is given.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) frame: Vec<u8>,
    /// Entries of the call itself.
    pub(crate) metadata: Vec<(String, String)>,
}

/// Which header fields of a message are filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Raw,
    /// Text in the raw encoding's list.
    Text,
    Joined,
    /// What Envoy never sends.
    Both,
    /// Both `value` and `raw_value`.
    Double,
}

/// A Check in pieces that mutations can reach.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    rest: CheckRequest,
    pub(crate) encoding: Encoding,
    pub(crate) lines: Vec<(String, Vec<u8>)>,
    pub(crate) path: String,
    /// In their order; a map on the wire, where nothing keeps a name from being there twice.
    pub(crate) extensions: Vec<(String, Vec<u8>)>,
    pub(crate) peer: Option<Address>,
}

fn http(message: &mut CheckRequest) -> Option<&mut HttpRequest> {
    message.attributes.as_mut()?.request.as_mut()?.http.as_mut()
}

impl Parts {
    /// Takes a message of Envoy's apart.
    pub(crate) fn of(frame: &[u8]) -> Option<Self> {
        let mut rest = CheckRequest::decode(frame).ok()?;
        let attributes = rest.attributes.as_mut()?;
        let mut extensions: Vec<_> =
            attributes.context_extensions.drain().map(|(name, value)| (name, value.into_bytes())).collect();
        extensions.sort();
        let peer = attributes.source.as_mut().and_then(|source| source.address.take());
        let http = http(&mut rest)?;
        let path = std::mem::take(&mut http.path);
        let mut joined: Vec<_> = http.headers.drain().map(|(name, value)| (name, value.into_bytes())).collect();
        joined.sort();
        let raw = http.header_map.take().unwrap_or_default().headers;
        let encoding = if raw.is_empty() { Encoding::Joined } else { Encoding::Raw };
        let raw = raw.into_iter().map(|line| (line.key, [line.value.into_bytes(), line.raw_value].concat()));
        Some(Self { rest, encoding, lines: raw.chain(joined).collect(), path, extensions, peer })
    }

    /// The message. Equal parts give equal bytes: maps are written by hand, in order.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let mut message = self.rest.clone();
        let mut request = message.attributes.as_mut().and_then(|attributes| attributes.request.take()).unwrap();
        if let Some(source) = message.attributes.as_mut().and_then(|attributes| attributes.source.as_mut()) {
            source.address.clone_from(&self.peer);
        }
        let mut to = request.http.take().unwrap();
        to.path.clone_from(&self.path);
        if self.encoding != Encoding::Joined {
            let line = |(key, value): &(String, Vec<u8>)| {
                let text = matches!(self.encoding, Encoding::Text | Encoding::Double);
                let (as_text, as_raw) = (text, !text || self.encoding == Encoding::Double);
                HeaderValue {
                    key: key.clone(),
                    value: if as_text { String::from_utf8_lossy(value).into_owned() } else { String::new() },
                    raw_value: if as_raw { value.clone() } else { Vec::new() },
                }
            };
            to.header_map = Some(HeaderMap { headers: self.lines.iter().map(line).collect() });
        }
        let mut http = to.encode_to_vec();
        if matches!(self.encoding, Encoding::Joined | Encoding::Both) {
            for (name, value) in self.joined() {
                http.extend(field(3, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat()));
            }
        }
        let request = [request.encode_to_vec(), field(2, &http)].concat();
        let mut attributes = message.attributes.unwrap_or_default().encode_to_vec();
        attributes.extend(field(4, &request));
        for (name, value) in &self.extensions {
            attributes.extend(field(10, &[field(1, name.as_bytes()), field(2, value)].concat()));
        }
        field(1, &attributes)
    }

    /// As Envoy joins lines: with a comma, a `!` for each byte that is not UTF-8.
    fn joined(&self) -> Vec<(String, String)> {
        let mut joined: Vec<(String, String)> = Vec::new();
        for (name, value) in &self.lines {
            let mut text = String::new();
            for chunk in value.utf8_chunks() {
                text.push_str(chunk.valid());
                text.extend(chunk.invalid().iter().map(|_| '!'));
            }
            match joined.iter_mut().find(|(earlier, _)| earlier == name) {
                Some((_, earlier)) => *earlier = format!("{earlier},{text}"),
                None => joined.push((name.clone(), text)),
            }
        }
        joined
    }

    /// Where the connection comes from, in one of the forms that Envoy has for it.
    pub(crate) fn set_peer(&mut self, ip: &str, form: usize) {
        let mut address = socket_address(ip);
        match form {
            0 => address = Address { address: Some(Kind::Pipe(Pipe { path: ip.to_owned(), ..Default::default() })) },
            1 => address = Address { address: Some(Kind::EnvoyInternalAddress(EnvoyInternalAddress::default())) },
            2 => address = Address { address: None },
            3 => {
                if let Some(Kind::SocketAddress(socket)) = &mut address.address {
                    socket.port_specifier = Some(PortSpecifier::NamedPort("http".to_owned()));
                }
            }
            _ => {}
        }
        self.peer = Some(address).filter(|_| form != 4);
    }

    /// The request target in the place that the encoding has for it.
    pub(crate) fn target(&mut self) -> Vec<u8> {
        let line = self.lines.iter().find(|(name, _)| name == ":path");
        line.map_or_else(|| self.path.clone().into_bytes(), |(_, value)| value.clone())
    }

    /// Changes the request target in both of its places.
    pub(crate) fn set_target(&mut self, target: &[u8]) {
        self.path = String::from_utf8_lossy(target).into_owned();
        for (_, value) in self.lines.iter_mut().filter(|(name, _)| name == ":path") {
            *value = target.to_vec();
        }
    }
}

/// One length-delimited field.
fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![tag << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        field.push(length as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    field.extend_from_slice(bytes);
    field
}

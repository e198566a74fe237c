//! From Envoy's `CheckRequest` to what the engine judges, or the reason why it cannot be judged.

use envoy_types::pb::envoy::{
    config::core::v3::{HeaderValue, address::Address, socket_address::PortSpecifier},
    service::auth::v3::{AttributeContext, CheckRequest, attribute_context::HttpRequest},
};
use prost::Message;

use super::{call::Call, overrides::Overrides};
use crate::{
    client_ip::{AddressInputs, Resolver},
    credential::{Credentials, Header, Profile},
    domain::{ApiKey, ClientIp, Mode, Reason},
    engine::Missing,
};

/// What a Check request says.
#[derive(Debug)]
pub(super) struct Extracted<'a> {
    pub(super) ip: ClientIp,
    pub(super) key: Option<ApiKey>,
    /// What the route says about requests without a key.
    pub(super) missing: Option<Missing>,
    /// What the route says of the mode.
    pub(super) mode: Option<Mode>,
    /// The profile that read the key.
    pub(super) profile: &'a Profile,
    /// See [`Profile::lookalikes`].
    pub(super) lookalikes: Vec<String>,
}

/// Why it says nothing that can be judged.
#[derive(Debug)]
pub(super) struct Rejected<'a> {
    pub(super) reason: Reason,
    /// Where it came from, if that much is known.
    pub(super) ip: Option<ClientIp>,
    /// The route's profile, if that much is known.
    pub(super) profile: Option<&'a Profile>,
    /// The route's mode, if it has one and that much is known.
    pub(super) mode: Option<Mode>,
    /// See [`Profile::lookalikes`]: not every fault is a denial in every mode.
    pub(super) lookalikes: Vec<String>,
}

impl Rejected<'_> {
    /// Of a message of which nothing is known.
    pub(super) fn unread(reason: Reason) -> Self {
        Self { reason, ip: None, profile: None, mode: None, lookalikes: Vec::new() }
    }
}

/// Reads `frame`; `None` is a message that did not arrive whole.
pub(super) fn extract<'a>(
    frame: Option<&[u8]>,
    call: &Call,
    client_ip: &Resolver,
    credentials: &'a Credentials,
) -> Result<Extracted<'a>, Rejected<'a>> {
    let malformed = || Rejected::unread(Reason::MalformedRequest);
    let frame = frame.ok_or_else(malformed)?;
    let request = CheckRequest::decode(frame).map_err(|_| malformed())?;
    let attributes = request.attributes.ok_or_else(malformed)?;
    let http = attributes.request.as_ref().and_then(|request| request.http.as_ref()).ok_or_else(malformed)?;
    let headers = Headers::of(http).ok_or_else(malformed)?;
    let path = headers.path(http).ok_or_else(malformed)?;
    // Nearly no route has any; where one has, the frame is read once more for what the map forgot.
    let overrides = match attributes.context_extensions.is_empty() {
        true => Overrides::none(credentials),
        false => Overrides::read(frame, credentials).ok_or_else(malformed)?,
    };
    let Overrides { profile, missing, mode } = overrides;
    let lookalikes = || profile.lookalikes(headers.iter());
    let rejected = |reason, ip| Rejected { reason, ip, profile: Some(profile), mode, lookalikes: lookalikes() };
    let ip = client(&attributes, &headers, call, client_ip);
    let ip = ip.ok_or_else(|| rejected(Reason::ClientIpUnknown, None))?;
    match credentials.key(profile, headers.iter(), path) {
        Ok(key) => Ok(Extracted { ip, key, missing, mode, profile, lookalikes: lookalikes() }),
        Err(fault) => Err(rejected(fault.reason(), Some(ip))),
    }
}

/// Hands `client_ip` what there is to know of addresses, unjudged.
fn client(attributes: &AttributeContext, headers: &Headers<'_>, call: &Call, client_ip: &Resolver) -> Option<ClientIp> {
    // Envoy sends names in lower case, so that a name in another case is not its, and not read.
    let lines = |name| headers.iter().filter(move |header| header.name == name).map(|header| header.value).collect();
    let lines: Vec<&[u8]> = client_ip.header().map(lines).unwrap_or_default();
    client_ip.resolve(&AddressInputs {
        peer: peer(attributes),
        resolved: call.once("x-client-ip"),
        direct_peer: call.once("x-peer-ip"),
        lines: &lines,
    })
}

/// `attributes.source.address.socket_address`. A pipe, an internal listener or a host name is no client address.
fn peer(attributes: &AttributeContext) -> Option<&str> {
    let address = attributes.source.as_ref()?.address.as_ref()?.address.as_ref()?;
    match address {
        Address::SocketAddress(socket) if !matches!(socket.port_specifier, Some(PortSpecifier::NamedPort(_))) => {
            Some(&socket.address)
        }
        _ => None,
    }
}

/// The request's headers in whichever encoding Envoy was configured to send.
enum Headers<'a> {
    /// `headers`: one entry a name, repeated lines joined by a comma, bytes that are not UTF-8 shown as `!`.
    Joined(&'a HttpRequest),
    /// `header_map` (`encode_raw_headers`): every line with its raw bytes.
    Raw(&'a [HeaderValue]),
}

impl<'a> Headers<'a> {
    /// `None` if the message has both encodings, or one header in two forms: Envoy never does that, and whoever does
    /// wants us to judge one and something else to use the other.
    fn of(http: &'a HttpRequest) -> Option<Self> {
        let raw = http.header_map.as_ref().map_or(&[][..], |map| &map.headers);
        match (http.headers.is_empty(), raw.is_empty()) {
            (_, true) => Some(Self::Joined(http)),
            (true, false) if raw.iter().all(|header| header.value.is_empty() || header.raw_value.is_empty()) => {
                Some(Self::Raw(raw))
            }
            _ => None,
        }
    }

    /// The request target with its query: the raw bytes where Envoy sends them, since each byte that is not UTF-8 is a
    /// `!` elsewhere. `None` if there are two.
    fn path(&self, http: &'a HttpRequest) -> Option<&'a [u8]> {
        let mut paths = self.iter().filter(|header| header.name == ":path");
        match (self, paths.next(), paths.next()) {
            (Self::Raw(_), Some(path), None) => Some(path.value),
            (Self::Raw(_), Some(_), Some(_)) => None,
            // The field stays set where `allowed_headers` drops the pseudo-header.
            _ => Some(http.path.as_bytes()),
        }
    }

    fn iter(&self) -> impl Iterator<Item = Header<'a>> + Clone {
        let (joined, raw) = match self {
            Self::Joined(http) => (Some(&http.headers), &[][..]),
            Self::Raw(raw) => (None, *raw),
        };
        let joined = joined.into_iter().flatten().map(|(name, value)| Header { name, value: value.as_bytes() });
        joined.chain(raw.iter().map(|header| Header {
            name: &header.key,
            value: if header.raw_value.is_empty() { header.value.as_bytes() } else { &header.raw_value },
        }))
    }
}

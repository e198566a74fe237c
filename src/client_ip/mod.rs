//! Who the client is: from what a Check says of addresses to the one that may be believed.
//!
//! A wrong address voids everything, so each source believes exactly one party, and whatever is missing, repeated or
//! unparsable is no address at all: never a guess, never a shared bucket. Pure: no I/O, no wire format.

mod forwarded;
mod found;

use std::net::IpAddr;

pub use found::{Found, Origin, Unknown};

use crate::domain::{ClientIp, Nat64, Network};

/// `client_ip.source`: whose word counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The connection's peer as Envoy saw it, PROXY protocol applied. No header can forge it.
    Peer,
    /// What Envoy resolved and sent as the call's metadata.
    Metadata,
    /// `x-forwarded-for`, read from the right through the trusted proxies.
    Xff,
    /// This request header (lower case), if a trusted proxy sent it.
    Header(String),
}

/// `client_ip.source` and its companions.
#[derive(Clone, Debug)]
pub struct Resolver {
    /// Whose word counts.
    pub source: Source,
    /// `client_ip.trusted_proxies`.
    pub trusted_proxies: Vec<Network>,
    /// `client_ip.nat64`.
    pub nat64: Vec<Nat64>,
}

/// What a Check says of addresses. Nothing of it is believed yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct AddressInputs<'a> {
    /// `attributes.source.address`, where that is an IP address.
    pub peer: Option<&'a str>,
    /// The call's metadata `x-client-ip`, where it is there exactly once: the client as Envoy resolved it.
    pub resolved: Option<&'a str>,
    /// The call's metadata `x-peer-ip`, where it is there exactly once: Envoy's TCP peer, PROXY protocol not applied.
    pub direct_peer: Option<&'a str>,
    /// Every line of the request header that [`Resolver::header`] names, in order.
    pub lines: &'a [&'a [u8]],
}

impl Source {
    /// The word of `client_ip.source`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Metadata => "metadata",
            Self::Xff => "xff",
            Self::Header(_) => "header",
        }
    }
}

/// What is there exactly once. A second one was put beside Envoy's by somebody, and neither counts.
pub fn once<T>(mut values: impl Iterator<Item = T>) -> Option<T> {
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

impl Resolver {
    /// The one request header that this source reads.
    pub fn header(&self) -> Option<&str> {
        match &self.source {
            Source::Peer | Source::Metadata => None,
            Source::Xff => Some("x-forwarded-for"),
            Source::Header(name) => Some(name),
        }
    }

    /// The client's address; `None` if it cannot be established.
    pub fn resolve(&self, said: &AddressInputs<'_>) -> Option<ClientIp> {
        self.find(said).ok().map(|found| found.client)
    }

    /// The client's address and where it was found, or why it cannot be established.
    pub fn find<'a>(&self, said: &AddressInputs<'a>) -> Result<Found<'a>, Unknown> {
        match &self.source {
            Source::Peer => self.peer(said),
            Source::Metadata => self.metadata(said),
            Source::Xff => forwarded::walk(self.peer(said)?, said.lines, |ip| self.trusts(ip), |hop| self.address(hop)),
            Source::Header(_) => self.told_by_header(said),
        }
    }

    /// Strict, unlike a hop: Envoy writes a bare address and its port in a field of its own.
    fn peer<'a>(&self, said: &AddressInputs<'a>) -> Result<Found<'a>, Unknown> {
        let written = said.peer.ok_or(Unknown::Peer)?;
        let client = written.parse().ok().and_then(|ip| self.fold(ip)).ok_or(Unknown::Peer)?;
        Ok(Found { client, written: written.as_bytes(), origin: Origin::Peer })
    }

    /// As good as Envoy's own resolution, which under its default settings is the client's own `x-forwarded-for`. So
    /// another address than the peer's counts only from a proxy that we know; everyone else speaks for himself alone.
    fn metadata<'a>(&self, said: &AddressInputs<'a>) -> Result<Found<'a>, Unknown> {
        let peer = said.direct_peer.ok_or(Unknown::DirectPeer)?;
        let peer = self.address(peer.as_bytes()).ok_or(Unknown::DirectPeer)?;
        let written = said.resolved.ok_or(Unknown::Resolved)?.as_bytes();
        let client = self.address(written).ok_or(Unknown::Resolved)?;
        if client != peer && !self.trusts(peer) {
            return Err(Unknown::NotItsOwn);
        }
        self.if_no_proxy(Found { client, written, origin: Origin::Metadata })
    }

    fn told_by_header<'a>(&self, said: &AddressInputs<'a>) -> Result<Found<'a>, Unknown> {
        if !self.trusts(self.peer(said)?.client) {
            return Err(Unknown::NotByAProxy);
        }
        match said.lines {
            // A comma is a second value, wherever it came from; no address has one.
            &[written] => {
                let client = self.address(written).ok_or(Unknown::Header)?;
                self.if_no_proxy(Found { client, written, origin: Origin::Header })
            }
            _ => Err(Unknown::HeaderLines(said.lines.len())),
        }
    }

    /// A proxy named as the client is one that did not know whom it spoke for.
    fn if_no_proxy<'a>(&self, found: Found<'a>) -> Result<Found<'a>, Unknown> {
        if self.trusts(found.client) { Err(Unknown::AProxy) } else { Ok(found) }
    }

    fn trusts(&self, ip: ClientIp) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(ip))
    }

    /// An address as proxies write it, folded.
    fn address(&self, text: &[u8]) -> Option<ClientIp> {
        self.fold(forwarded::address(text)?)
    }

    /// `None` for an address below a NAT64 prefix that no translator makes: as itself it would be a second name of
    /// some IPv4 client.
    fn fold(&self, ip: IpAddr) -> Option<ClientIp> {
        let folded = ClientIp::new(ip);
        let IpAddr::V6(v6) = folded.ip() else { return Some(folded) };
        match self.nat64.iter().find(|prefix| prefix.contains(v6)) {
            Some(prefix) => prefix.embedded(v6).map(|v4| ClientIp::new(v4.into())),
            None => Some(folded),
        }
    }
}

#[cfg(test)]
mod tests;

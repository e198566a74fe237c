//! Finds the client's address in the addresses that a Check contains.
//!
//! A wrong address would break every rule that depends on it, so each source trusts exactly one party. If the address
//! is missing, repeated or unparsable, the client is unknown: it is never guessed, and unknown clients never share a
//! default address. Pure: no I/O, no wire format.

mod forwarded;
mod found;

use std::net::IpAddr;

pub use found::{Found, Origin, Unknown};

use crate::domain::{ClientIp, Nat64, Network};

/// `client_ip.source`: which party's address is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The connection's peer as Envoy sees it, after the PROXY protocol. A header cannot forge it.
    Peer,
    /// The address that Envoy resolved and sent as gRPC metadata.
    Metadata,
    /// `x-forwarded-for`, read from the right.
    Xff {
        /// `client_ip.trusted_hops`: the proxies behind the peer. Apart from the trusted proxies, because programs of
        /// strangers send requests from the networks of a CDN: the chain may come from such a peer, but the address that
        /// the CDN appended for the program must not be taken for a proxy's.
        trusted_hops: Vec<Network>,
    },
    /// This request header (lower case), if a trusted proxy sent it.
    Header(String),
}

/// Finds the client's address by `client_ip.*`.
#[derive(Clone, Debug)]
pub struct Resolver {
    /// `client_ip.source`.
    pub source: Source,
    /// `client_ip.trusted_proxies`.
    pub trusted_proxies: Vec<Network>,
    /// `client_ip.nat64`.
    pub nat64: Vec<Nat64>,
}

/// The addresses that a Check contains, none of them trusted yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct AddressInputs<'a> {
    /// `attributes.source.address`, if it is an IP address.
    pub peer: Option<&'a str>,
    /// The gRPC metadata `x-client-ip`, if it appears exactly once: the client as Envoy resolved it.
    pub resolved: Option<&'a str>,
    /// The gRPC metadata `x-peer-ip`, if it appears exactly once: Envoy's TCP peer, before the PROXY protocol.
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
            Self::Xff { .. } => "xff",
            Self::Header(_) => "header",
        }
    }
}

/// The only item. `None` if there are several: an attacker may have added one to Envoy's, and which is Envoy's is
/// unknown.
pub fn exactly_one<T>(mut values: impl Iterator<Item = T>) -> Option<T> {
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

impl Resolver {
    /// The request header that this source reads, if it reads one.
    pub fn header(&self) -> Option<&str> {
        match &self.source {
            Source::Peer | Source::Metadata => None,
            Source::Xff { .. } => Some("x-forwarded-for"),
            Source::Header(name) => Some(name),
        }
    }

    /// The addresses that are proxies and never clients.
    pub fn proxies(&self) -> Vec<Network> {
        [&self.trusted_proxies[..], self.trusted_hops()].concat()
    }

    /// `client_ip.trusted_hops`.
    pub fn trusted_hops(&self) -> &[Network] {
        match &self.source {
            Source::Xff { trusted_hops } => trusted_hops,
            _ => &[],
        }
    }

    /// The client's address; `None` if it is unknown.
    pub fn resolve(&self, inputs: &AddressInputs<'_>) -> Option<ClientIp> {
        self.find(inputs).ok().map(|found| found.client)
    }

    /// The client's address and where it was found, or why it is unknown.
    pub fn find<'a>(&self, inputs: &AddressInputs<'a>) -> Result<Found<'a>, Unknown> {
        match &self.source {
            Source::Peer => self.peer(inputs),
            Source::Metadata => self.metadata(inputs),
            Source::Xff { trusted_hops } => self.forwarded(inputs, trusted_hops),
            Source::Header(_) => self.header_address(inputs),
        }
    }

    /// Strict, unlike a hop: Envoy writes a bare address, and the port in a separate field.
    fn peer<'a>(&self, inputs: &AddressInputs<'a>) -> Result<Found<'a>, Unknown> {
        let written = inputs.peer.ok_or(Unknown::Peer)?;
        let client = written.parse().ok().and_then(|ip| self.fold(ip)).ok_or(Unknown::Peer)?;
        Ok(Found { client, written: written.as_bytes(), origin: Origin::Peer })
    }

    /// Only as reliable as Envoy's own resolution, which by default takes the client's own `x-forwarded-for`. So a peer
    /// that is not a trusted proxy can only name itself.
    fn metadata<'a>(&self, inputs: &AddressInputs<'a>) -> Result<Found<'a>, Unknown> {
        let peer = inputs.direct_peer.ok_or(Unknown::PeerMetadata)?;
        let peer = self.address(peer.as_bytes()).ok_or(Unknown::PeerMetadata)?;
        let written = inputs.resolved.ok_or(Unknown::ClientMetadata)?.as_bytes();
        let client = self.address(written).ok_or(Unknown::ClientMetadata)?;
        if client != peer && !self.trusts(peer) {
            return Err(Unknown::UntrustedPeer);
        }
        self.reject_proxy(Found { client, written, origin: Origin::Metadata })
    }

    fn forwarded<'a>(&self, inputs: &AddressInputs<'a>, trusted_hops: &[Network]) -> Result<Found<'a>, Unknown> {
        let peer = self.peer(inputs)?;
        if !self.trusts(peer.client) {
            return Ok(peer);
        }
        self.reject_proxy(forwarded::walk(peer.client, inputs.lines, trusted_hops, |hop| self.address(hop))?)
    }

    fn header_address<'a>(&self, inputs: &AddressInputs<'a>) -> Result<Found<'a>, Unknown> {
        if !self.trusts(self.peer(inputs)?.client) {
            return Err(Unknown::HeaderFromUntrustedPeer);
        }
        match inputs.lines {
            // A value with a comma is not an address: Envoy joins repeated headers with one.
            &[written] => {
                let client = self.address(written).ok_or(Unknown::Header)?;
                self.reject_proxy(Found { client, written, origin: Origin::Header })
            }
            _ => Err(Unknown::HeaderLines(inputs.lines.len())),
        }
    }

    /// A trusted proxy that is named as the client: the proxy did not know the client.
    fn reject_proxy<'a>(&self, found: Found<'a>) -> Result<Found<'a>, Unknown> {
        match (self.trusts(found.client), found.origin) {
            (false, _) => Ok(found),
            (true, Origin::Hop(hop)) => Err(Unknown::HopIsProxy(hop)),
            (true, _) => Err(Unknown::ClientIsProxy),
        }
    }

    fn trusts(&self, ip: ClientIp) -> bool {
        Network::any_contains(&self.trusted_proxies, ip)
    }

    /// An address as proxies write it, folded.
    fn address(&self, text: &[u8]) -> Option<ClientIp> {
        self.fold(forwarded::address(text)?)
    }

    /// `None` for an address with a NAT64 prefix that a translator cannot make. Accepting it unfolded would give an
    /// IPv4 client a second address.
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

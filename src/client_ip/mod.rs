//! Who the client is: from what a Check says of addresses to the one that may be believed.
//!
//! A wrong address voids everything, so each source believes exactly one party, and whatever is missing, repeated or
//! unparsable is no address at all: never a guess, never a shared bucket. Pure: no I/O, no wire format.

mod forwarded;

use std::net::IpAddr;

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
pub struct Said<'a> {
    /// `attributes.source.address`, where that is an IP address.
    pub peer: Option<&'a str>,
    /// The call's metadata `x-client-ip`, where it is there exactly once: the client as Envoy resolved it.
    pub resolved: Option<&'a str>,
    /// The call's metadata `x-peer-ip`, where it is there exactly once: Envoy's TCP peer, PROXY protocol not applied.
    pub direct_peer: Option<&'a str>,
    /// Every line of the request header that [`Resolver::header`] names, in order.
    pub lines: &'a [&'a [u8]],
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
    pub fn resolve(&self, said: &Said<'_>) -> Option<ClientIp> {
        match &self.source {
            Source::Peer => self.peer(said),
            Source::Metadata => self.metadata(said),
            Source::Xff => forwarded::walk(self.peer(said)?, said.lines, |ip| self.trusts(ip), |hop| self.address(hop)),
            Source::Header(_) => self.told_by_header(said),
        }
    }

    /// Strict, unlike a hop: Envoy writes a bare address and its port in a field of its own.
    fn peer(&self, said: &Said<'_>) -> Option<ClientIp> {
        self.fold(said.peer?.parse().ok()?)
    }

    /// As good as Envoy's own resolution, which under its default settings is the client's own `x-forwarded-for`. So
    /// another address than the peer's counts only from a proxy that we know; everyone else speaks for himself alone.
    fn metadata(&self, said: &Said<'_>) -> Option<ClientIp> {
        let peer = self.address(said.direct_peer?.as_bytes())?;
        let client = self.address(said.resolved?.as_bytes())?;
        if client != peer && !self.trusts(peer) {
            return None;
        }
        self.if_no_proxy(client)
    }

    fn told_by_header(&self, said: &Said<'_>) -> Option<ClientIp> {
        if !self.trusts(self.peer(said)?) {
            return None;
        }
        match said.lines {
            // A comma is a second value, wherever it came from; no address has one.
            [line] => self.if_no_proxy(self.address(line)?),
            _ => None,
        }
    }

    /// A proxy named as the client is one that did not know whom it spoke for.
    fn if_no_proxy(&self, client: ClientIp) -> Option<ClientIp> {
        (!self.trusts(client)).then_some(client)
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

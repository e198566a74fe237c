//! The client's address and where it was found, or why it is unknown.

use crate::domain::ClientIp;

/// Where an address was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The connection's peer.
    Peer,
    /// The gRPC metadata `x-client-ip`.
    Metadata,
    /// An entry of `x-forwarded-for`, counted from the right; the last is 1.
    Hop(usize),
    /// The configured header.
    Header,
}

/// An address and where it was found.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The address, folded.
    pub client: ClientIp,
    /// The address as written at its origin.
    pub written: &'a [u8],
    /// Where it was found.
    pub origin: Origin,
}

/// Why the client's address is unknown. The texts are for operators and never repeat a value of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// `attributes.source.address` is not an IP address.
    #[error("the connection's peer is not an IP address")]
    Peer,
    /// `x-peer-ip` is missing, repeated or not an address.
    #[error(
        "x-peer-ip must appear exactly once in the gRPC metadata and hold an address; add it to Envoy's \
         initial_metadata"
    )]
    PeerMetadata,
    /// `x-client-ip` is missing, repeated or not an address.
    #[error(
        "x-client-ip must appear exactly once in the gRPC metadata and hold an address; add it to Envoy's \
         initial_metadata"
    )]
    ClientMetadata,
    /// A peer that is not a trusted proxy names another client than itself.
    #[error("x-client-ip differs from x-peer-ip, and that peer is not in client_ip.trusted_proxies")]
    UntrustedPeer,
    /// The resolved client is itself a trusted proxy.
    #[error("the resolved client is in client_ip.trusted_proxies: the proxy named no client")]
    ClientIsProxy,
    /// Every address of the chain is a proxy's.
    #[error("every address in x-forwarded-for is the peer's or in client_ip.trusted_hops")]
    ChainEnds,
    /// An entry of a trusted proxy that the walk must not pass over; counted as in [`Origin::Hop`].
    #[error(
        "entry {0} of x-forwarded-for, counted from the right, is in client_ip.trusted_proxies but not in \
         client_ip.trusted_hops: it may be a program inside the proxies' networks; list it in client_ip.trusted_hops only \
         if every address of that network is a proxy of yours"
    )]
    HopIsProxy(usize),
    /// An entry that must be read is not an address; counted as in [`Origin::Hop`].
    #[error("entry {0} of x-forwarded-for, counted from the right, is not an address")]
    Hop(usize),
    /// The header was sent by a peer that is not a trusted proxy.
    #[error("the connection's peer is not in client_ip.trusted_proxies, so the header of client_ip.header is not read")]
    HeaderFromUntrustedPeer,
    /// The header is missing or repeated.
    #[error("the header of client_ip.header appears {0} times; it must appear exactly once")]
    HeaderLines(usize),
    /// The header is not one address.
    #[error("the header of client_ip.header does not hold exactly one address")]
    Header,
}

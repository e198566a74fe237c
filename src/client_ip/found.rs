//! An address that was established, or why none was.

use crate::domain::ClientIp;

/// Where an address was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The connection's peer.
    Peer,
    /// The call's metadata `x-client-ip`.
    Metadata,
    /// An entry of `x-forwarded-for`, counted from the right, the last being 1.
    Hop(usize),
    /// The configured header.
    Header,
}

/// An established address.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The address, folded.
    pub client: ClientIp,
    /// How it was written there.
    pub written: &'a [u8],
    /// Where.
    pub origin: Origin,
}

/// Why no address could be established. The texts are for operators, and repeat nothing of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// `attributes.source.address` is no IP address.
    #[error("the connection's peer is no IP address")]
    Peer,
    /// `x-peer-ip`.
    #[error("the metadata x-peer-ip is not there exactly once with an address; Envoy's initial_metadata must send it")]
    DirectPeer,
    /// `x-client-ip`.
    #[error(
        "the metadata x-client-ip is not there exactly once with an address; Envoy's initial_metadata must send it"
    )]
    Resolved,
    /// A stranger who speaks for somebody else.
    #[error("x-client-ip differs from x-peer-ip, and that peer is not in client_ip.trusted_proxies")]
    NotItsOwn,
    /// A proxy that does not say for whom it speaks.
    #[error("the client would be one of client_ip.trusted_proxies: the proxy did not say for whom it speaks")]
    AProxy,
    /// Nobody is left to believe.
    #[error("x-forwarded-for ends while every address, the peer's included, is in client_ip.trusted_proxies")]
    ChainEnds,
    /// A hop that has to be read is no address; counted as in [`Origin::Hop`].
    #[error("entry {0} of x-forwarded-for, counted from the right, has to be read and is no address")]
    Hop(usize),
    /// Whoever sent the header is no proxy of ours.
    #[error("the connection's peer is not in client_ip.trusted_proxies, so the header is not believed")]
    NotByAProxy,
    /// The header is missing or repeated.
    #[error("the header of client_ip.header is there {0} times, not once")]
    HeaderLines(usize),
    /// The header is no address.
    #[error("the header of client_ip.header holds no single address")]
    Header,
}

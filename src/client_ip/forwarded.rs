//! `x-forwarded-for`: parses an entry, and walks from the right through the trusted proxies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::found::{Found, Origin, Unknown};
use crate::domain::ClientIp;

/// The client behind `peer`: from the right, the first address that is not a trusted proxy's.
///
/// The client wrote everything further left, so that is not read. Fails if an entry that must be read is not an
/// address, and if every entry is a trusted proxy, because then the chain does not name a client.
pub(super) fn walk<'a>(
    peer: Found<'a>,
    lines: &[&'a [u8]],
    is_trusted: impl Fn(ClientIp) -> bool,
    address: impl Fn(&[u8]) -> Option<ClientIp>,
) -> Result<Found<'a>, Unknown> {
    // Several lines are one list, in order (RFC 9110 §5.3).
    let mut hops = (1..).zip(lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b',')));
    let mut current = peer;
    while is_trusted(current.client) {
        let (hop, written) = hops.next().ok_or(Unknown::ChainEnds)?;
        current = Found { client: address(written).ok_or(Unknown::Hop(hop))?, written, origin: Origin::Hop(hop) };
    }
    Ok(current)
}

/// The address in `text`, as proxies write it: bare, with a port, or in brackets with or without a port, between
/// optional white space. Rejects a zone id, which names an interface of another machine, host names and quotes.
pub(super) fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
    if let Some(bracketed) = text.strip_prefix('[') {
        let (inside, after) = bracketed.split_once(']')?;
        let ip: Ipv6Addr = inside.parse().ok()?;
        return (after.is_empty() || after.strip_prefix(':').is_some_and(is_port)).then_some(ip.into());
    }
    text.parse().ok().or_else(|| {
        let (host, port) = text.split_once(':')?;
        let ip: Ipv4Addr = host.parse().ok()?;
        is_port(port).then_some(ip.into())
    })
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

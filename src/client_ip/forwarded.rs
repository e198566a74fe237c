//! `x-forwarded-for`: the text of a hop, and the walk through the trusted ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::found::{Found, Origin, Unknown};
use crate::domain::ClientIp;

/// The client behind `peer`: from the right, the first address that is not a trusted proxy's.
///
/// Whatever stands further left was written by that client and is not even read. Unknown where a hop that has to be
/// read is no address, and where the chain ends while still trusted: nobody is left to believe.
pub(super) fn walk<'a>(
    peer: Found<'a>,
    lines: &[&'a [u8]],
    is_trusted: impl Fn(ClientIp) -> bool,
    address: impl Fn(&[u8]) -> Option<ClientIp>,
) -> Result<Found<'a>, Unknown> {
    // Several lines are one list in their order (RFC 9110 §5.3).
    let mut hops = (1..).zip(lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b',')));
    let mut current = peer;
    while is_trusted(current.client) {
        let (hop, written) = hops.next().ok_or(Unknown::ChainEnds)?;
        current = Found { client: address(written).ok_or(Unknown::Hop(hop))?, written, origin: Origin::Hop(hop) };
    }
    Ok(current)
}

/// The address in `text`: bare, with a port, or in brackets with or without one; white space around it. No zone id (it
/// names an interface of somebody else's machine), no name, no quotes.
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

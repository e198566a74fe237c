//! `x-forwarded-for`: parses an entry, and walks from the right through the proxies.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::found::{Found, Origin, Unknown};
use crate::domain::{ClientIp, Network};

/// The client behind the trusted proxy `peer`: from the right, the first address that is not in `trusted_hops`.
///
/// The client wrote everything further left, so that is not read. Fails if an entry that must be read is not an
/// address, and if the chain ends first, because then it does not name a client.
pub(super) fn walk<'a>(
    peer: ClientIp,
    lines: &[&'a [u8]],
    trusted_hops: &[Network],
    address: impl Fn(&[u8]) -> Option<ClientIp>,
) -> Result<Found<'a>, Unknown> {
    // Several lines are one list, in order (RFC 9110 §5.3).
    let hops = (1..).zip(lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b',')));
    for (hop, written) in hops {
        let client = address(written).ok_or(Unknown::Hop(hop))?;
        // With `use_remote_address: true`, Envoy appends the peer to the chain.
        let is_appended_peer = hop == 1 && client == peer;
        if !is_appended_peer && !Network::any_contains(trusted_hops, client) {
            return Ok(Found { client, written, origin: Origin::Hop(hop) });
        }
    }
    Err(Unknown::ChainEnds)
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

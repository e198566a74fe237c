//! `client_ip.*`: settings that make sense only together.

use super::{source::Source as Settings, values::word};
use crate::{
    client_ip::{Resolver, Source},
    domain::{Nat64, Network},
};

/// The resolver, and the networks of `client_ip.unclaimable`.
pub(super) fn take(settings: &mut Settings) -> Option<(Resolver, Vec<Network>)> {
    let before = settings.faults.clone();
    let words = ["peer", "metadata", "xff", "header"].map(|word| (word, word));
    let word = settings.take("client_ip.source", word(&words));
    let header = settings.take_if_written("client_ip.header", header_name);
    let trusted_proxies = settings.take_list("client_ip.trusted_proxies", proxies);
    let unclaimable = settings.take_list("client_ip.unclaimable", network);
    let nat64 = settings.take_list("client_ip.nat64", str::parse::<Nat64>);
    behind_nat64(settings, &nat64, "trusted_proxies", &trusted_proxies);
    behind_nat64(settings, &nat64, "unclaimable", &unclaimable);
    for (nth, prefix) in nat64.iter().enumerate() {
        // An address in both would be two IPv4 addresses.
        for other in nat64[..nth].iter().filter(|other| other.overlaps(prefix.network())) {
            settings.faults.push(format!("client_ip.nat64: {} and {} overlap", prefix.network(), other.network()));
        }
    }
    let (word, header) = (word?, header?);
    if settings.faults != before {
        return None;
    }
    if word != "peer" && trusted_proxies.is_empty() {
        // Also for `metadata`: without a proxy in between, `peer` says the same and needs nothing from Envoy.
        let why = "without them nobody's word on a client's address would count; without a proxy, use \"peer\"";
        settings.faults.push(format!("client_ip.trusted_proxies: client_ip.source = {word:?} needs them: {why}"));
    }
    let source = source(word, header).map_err(|fault| settings.faults.push(fault)).ok()?;
    Some((Resolver { source, trusted_proxies, nat64 }, unclaimable))
}

fn source(word: &str, header: Option<String>) -> Result<Source, String> {
    match (word, header) {
        ("header", Some(name)) => Ok(Source::Header(name)),
        ("header", None) => Err("client_ip.header: client_ip.source = \"header\" needs its name".into()),
        (_, Some(_)) => Err(format!("client_ip.header: client_ip.source = {word:?} reads no such header")),
        ("metadata", None) => Ok(Source::Metadata),
        ("xff", None) => Ok(Source::Xff),
        (_, None) => Ok(Source::Peer),
    }
}

/// Addresses behind a NAT64 prefix become IPv4 before any network is asked, so such a network would match nothing.
fn behind_nat64(settings: &mut Settings, nat64: &[Nat64], key: &str, networks: &[Network]) {
    for network in networks.iter().filter(|network| nat64.iter().any(|prefix| prefix.overlaps(**network))) {
        let fault = format!("client_ip.{key}: {network} is IPv4 behind client_ip.nat64; write the IPv4 network");
        settings.faults.push(fault);
    }
}

fn proxies(text: &str) -> Result<Network, String> {
    let network = network(text)?;
    if network.net().prefix_len() == 0 {
        return Err(format!("{network} is everybody: whoever connects could name any client address"));
    }
    Ok(network)
}

fn network(text: &str) -> Result<Network, String> {
    text.parse::<Network>().map_err(|fault| fault.to_string())
}

/// In lower case, as Envoy sends it.
fn header_name(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte);
    match name.as_str() {
        "x-forwarded-for" => Err("x-forwarded-for is a chain of addresses; use client_ip.source = \"xff\"".into()),
        "forwarded" => Err("Forwarded (RFC 7239) is no bare address, and no source of this version reads it".into()),
        _ if name.bytes().all(is_token) => Ok(name),
        _ => Err(format!("{text:?} is no header name")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load_text;
    use crate::client_ip::Source;

    const PROXIES: &str = "trusted_proxies = ['10.0.0.0/24', '2001:db8:1b::/64']";

    #[test]
    fn every_source() {
        for (text, source) in [
            ("", Source::Peer),
            ("source = 'peer'", Source::Peer),
            ("source = 'metadata'", Source::Metadata),
            ("source = 'xff'", Source::Xff),
            ("source = 'header'\nheader = 'CF-Connecting-IP'", Source::Header("cf-connecting-ip".to_owned())),
        ] {
            let config = load_text(&format!("[client_ip]\n{text}\n{PROXIES}\nunclaimable = ['192.0.2.0/24']"), &[]);
            let config = config.unwrap();
            assert_eq!(config.client_ip.source, source);
            assert_eq!(config.client_ip.trusted_proxies.len(), 2);
            assert_eq!(config.settings.binding.unclaimable.len(), 1);
            assert_eq!(
                config.settings.binding.trusted_proxies, config.client_ip.trusted_proxies,
                "they never own a key either"
            );
        }
    }

    #[test]
    fn what_does_not_fit_together_is_a_fault() {
        for (text, expected) in [
            ("source = 'metadata'", "client_ip.trusted_proxies: client_ip.source = \"metadata\" needs them"),
            ("source = 'xff'", "client_ip.trusted_proxies: client_ip.source = \"xff\" needs them"),
            ("source = 'header'\nheader = 'x-real-ip'", "client_ip.source = \"header\" needs them"),
            ("source = 'metadata'\ntrusted_proxies = []", "client_ip.trusted_proxies: the list is empty"),
            (
                "source = 'header'\ntrusted_proxies = ['10.0.0.1']",
                "client_ip.header: client_ip.source = \"header\" needs",
            ),
            ("header = 'x-real-ip'", "client_ip.header: client_ip.source = \"peer\" reads no such header"),
            ("source = 'header'\nheader = 'X-Forwarded-For'", "use client_ip.source = \"xff\""),
            ("source = 'header'\nheader = 'forwarded'", "no bare address"),
            ("source = 'header'\nheader = ':authority'", "\":authority\" is no header name"),
            ("trusted_proxies = ['0.0.0.0/0']", "client_ip.trusted_proxies: 0.0.0.0/0 is everybody"),
            ("trusted_proxies = ['::/0']", "client_ip.trusted_proxies: ::/0 is everybody"),
            ("trusted_proxies = ['10.0.0.1/24']", "did you mean 10.0.0.0/24?"),
            ("nat64 = ['2001:db8::/33']", "client_ip.nat64: 2001:db8::/33: the length of a NAT64 prefix is 32, 40"),
            ("nat64 = []", "client_ip.nat64: the list is empty"),
            ("nat64 = ['2001:db8:64::/96']\nunclaimable = ['2001:db8:64::cb00:7107']", "write the IPv4 network"),
            (
                "nat64 = ['2001:db8:64::/96', '2001:db8::/32']",
                "client_ip.nat64: 2001:db8::/32 and 2001:db8:64::/96 overlap",
            ),
            ("source = 'left-most'", "is not one of: peer, metadata, xff, header"),
        ] {
            let faults = load_text(&format!("[client_ip]\n{text}"), &[]).unwrap_err();
            assert!(faults.contains(expected), "{text}\n{expected}\nnot in: {faults}");
            assert_eq!(faults.lines().count(), 1, "{faults}");
        }
    }

    #[test]
    fn lists_by_environment() {
        let env = [
            ("SENTINEL_CLIENT_IP__SOURCE", "xff"),
            ("SENTINEL_CLIENT_IP__TRUSTED_PROXIES", "10.0.0.0/24, ::1"),
            ("SENTINEL_CLIENT_IP__NAT64", "64:ff9b:1::/48"),
        ];
        let config = load_text("", &env).unwrap();
        assert_eq!((config.client_ip.trusted_proxies.len(), config.client_ip.nat64.len()), (2, 1));
    }
}

//! `client_ip.*`, whose settings depend on each other.

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
    let trusted_proxies = settings.take_list("client_ip.trusted_proxies", proxy);
    let trusted_hops = settings.take_list("client_ip.trusted_hops", proxy);
    let unclaimable = settings.take_list("client_ip.unclaimable", network);
    let nat64 = settings.take_list("client_ip.nat64", str::parse::<Nat64>);
    for (key, networks) in
        [("trusted_proxies", &trusted_proxies), ("trusted_hops", &trusted_hops), ("unclaimable", &unclaimable)]
    {
        behind_nat64(settings, &nat64, key, networks);
    }
    for (key, networks) in [("trusted_proxies", &trusted_proxies), ("trusted_hops", &trusted_hops)] {
        contain_clients(settings, key, networks);
    }
    for (nth, prefix) in nat64.iter().enumerate() {
        // An address in both prefixes would stand for two IPv4 addresses.
        for other in nat64[..nth].iter().filter(|other| other.overlaps(prefix.network())) {
            settings.faults.push(format!("client_ip.nat64: {} and {} overlap", prefix.network(), other.network()));
        }
    }
    let (word, header) = (word?, header?);
    if settings.faults != before {
        return None;
    }
    if word != "peer" && trusted_proxies.is_empty() {
        // Also for `metadata`: without a proxy, `peer` gives the same address and needs no metadata from Envoy.
        let why = "list the proxies in front of Envoy; without a proxy use \"peer\"";
        settings.faults.push(format!("client_ip.source = {word:?} needs client_ip.trusted_proxies: {why}"));
    }
    if word != "xff" && !trusted_hops.is_empty() {
        settings.faults.push(format!(
            "client_ip.trusted_hops: is used only with client_ip.source = \"xff\", but the source is {word:?}; remove it"
        ));
    }
    let source = source(word, header, trusted_hops).map_err(|fault| settings.faults.push(fault)).ok()?;
    Some((Resolver { source, trusted_proxies, nat64 }, unclaimable))
}

fn source(word: &str, header: Option<String>, trusted_hops: Vec<Network>) -> Result<Source, String> {
    match (word, header) {
        ("header", Some(name)) => Ok(Source::Header(name)),
        ("header", None) => {
            Err("client_ip.source = \"header\" needs client_ip.header: set it to the name of the header".into())
        }
        (_, Some(_)) => Err(format!(
            "client_ip.header: is used only with client_ip.source = \"header\", but the source is {word:?}; remove it"
        )),
        ("metadata", None) => Ok(Source::Metadata),
        ("xff", None) => Ok(Source::Xff { trusted_hops }),
        (_, None) => Ok(Source::Peer),
    }
}

/// Rejects networks inside a NAT64 prefix. Such addresses become IPv4 before they are compared, so the network would
/// match nothing.
fn behind_nat64(settings: &mut Settings, nat64: &[Nat64], key: &str, networks: &[Network]) {
    for network in networks.iter().filter(|network| nat64.iter().any(|prefix| prefix.overlaps(**network))) {
        let fault = format!("client_ip.{key}: {network} is IPv4 behind client_ip.nat64; write the IPv4 network");
        settings.faults.push(fault);
    }
}

/// Rejects proxies that are half of an address family or more: the list then contains clients, and each of them could
/// choose its own address.
fn contain_clients(settings: &mut Settings, key: &str, networks: &[Network]) {
    for (family, share) in Network::shares(networks) {
        if share >= 0.5 {
            settings.faults.push(format!(
                "client_ip.{key}: the networks contain {:.0} % of all {family} addresses: any client there could choose its \
                 own address; list only your proxies",
                share * 100.0
            ));
        }
    }
}

fn network(text: &str) -> Result<Network, String> {
    text.parse::<Network>().map_err(|fault| fault.to_string())
}

/// Other proxies and frameworks count hops where this lists addresses.
fn proxy(text: &str) -> Result<Network, String> {
    match text.parse::<i64>() {
        Ok(_) => Err(format!(
            "{text} looks like a number of proxies; list their addresses instead, such as 10.0.0.1 and 10.1.0.0/24"
        )),
        Err(_) => network(text),
    }
}

/// In lower case, as Envoy sends it.
fn header_name(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!#$%&'*+^`|~".contains(&byte);
    match name.as_str() {
        "x-forwarded-for" => Err("x-forwarded-for is a chain of addresses; use client_ip.source = \"xff\"".into()),
        "forwarded" => Err("Forwarded (RFC 7239) is not a bare address, and this version cannot read it; use a header with one address".into()),
        _ if name.bytes().all(is_token) => Ok(name),
        _ => Err(format!("{text:?} is not a header name")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load_text;
    use crate::client_ip::Source;

    const PROXIES: &str = "trusted_proxies = ['10.0.0.0/24', '2001:db8:1b::/64']";

    #[test]
    fn each_source_is_read() {
        for (text, source) in [
            ("", Source::Peer),
            ("source = 'peer'", Source::Peer),
            ("source = 'metadata'", Source::Metadata),
            (
                "source = 'xff'\ntrusted_hops = ['10.0.1.0/24']",
                Source::Xff { trusted_hops: vec!["10.0.1.0/24".parse().unwrap()] },
            ),
            ("source = 'header'\nheader = 'CF-Connecting-IP'", Source::Header("cf-connecting-ip".to_owned())),
        ] {
            let config = load_text(&format!("[client_ip]\n{text}\n{PROXIES}\nunclaimable = ['192.0.2.0/24']"), &[]);
            let config = config.unwrap();
            assert_eq!(config.client_ip.source, source);
            assert_eq!(config.client_ip.trusted_proxies.len(), 2);
            assert_eq!(config.settings.binding.unclaimable.len(), 1);
            let never_own = [&config.client_ip.trusted_proxies[..], config.client_ip.trusted_hops()].concat();
            assert_eq!(config.settings.binding.proxies, never_own, "proxies never own a key");
        }
    }

    #[test]
    fn inconsistent_settings_are_faults() {
        for (text, expected) in [
            ("source = 'metadata'", "client_ip.source = \"metadata\" needs client_ip.trusted_proxies: "),
            ("source = 'xff'", "client_ip.source = \"xff\" needs client_ip.trusted_proxies: list the proxies"),
            (
                "source = 'header'\nheader = 'x-real-ip'",
                "client_ip.source = \"header\" needs client_ip.trusted_proxies: ",
            ),
            ("source = 'metadata'\ntrusted_proxies = []", "client_ip.trusted_proxies: the list is empty"),
            (
                "source = 'header'\ntrusted_proxies = ['10.0.0.1']",
                "client_ip.source = \"header\" needs client_ip.header: ",
            ),
            ("header = 'x-real-ip'", "client_ip.header: is used only with client_ip.source = \"header\""),
            ("source = 'header'\nheader = 'X-Forwarded-For'", "use client_ip.source = \"xff\""),
            ("source = 'header'\nheader = 'forwarded'", "not a bare address"),
            ("source = 'header'\nheader = ':authority'", "\":authority\" is not a header name"),
            ("trusted_proxies = ['0.0.0.0/0']", "client_ip.trusted_proxies: the networks contain 100 % of all IPv4"),
            ("trusted_proxies = ['::/0']", "client_ip.trusted_proxies: the networks contain 100 % of all IPv6"),
            ("trusted_proxies = ['0.0.0.0/1', '128.0.0.0/1']", "contain 100 % of all IPv4 addresses"),
            ("trusted_proxies = ['10.0.0.0/8', '0.0.0.0/2', '64.0.0.0/2']", "contain 50 % of all IPv4 addresses"),
            (
                "source = 'xff'\ntrusted_proxies = ['10.0.0.1']\ntrusted_hops = ['8000::/1', '2000::/3']",
                "client_ip.trusted_hops: the networks contain 62 % of all IPv6 addresses",
            ),
            ("trusted_hops = ['10.0.0.0/24']", "client_ip.trusted_hops: is used only with client_ip.source = \"xff\""),
            ("nat64 = ['2001:db8:64::/96']\ntrusted_hops = ['2001:db8:64::cb00:7107']", "write the IPv4 network"),
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

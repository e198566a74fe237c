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
    let trusted_proxies = settings.take_list("client_ip.trusted_proxies", proxies);
    let unclaimable = settings.take_list("client_ip.unclaimable", network);
    let nat64 = settings.take_list("client_ip.nat64", str::parse::<Nat64>);
    behind_nat64(settings, &nat64, "trusted_proxies", &trusted_proxies);
    behind_nat64(settings, &nat64, "unclaimable", &unclaimable);
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
    let source = source(word, header).map_err(|fault| settings.faults.push(fault)).ok()?;
    Some((Resolver { source, trusted_proxies, nat64 }, unclaimable))
}

fn source(word: &str, header: Option<String>) -> Result<Source, String> {
    match (word, header) {
        ("header", Some(name)) => Ok(Source::Header(name)),
        ("header", None) => {
            Err("client_ip.source = \"header\" needs client_ip.header: set it to the name of the header".into())
        }
        (_, Some(_)) => Err(format!(
            "client_ip.header: is used only with client_ip.source = \"header\", but the source is {word:?}; remove it"
        )),
        ("metadata", None) => Ok(Source::Metadata),
        ("xff", None) => Ok(Source::Xff),
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

fn proxies(text: &str) -> Result<Network, String> {
    let network = network(text)?;
    if network.net().prefix_len() == 0 {
        return Err(format!(
            "{network} contains every address: any client could choose its own address; list only your proxies"
        ));
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
                "trusted proxies never own a key"
            );
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
            ("trusted_proxies = ['0.0.0.0/0']", "client_ip.trusted_proxies: 0.0.0.0/0 contains every address"),
            ("trusted_proxies = ['::/0']", "client_ip.trusted_proxies: ::/0 contains every address"),
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

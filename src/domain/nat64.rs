//! An organisation's own NAT64 prefixes. [`super::ClientIp`] folds the well-known `64:ff9b::/96` itself.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::{IpNet, Ipv6Net};

use super::Network;

/// An IPv6 prefix in which a translator embeds the IPv4 addresses of its clients (RFC 6052 §2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat64(Ipv6Net);

/// The prefix lengths for which RFC 6052 §2.2 defines where the IPv4 address is.
const LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];

/// Bits 64 to 71, which are zero in every address that embeds an IPv4 address.
const RESERVED: u128 = 0xff << 56;

impl Nat64 {
    /// Whether `ip` has this prefix.
    pub fn contains(self, ip: Ipv6Addr) -> bool {
        self.0.contains(&ip)
    }

    /// The prefix itself.
    pub fn network(self) -> Network {
        Network::from_net(self.0.into())
    }

    /// Whether addresses of `network` have this prefix. Such addresses are folded to IPv4, so the network matches no
    /// client.
    pub fn overlaps(self, network: Network) -> bool {
        match network.net() {
            IpNet::V4(_) => false,
            IpNet::V6(net) => self.0.contains(&net.network()) || net.contains(&self.0.network()),
        }
    }

    /// The IPv4 address that `ip`, which has this prefix, embeds; `None` if a translator cannot make such an address.
    pub fn embedded(self, ip: Ipv6Addr) -> Option<Ipv4Addr> {
        let bits = ip.to_bits();
        if bits & RESERVED != 0 {
            return None;
        }
        let embedded = match self.0.prefix_len() {
            96 => bits,
            // The IPv4 address follows the prefix and skips the reserved octet: without that octet, it is contiguous in
            // the remaining 120 bits.
            length => ((bits >> 64 << 56) | (bits & ((1 << 56) - 1))) >> (120 - 32 - u32::from(length)),
        };
        Some(Ipv4Addr::from_bits(embedded as u32))
    }
}

impl FromStr for Nat64 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let net: Ipv6Net =
            text.parse().map_err(|_| format!("{text:?} is not an IPv6 prefix such as 2001:db8:64::/96"))?;
        if !LENGTHS.contains(&net.prefix_len()) {
            return Err(format!("{text}: the length of a NAT64 prefix is 32, 40, 48, 56, 64 or 96 (RFC 6052 §2.2)"));
        }
        if net.trunc() != net {
            return Err(format!("{text} has host bits set; did you mean {}?", net.trunc()));
        }
        if net.network().to_bits() & RESERVED != 0 {
            return Err(format!("{text}: bits 64 to 71 of a NAT64 prefix must be zero (RFC 6052 §2.2)"));
        }
        if net.network().segments()[0] == 0 {
            return Err(format!("{text} is not a NAT64 prefix: loopback and IPv4-mapped addresses begin with it"));
        }
        Ok(Self(net))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of RFC 6052 §2.4: 192.0.2.33 in each length.
    const RFC: [(&str, &str); 6] = [
        ("2001:db8::/32", "2001:db8:c000:221::"),
        ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ];

    #[test]
    fn every_length_of_the_rfc() {
        for (prefix, address) in RFC {
            let (prefix, address): (Nat64, Ipv6Addr) = (prefix.parse().unwrap(), address.parse().unwrap());
            assert!(prefix.contains(address), "{address}");
            assert_eq!(prefix.embedded(address), Some(Ipv4Addr::new(192, 0, 2, 33)), "{address}");
        }
    }

    #[test]
    fn an_address_that_no_translator_makes_embeds_nothing() {
        let prefix: Nat64 = "2001:db8:122:344::/64".parse().unwrap();
        assert_eq!(prefix.embedded("2001:db8:122:344:1c0:2:2100::".parse().unwrap()), None);
    }

    #[test]
    fn invalid_prefixes_are_rejected() {
        for (text, why) in [
            ("10.0.0.0/8", "not an IPv6 prefix"),
            ("2001:db8::", "not an IPv6 prefix"),
            ("2001:db8::/33", "the length of a NAT64 prefix is 32"),
            ("2001:db8::/128", "the length of a NAT64 prefix is 32"),
            ("2001:db8:0:1::/48", "did you mean 2001:db8::/48?"),
            ("2001:db8:0:0:100::/96", "bits 64 to 71"),
            ("::/96", "loopback and IPv4-mapped addresses begin with it"),
        ] {
            let fault = text.parse::<Nat64>().unwrap_err();
            assert!(fault.contains(why), "{text}: {fault}");
        }
    }

    #[test]
    fn a_network_within_a_prefix_overlaps_it() {
        let prefix: Nat64 = "2001:db8:64::/96".parse().unwrap();
        for (network, overlaps) in [
            ("2001:db8:64::/96", true),
            ("2001:db8:64::cb00:7107", true),
            ("2001:db8::/32", true),
            ("2001:db8:65::/48", false),
            ("203.0.113.0/24", false),
        ] {
            assert_eq!(prefix.overlaps(network.parse().unwrap()), overlaps, "{network}");
        }
    }
}

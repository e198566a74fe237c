//! How large an owning network is, and how many of them a key may have.

use std::{net::IpAddr, time::Duration};

use super::{ClientIp, Network};

/// The size and number of the networks of a learned binding: `binding.*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// `binding.prefix_v4`, in bits.
    pub prefix_v4: u8,
    /// `binding.prefix_v6`, in bits.
    pub prefix_v6: u8,
    /// `binding.prefix_overrides`.
    pub overrides: Vec<PrefixOverride>,
    /// `binding.max_networks`.
    pub max_networks: u16,
    /// `binding.learn_window`, counted from the claim.
    pub learn_window: Duration,
}

/// One entry of `binding.prefix_overrides`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixOverride {
    /// The network in which this entry applies.
    pub network: Network,
    /// The prefix length of an owning network there; at least that of `network`.
    pub bits: u8,
}

impl Default for Shape {
    fn default() -> Self {
        Self { prefix_v4: 32, prefix_v6: 64, overrides: Vec::new(), max_networks: 1, learn_window: Duration::ZERO }
    }
}

impl Shape {
    /// The network that owns a key first used from `ip`, by the narrowest override that contains `ip`, else by the
    /// prefix length of the address family.
    ///
    /// `::1` always owns as `/128`: a wider network would contain all of `::/96`.
    pub fn network(&self, ip: ClientIp) -> Network {
        let covering = self.overrides.iter().filter(|entry| entry.network.contains(ip));
        let narrowest = covering.max_by_key(|entry| entry.network.net().prefix_len());
        let bits = match (narrowest, ip.ip()) {
            (_, IpAddr::V6(v6)) if v6.is_loopback() => 128,
            (Some(entry), _) => entry.bits,
            (None, IpAddr::V4(_)) => self.prefix_v4,
            (None, IpAddr::V6(_)) => self.prefix_v6,
        };
        // The configuration rejects more bits than the family has.
        Network::with_prefix(ip, bits)
    }

    /// Whether several networks may own a key.
    pub fn is_wide(&self) -> bool {
        self.max_networks > 1 && !self.learn_window.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(network: &str, bits: u8) -> PrefixOverride {
        PrefixOverride { network: network.parse().unwrap(), bits }
    }

    #[test]
    fn the_narrowest_override_decides() {
        let shape = Shape {
            prefix_v4: 24,
            prefix_v6: 48,
            overrides: vec![at("2001:db8::/32", 56), at("2001:db8:1::/48", 128), at("203.0.113.0/24", 32)],
            ..Shape::default()
        };
        for (ip, network) in [
            ("198.51.100.9", "198.51.100.0/24"),
            ("203.0.113.9", "203.0.113.9/32"),
            ("2001:db9::1", "2001:db9::/48"),
            ("2001:db8:2:3ff::1", "2001:db8:2:300::/56"),
            ("2001:db8:1::9", "2001:db8:1::9/128"),
            ("::1", "::1/128"),
            ("::ffff:203.0.113.9", "203.0.113.9/32"),
        ] {
            assert_eq!(shape.network(ip.parse().unwrap()).to_string(), network, "{ip}");
        }
    }

    #[test]
    fn the_default_shape_is_the_address_and_its_64() {
        for ip in ["203.0.113.7", "2001:db8:1:2:3:4:5:6", "::1", "10.0.0.1"] {
            let ip = ip.parse().unwrap();
            assert_eq!(Shape::default().network(ip), Network::owning(ip));
        }
    }
}

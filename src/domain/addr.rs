//! Addresses and networks in their one canonical form.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::IpNet;

/// A client's address after folding: an IPv4 address embedded in an IPv6 address becomes the IPv4 address.
///
/// Folds `::ffff:0:0/96` (RFC 4291 §2.5.5.2) and the well-known NAT64 prefix `64:ff9b::/96` (RFC 6052 §2.1). Every
/// constructor folds, so two spellings of one address always give the same owner. `client_ip.nat64` adds prefixes;
/// [`super::Nat64`] extracts the IPv4 address from those before this type is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientIp(IpAddr);

impl ClientIp {
    /// Folds `ip`.
    pub fn new(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self(ip),
            IpAddr::V6(v6) => Self(fold(v6).map_or(ip, IpAddr::V4)),
        }
    }

    /// The folded address.
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// Whether this address can never own a key: it does not identify one client (unspecified, multicast, link-local,
    /// reserved), or it embeds an address that anyone can choose (`::/96`, `64:ff9b:1::/48`, Teredo `2001::/32`). Loopback, `::1` included, can own.
    pub fn can_never_own(self) -> bool {
        let is_ipv6_loopback = matches!(self.0, IpAddr::V6(ip) if ip.is_loopback());
        !is_ipv6_loopback && Network::exactly(self).includes_never_owners()
    }
}

/// The IPv4 address that `ip` embeds, if any.
fn fold(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];
    let is_nat64 = ip.segments()[..6] == NAT64;
    if is_nat64 { Some(Ipv4Addr::from_bits(ip.to_bits() as u32)) } else { ip.to_ipv4_mapped() }
}

/// Strict: no port, brackets, zone id or octal. Callers that accept those forms strip them first.
impl FromStr for ClientIp {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self::new)
    }
}

impl fmt::Display for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An IPv4 or IPv6 prefix without host bits; never an IPv4 prefix written as IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(IpNet);

impl Network {
    /// The default owning network of a key first used from `ip`: the IPv4 `/32`, or the IPv6 `/64`, the smallest block
    /// that a provider assigns to one customer (RFC 6177).
    ///
    /// `::1` owns as `/128`: its `/64` would contain all of `::/96`.
    pub fn owning(ip: ClientIp) -> Self {
        match ip.ip() {
            IpAddr::V4(_) => Self::exactly(ip),
            IpAddr::V6(v6) if v6.is_loopback() => Self::exactly(ip),
            IpAddr::V6(_) => Self::with_prefix(ip, 64),
        }
    }

    /// The network with prefix length `bits` that contains `ip`; the address alone if `bits` exceeds the family's.
    pub fn with_prefix(ip: ClientIp, bits: u8) -> Self {
        IpNet::new(ip.ip(), bits).map_or(Self::exactly(ip), |net| Self(net.trunc()))
    }

    /// The wider network that `audit.mask_addresses` records instead: the IPv4 `/24`, the IPv6 `/48`.
    pub fn masked(self) -> Self {
        let bits = if self.0.addr().is_ipv4() { 24 } else { 48 };
        let wider = IpNet::new(self.0.addr(), bits.min(self.0.prefix_len()));
        Self(wider.map_or(self.0, |wider| wider.trunc()))
    }

    /// Wraps a prefix that the caller has checked to be canonical.
    pub(super) fn from_net(net: IpNet) -> Self {
        Self(net)
    }

    /// The prefix itself.
    pub fn net(self) -> IpNet {
        self.0
    }

    /// The network of this one address.
    pub fn exactly(ip: ClientIp) -> Self {
        Self(IpNet::from(ip.ip()))
    }

    /// Whether the two networks share an address.
    pub fn overlaps(self, other: Self) -> bool {
        self.0.contains(&other.0) || other.0.contains(&self.0)
    }

    /// Whether this network contains addresses that can never own a key ([`ClientIp::can_never_own`]).
    pub fn includes_never_owners(self) -> bool {
        NEVER_OWNERS
            .into_iter()
            .any(|(network, bits)| IpNet::new(network, bits).is_ok_and(|net| self.overlaps(Self(net))))
    }

    /// Whether one of `networks` contains `ip`.
    pub fn any_contains(networks: &[Self], ip: ClientIp) -> bool {
        networks.iter().any(|network| network.contains(ip))
    }

    /// The share of the IPv4 addresses, and of the IPv6 addresses, that are in `networks`.
    pub fn shares(networks: &[Self]) -> [(&'static str, f64); 2] {
        let disjoint = IpNet::aggregate(&networks.iter().map(|network| network.0).collect());
        let share = |is_ipv4: bool| {
            let family = disjoint.iter().filter(|net| net.addr().is_ipv4() == is_ipv4);
            family.map(|net| 0.5_f64.powi(net.prefix_len().into())).sum()
        };
        [("IPv4", share(true)), ("IPv6", share(false))]
    }

    /// Whether this network contains all of `other`.
    pub fn covers(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }

    /// Whether this network contains `ip`.
    pub fn contains(self, ip: ClientIp) -> bool {
        self.0.contains(&ip.ip())
    }
}

/// Unspecified, link-local, multicast, and what is no address of a client (RFC 1112, section 4): Cloudflare's Pseudo
/// IPv4 hashes IPv6 clients into `240.0.0.0/4`. Addresses with an IPv4 address in them that anyone can choose: `::/96`,
/// `64:ff9b:1::/48` (RFC 8215; a configured NAT64 prefix is IPv4 before this list is read), Teredo.
const NEVER_OWNERS: [(IpAddr, u8); 9] = [
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 32),
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    (IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4),
    (IpAddr::V4(Ipv4Addr::new(240, 0, 0, 0)), 4),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 96),
    (IpAddr::V6(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0)), 48),
    (IpAddr::V6(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0)), 32),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
    (IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)), 8),
];

/// Why a text is not a [`Network`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Neither an address nor a CIDR.
    #[error("{0:?} is not an IP address or CIDR")]
    Unparsable(String),
    /// Bits are set to the right of the prefix. Usually a typing error, so the bits are not cut silently.
    #[error("{given} has host bits set; did you mean {meant}?")]
    HostBits {
        /// What was written.
        given: String,
        /// The same prefix without host bits.
        meant: IpNet,
    },
    /// An IPv4 network written as IPv6. It would match nothing, because addresses are folded.
    #[error("{0} is IPv4 written as IPv6; write the IPv4 network")]
    MappedIpv4(String),
}

/// An address (meaning itself alone) or a CIDR without host bits.
impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unparsable = || NetworkError::Unparsable(text.to_owned());
        let net = match text.parse::<IpAddr>() {
            Ok(ip) => return Ok(Self(IpNet::from(ClientIp::new(ip).ip()))),
            Err(_) => text.parse::<IpNet>().map_err(|_| unparsable())?,
        };
        if net.trunc() != net {
            return Err(NetworkError::HostBits { given: text.to_owned(), meant: net.trunc() });
        }
        match net {
            IpNet::V6(v6) if v6.prefix_len() >= 96 && fold(v6.network()).is_some() => {
                Err(NetworkError::MappedIpv4(text.to_owned()))
            }
            _ => Ok(Self(net)),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> ClientIp {
        text.parse().unwrap()
    }

    #[test]
    fn every_spelling_of_an_ipv4_address_is_that_address() {
        for text in ["203.0.113.7", "::ffff:203.0.113.7", "::ffff:cb00:7107", "64:ff9b::203.0.113.7"] {
            assert_eq!(ip(text).to_string(), "203.0.113.7", "{text}");
        }
    }

    #[test]
    fn only_bare_addresses_are_accepted() {
        for text in
            ["", " 1.2.3.4", "1.2.3.4:80", "[::1]", "fe80::1%eth0", "1.2.3", "01.2.3.4", "1.2.3.4/32", "localhost"]
        {
            assert!(text.parse::<ClientIp>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_owning_network_is_the_address_or_its_64() {
        for (address, network) in [
            ("203.0.113.7", "203.0.113.7/32"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("::1", "::1/128"),
            ("::ffff:127.0.0.1", "127.0.0.1/32"),
        ] {
            assert_eq!(Network::owning(ip(address)).to_string(), network);
            assert!(Network::owning(ip(address)).contains(ip(address)));
        }
    }

    #[test]
    fn a_masked_network_contains_many_clients() {
        for (network, masked) in [
            ("203.0.113.7", "203.0.113.0/24"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("2001:db8:1:2::/64", "2001:db8:1::/48"),
            ("::1", "::/48"),
        ] {
            let found = network.parse::<Network>().unwrap().masked();
            assert_eq!(found.to_string(), masked);
            assert_eq!(found.to_string().parse(), Ok(found), "a store can read it back");
        }
    }

    #[test]
    fn addresses_that_can_never_own() {
        for text in [
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "254.252.239.103",
            "255.255.255.255",
            "ff02::1",
            "169.254.0.1",
            "fe80::1",
            "febf::1",
            "::2",
            "::1.2.3.4",
            "2001::1",
            "2001:0:ffff::",
            "::ffff:169.254.1.1",
            "64:ff9b::0.0.0.0",
            "64:ff9b::254.252.239.103",
            "64:ff9b:1::203.0.113.7",
            "64:ff9b:1:ffff::1",
        ] {
            assert!(ip(text).can_never_own(), "{text}");
            assert!(Network::exactly(ip(text)).includes_never_owners(), "{text}");
        }
        for text in
            ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "fc00::1", "2001:1::1", "2001:db8::1", "203.0.113.7"]
        {
            assert!(!ip(text).can_never_own(), "{text}");
            assert!(text == "::1" || !Network::exactly(ip(text)).includes_never_owners(), "{text}");
        }
    }

    #[test]
    fn the_share_of_a_family_counts_each_address_once() {
        for (networks, shares) in [
            (&[][..], [0.0, 0.0]),
            (&["0.0.0.0/1", "128.0.0.0/1"], [1.0, 0.0]),
            (&["0.0.0.0/2", "0.0.0.0/2", "64.0.0.0/2", "10.0.0.0/8"], [0.5, 0.0]),
            (&["8000::/1", "2000::/3", "203.0.113.0/24"], [0.5_f64.powi(24), 0.625]),
        ] {
            let networks: Vec<Network> = networks.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(Network::shares(&networks).map(|(_, share)| share), shares);
        }
    }

    #[test]
    fn networks_are_canonical_or_rejected() {
        assert_eq!("203.0.113.7".parse::<Network>().unwrap().to_string(), "203.0.113.7/32");
        assert_eq!("2001:db8::/32".parse::<Network>().unwrap().to_string(), "2001:db8::/32");
        assert_eq!("::ffff:1.2.3.4".parse::<Network>().unwrap().to_string(), "1.2.3.4/32");
        assert_eq!(
            "203.0.113.7/24".parse::<Network>().unwrap_err().to_string(),
            "203.0.113.7/24 has host bits set; did you mean 203.0.113.0/24?"
        );
        assert!(matches!("::ffff:1.2.3.0/120".parse::<Network>(), Err(NetworkError::MappedIpv4(_))));
        assert!(matches!("10.0.0.0/33".parse::<Network>(), Err(NetworkError::Unparsable(_))));
        assert!(!"10.0.0.0/8".parse::<Network>().unwrap().contains(ip("::1")));
    }
}

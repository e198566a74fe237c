//! The walk through X-Forwarded-For against proxy-addr, which Express uses: the same client in every chain, but for the
//! differences that we mean.
//!
//! | the walk meets | proxy-addr | Sentinel | because |
//! |---|---|---|---|
//! | a hop that is not an address | returns its text | denies | a text does not identify a client; two clients could share it |
//! | the chain's end, still trusted | returns the left-most proxy | denies | all clients would be that proxy |
//! | an empty hop (`a,,b`) | skips it | denies | some proxy did not know whom it spoke for |
//! | `127.1`, `0x7f000001`, `010.0.0.1`, a zone id | reads an address | denies | readers differ in what they mean |
//! | a port, brackets, tabs | no address | reads it | proxies write them (Azure, IIS) |

use std::{
    fs::File,
    io::{BufWriter, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    process::Command,
};

use crate::common::Dice;
use key_ip_sentinel::{
    client_ip::{AddressInputs, Resolver, Source},
    domain::ClientIp,
};
use serde_json::json;

const SEED: u64 = 0x5e17_1e1d;
const CASES: usize = 25_000;

/// Replaces every hop that Sentinel does not accept as an address, where proxy-addr would skip it or read one.
const NO_ADDRESS: &str = "unknown";

const TRUSTED: [&[&str]; 4] = [
    &["10.0.0.0/8"],
    &["10.0.0.0/8", "192.0.2.0/24", "2001:db8:1b::/48"],
    &["127.0.0.1", "::1", "10.1.2.3", "172.16.0.0/12"],
    &["203.0.113.128/25", "2001:db8::/32", "10.0.0.0/31", "10.1.2.3"],
];

struct Case {
    trusted: &'static [&'static str],
    peer: IpAddr,
    /// As Envoy hands it over: what proxies really write.
    lines: Vec<String>,
    /// The same chain in the words that proxy-addr knows.
    chain: Option<String>,
}

/// Near the trusted networks, on both sides of their borders.
fn address(dice: &mut Dice) -> IpAddr {
    let low = dice.next() as u32;
    match dice.below(20) {
        0 => Ipv4Addr::from_bits(0x0a00_0000 | low & 0x00ff_ffff).into(),
        1 => Ipv4Addr::from_bits(0x0a00_0000 | low & 3).into(),
        2 => Ipv4Addr::from_bits(0xc000_0200 | low & 0x1ff).into(),
        3 => Ipv4Addr::from_bits(0xcb00_7100 | low & 0xff).into(),
        4 => [Ipv4Addr::LOCALHOST, Ipv4Addr::new(10, 1, 2, 3), Ipv4Addr::new(172, 31, 0, 9)][dice.below(3)].into(),
        5 => Ipv4Addr::from_bits(low).into(),
        6 => Ipv6Addr::from_bits(0x2001_0db8_001b_u128 << 80 | u128::from(low) << 60).into(),
        7 => Ipv6Addr::from_bits(0x2001_0db9_u128 << 96 | u128::from(low)).into(),
        8 => Ipv4Addr::from_bits(0x0a00_0000 | low & 7).to_ipv6_mapped().into(),
        // Every set of proxies has this one, so that walks get somewhere.
        _ => Ipv4Addr::new(10, 1, 2, 3).into(),
    }
}

/// A hop as a proxy writes it, and as proxy-addr reads it.
fn hop(dice: &mut Dice) -> (String, String) {
    const NO_ADDRESSES: [&str; 14] = [
        "",
        " ",
        "unknown",
        "_hidden",
        "localhost",
        "127.1",
        "0x7f000001",
        "010.0.0.1",
        "1",
        "fe80::1%eth0",
        "10.0.0.1/8",
        "10.0.0.1:",
        "[10.0.0.1]",
        "\"10.0.0.1\"",
    ];
    if dice.below(12) == 0 {
        return (NO_ADDRESSES[dice.below(NO_ADDRESSES.len())].to_owned(), NO_ADDRESS.to_owned());
    }
    let (ip, port) = (address(dice), dice.below(65_536));
    let plain = match ip {
        IpAddr::V6(v6) if dice.below(4) == 0 => v6.segments().map(|part| format!("{part:04X}")).join(":"),
        _ => ip.to_string(),
    };
    let written = match (ip, dice.below(6)) {
        (IpAddr::V4(_), 0) => format!("{plain}:{port}"),
        (IpAddr::V6(_), 0) => format!("[{plain}]:{port}"),
        (IpAddr::V6(_), 1) => format!("[{plain}]"),
        _ => plain.clone(),
    };
    (written, plain)
}

fn case(dice: &mut Dice) -> Case {
    let trusted = TRUSTED[dice.below(TRUSTED.len())];
    let peer = address(dice);
    let hops: Vec<_> = (0..dice.below(9)).map(|_| hop(dice)).collect();
    let mut lines: Vec<String> = Vec::new();
    for (nth, (written, _)) in hops.iter().enumerate() {
        let space = ["", " ", "  ", "\t"][dice.below(4)];
        match lines.last_mut() {
            Some(line) if nth > 0 && dice.below(4) > 0 => *line += &format!(",{space}{written}"),
            _ => lines.push(format!("{written}{space}")),
        }
    }
    let chain = hops.into_iter().map(|(_, plain)| plain).collect::<Vec<_>>().join(", ");
    Case { trusted, peer, chain: (!lines.is_empty()).then_some(chain), lines }
}

fn ours(case: &Case) -> Option<ClientIp> {
    let trusted_proxies: Vec<_> = case.trusted.iter().map(|text| text.parse().unwrap()).collect();
    let source = Source::Xff { trusted_hops: trusted_proxies.clone() };
    let resolver = Resolver { source, trusted_proxies, nat64: Vec::new() };
    let lines: Vec<_> = case.lines.iter().map(String::as_bytes).collect();
    resolver.resolve(&AddressInputs { peer: Some(&case.peer.to_string()), lines: &lines, ..AddressInputs::default() })
}

/// One node process for all cases; its standard input is a file, so neither side can wait for the other.
fn oracle(cases: &[Case]) -> Vec<(String, bool)> {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/oracle/node_modules");
    assert!(modules.join("proxy-addr").is_dir(), "no proxy-addr in {}: run `make setup`", modules.display());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cases");
    let mut file = BufWriter::new(File::create(&path).unwrap());
    for Case { trusted, peer, chain, .. } in cases {
        writeln!(file, "{}", json!({ "trusted": trusted, "peer": peer, "chain": chain })).unwrap();
    }
    file.into_inner().unwrap();
    let mut node = Command::new("node");
    node.arg("tests/oracle/walk.js").env("NODE_PATH", &modules).stdin(File::open(&path).unwrap());
    let output = node.output().unwrap_or_else(|error| panic!("node: {error}: run `make setup`"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers = String::from_utf8(output.stdout).unwrap();
    answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn proxy_addr_finds_the_same_client() {
    let mut dice = Dice::new(SEED);
    let cases: Vec<_> = (0..CASES).map(|_| case(&mut dice)).collect();
    let answers = oracle(&cases);
    assert_eq!(answers.len(), CASES);
    let (mut peers, mut hops, mut no_address, mut all_trusted) = (0, 0, 0, 0);
    for (case, (address, is_trusted)) in cases.iter().zip(answers) {
        let expected = match address.parse::<IpAddr>() {
            Ok(ip) if !is_trusted => Some(ClientIp::new(ip)),
            _ => None,
        };
        assert_eq!(
            ours(case),
            expected,
            "{} in {:?}, peer {}, trusted {:?}",
            address,
            case.lines,
            case.peer,
            case.trusted
        );
        match expected {
            Some(client) if client == ClientIp::new(case.peer) => peers += 1,
            Some(_) => hops += 1,
            None if is_trusted => all_trusted += 1,
            None => no_address += 1,
        }
    }
    // Otherwise the cases would prove less than they seem to.
    let seen = [peers, hops, no_address, all_trusted];
    assert!(seen.iter().all(|count| *count > CASES / 25), "{seen:?}");
}

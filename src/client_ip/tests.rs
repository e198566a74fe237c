use super::*;

const LB: &str = "10.0.0.2";
const CLIENT: &str = "203.0.113.7";
const UNTRUSTED: &str = "198.51.100.9";

fn resolver(source: Source) -> Resolver {
    let networks = ["10.0.0.0/24", "2001:db8:1b::/64"].map(|text| text.parse().unwrap());
    Resolver { source, trusted_proxies: networks.to_vec(), nat64: vec!["2001:db8:64::/96".parse().unwrap()] }
}

/// The balancers that another balancer is in front of.
const HOPS: &[&str] = &["10.0.0.3/32", "2001:db8:1b::3/128"];

fn xff(trusted_hops: &[&str]) -> Source {
    Source::Xff { trusted_hops: trusted_hops.iter().map(|text| text.parse().unwrap()).collect() }
}

fn shown(client: Option<ClientIp>) -> String {
    client.map_or("unknown".to_owned(), |ip| ip.to_string())
}

fn by_metadata(client: &str, peer: &str) -> String {
    let said = AddressInputs {
        peer: Some("192.0.2.9"),
        resolved: Some(client),
        direct_peer: Some(peer),
        ..AddressInputs::default()
    };
    shown(resolver(Source::Metadata).resolve(&said))
}

fn by_lines(source: Source, peer: &str, lines: &[&str]) -> String {
    let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
    shown(resolver(source).resolve(&AddressInputs { peer: Some(peer), lines: &lines, ..AddressInputs::default() }))
}

#[test]
fn a_hop_in_every_spelling() {
    for text in ["203.0.113.7", " 203.0.113.7\t", "203.0.113.7:0", "203.0.113.7:65535"] {
        assert_eq!(forwarded::address(text.as_bytes()), Some(CLIENT.parse().unwrap()), "{text:?}");
    }
    for text in ["2001:db8::7", "[2001:db8::7]", "[2001:db8::7]:443", " [2001:DB8:0::7] "] {
        assert_eq!(forwarded::address(text.as_bytes()), Some("2001:db8::7".parse().unwrap()), "{text:?}");
    }
    for text in [
        "",
        " ",
        "unknown",
        "_hidden",
        "localhost",
        "203.0.113.7:",
        "203.0.113.7:65536",
        "203.0.113.7:+1",
        "203.0.113.7:8 0",
        "203.0.113.7 80",
        "203.0.113",
        "203.0.113.007",
        "0xcb.0.113.7",
        "3405803783",
        "[203.0.113.7]",
        "[2001:db8::7",
        "2001:db8::7]",
        "[2001:db8::7]x",
        "[2001:db8::7]:",
        "[]",
        "fe80::1%eth0",
        "[fe80::1%eth0]:1",
        "\"203.0.113.7\"",
        "for=203.0.113.7",
        "203.0.113.7/32",
        "/run/client.sock",
        "-",
        "203.0.113.7\0",
        "\u{a0}203.0.113.7",
        "２03.0.113.7",
    ] {
        assert_eq!(forwarded::address(text.as_bytes()), None, "{text:?}");
    }
    assert_eq!(forwarded::address(b"203.0.113.7\xff"), None);
}

#[test]
fn only_a_trusted_proxy_may_name_another_client_in_the_metadata() {
    for (client, peer, expected) in [
        (CLIENT, LB, CLIENT),
        ("::ffff:203.0.113.7", LB, CLIENT),
        ("2001:db8:64::203.0.113.7", "::ffff:10.0.0.2", CLIENT),
        ("203.0.113.7:4711", LB, CLIENT),
        ("2001:db8::7", "2001:db8:1b::2", "2001:db8::7"),
        (UNTRUSTED, UNTRUSTED, UNTRUSTED),
        ("::ffff:198.51.100.9", UNTRUSTED, UNTRUSTED),
        // A client that bypasses the proxy names another client.
        (CLIENT, UNTRUSTED, "unknown"),
        (LB, UNTRUSTED, "unknown"),
        // The proxy names no client.
        (LB, LB, "unknown"),
        ("10.0.0.3", LB, "unknown"),
        ("", LB, "unknown"),
        (CLIENT, "", "unknown"),
        ("203.0.113.7,203.0.113.7", LB, "unknown"),
        (CLIENT, "10.0.0.2,10.0.0.2", "unknown"),
        ("/run/client.sock", LB, "unknown"),
        ("fe80::1%eth0", LB, "unknown"),
        ("internal_client_address", "internal_client_address", "unknown"),
    ] {
        assert_eq!(by_metadata(client, peer), expected, "{client} by {peer}");
    }
    for said in [
        AddressInputs { resolved: Some(CLIENT), ..AddressInputs::default() },
        AddressInputs { direct_peer: Some(LB), ..AddressInputs::default() },
        AddressInputs { peer: Some(CLIENT), ..AddressInputs::default() },
    ] {
        assert_eq!(resolver(Source::Metadata).resolve(&said), None, "{said:?}");
    }
}

#[test]
fn the_walk_stops_at_the_first_untrusted_address() {
    let cases: [(&str, &[&str], &str); 20] = [
        (UNTRUSTED, &[], UNTRUSTED),
        (UNTRUSTED, &["203.0.113.7"], UNTRUSTED),
        (UNTRUSTED, &["garbage"], UNTRUSTED),
        (LB, &["203.0.113.7"], CLIENT),
        (LB, &["6.6.6.6, 203.0.113.7"], CLIENT),
        (LB, &["garbage, 203.0.113.7"], CLIENT),
        (LB, &[", 203.0.113.7"], CLIENT),
        (LB, &["203.0.113.7, 10.0.0.3,10.0.0.2"], CLIENT),
        (LB, &["6.6.6.6", "203.0.113.7", "10.0.0.3"], CLIENT),
        (LB, &["203.0.113.7:1, [2001:db8:1b::3]:2"], CLIENT),
        (LB, &["::ffff:203.0.113.7,::ffff:10.0.0.3"], CLIENT),
        ("::ffff:10.0.0.2", &["2001:db8:64::cb00:7107"], CLIENT),
        (LB, &[], "unknown"),
        (LB, &[""], "unknown"),
        (LB, &["203.0.113.7,"], "unknown"),
        (LB, &["203.0.113.7", ""], "unknown"),
        (LB, &["203.0.113.7, unknown"], "unknown"),
        (LB, &["203.0.113.7, unknown, 10.0.0.3"], "unknown"),
        (LB, &["10.0.0.4, 10.0.0.3"], "unknown"),
        ("/run/client.sock", &["203.0.113.7"], "unknown"),
    ];
    for (peer, lines, expected) in cases {
        assert_eq!(by_lines(xff(HOPS), peer, lines), expected, "{lines:?} by {peer}");
    }
}

/// A CDN's published networks contain the addresses of its customers' programs. Such a program forges the beginning of
/// the chain, and the CDN appends the program's own address.
#[test]
fn a_program_inside_the_trusted_networks_does_not_choose_its_address() {
    for (lines, expected) in [
        (["203.0.113.7, 10.0.0.103"], "unknown"),
        (["203.0.113.7, 10.0.0.103, 10.0.0.2"], "unknown"),
        (["203.0.113.7, 10.0.0.103, 10.0.0.3, 10.0.0.2"], "unknown"),
        (["203.0.113.7, 2001:db8:1b::103"], "unknown"),
        (["198.51.100.9, 203.0.113.7, 10.0.0.2"], CLIENT),
        // The peer's own address is passed over once, where Envoy appends it.
        (["203.0.113.7, 10.0.0.2, 10.0.0.2"], "unknown"),
        (["203.0.113.7, 10.0.0.2, 10.0.0.3"], "unknown"),
    ] {
        assert_eq!(by_lines(xff(HOPS), LB, &lines), expected, "{lines:?}");
    }
    assert_eq!(by_lines(xff(&[]), LB, &["203.0.113.7, 10.0.0.3"]), "unknown");
    assert_eq!(by_lines(xff(&[]), LB, &["203.0.113.7, 10.0.0.2"]), CLIENT);
}

#[test]
fn the_header_must_appear_once_and_come_from_a_trusted_proxy() {
    let cases: [(&str, &[&str], &str); 10] = [
        (LB, &["203.0.113.7"], CLIENT),
        (LB, &["[::ffff:203.0.113.7]:4711"], CLIENT),
        (LB, &[], "unknown"),
        (LB, &[""], "unknown"),
        (LB, &["203.0.113.7", "203.0.113.7"], "unknown"),
        (LB, &["203.0.113.7,203.0.113.7"], "unknown"),
        (LB, &["client.example"], "unknown"),
        (LB, &["10.0.0.3"], "unknown"),
        (UNTRUSTED, &["203.0.113.7"], "unknown"),
        (UNTRUSTED, &[], "unknown"),
    ];
    for (peer, lines, expected) in cases {
        let source = Source::Header("cf-connecting-ip".to_owned());
        assert_eq!(by_lines(source, peer, lines), expected, "{lines:?} by {peer}");
    }
}

#[test]
fn an_invalid_nat64_address_is_not_an_address() {
    let mut resolver = resolver(Source::Peer);
    resolver.nat64 = vec!["2001:db8:122:344::/64".parse().unwrap()];
    for (peer, expected) in
        [("2001:db8:122:344:cb:71:700::", "203.0.113.7"), ("2001:db8:122:344:1cb:71:700::", "unknown")]
    {
        assert_eq!(
            shown(resolver.resolve(&AddressInputs { peer: Some(peer), ..AddressInputs::default() })),
            expected,
            "{peer}"
        );
    }
}

#[test]
fn the_peer_is_a_bare_address() {
    for (peer, expected) in [("203.0.113.7", CLIENT), ("::ffff:203.0.113.7", CLIENT), (LB, LB)] {
        assert_eq!(by_lines(Source::Peer, peer, &[]), expected);
    }
    for peer in ["203.0.113.7:80", "[::1]", " 203.0.113.7", "fe80::1%eth0", ""] {
        assert_eq!(by_lines(Source::Peer, peer, &[]), "unknown", "{peer:?}");
    }
}

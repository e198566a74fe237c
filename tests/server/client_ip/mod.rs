//! The client's address through a real Envoy, in every topology, with what an attacker would send there.
//!
//! No request here has a key, so that the denial's body tells the address as Sentinel judged it.

mod topologies;

use std::net::IpAddr;

use crate::common::{
    edge::Edge,
    envoy::EnvoyConfig,
    http_client::{Call, HttpReply, Version},
    sentinel,
};

/// How a request comes to Envoy.
#[derive(Clone, Copy, Debug)]
enum Via {
    /// Over a TCP connection from this loopback address.
    Tcp(&'static str),
    /// Over one from 127.0.0.1 with a PROXY header that names this address.
    Proxied(&'static str),
    /// Over one from the first address with a PROXY header that names the second.
    Forged(&'static str, &'static str),
    /// Like [`Proxied`], in version 2 of the protocol; `LOCAL` names nobody.
    ProxiedV2(&'static str),
    /// Over Envoy's unix socket.
    Pipe,
}
use Via::*;

/// One request and, for each source in the order of [`SOURCES`], the client that Sentinel must see: an address,
/// `denied`, or `-` where nobody would use that source.
type Row = (&'static str, Via, &'static [(&'static str, &'static str)], [&'static str; 4]);

const SOURCES: [&str; 4] = ["peer", "metadata", "xff", "header"];

const XFF: &str = "x-forwarded-for";

/// The balancer: 127.0.0.1 on TCP, 10.0.0.2 where a PROXY header says so. An attacker is 127.0.0.2 or 192.0.2.66.
const PROXIES: &str = "[\"127.0.0.1\", \"::1\", \"10.0.0.2\"]";

async fn judged(call: Call) -> String {
    let HttpReply { status, body, .. } = call.send().await;
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    match (status, body["code"].as_str()) {
        (401, Some("no_key")) => body["client_ip"].as_str().unwrap().to_owned(),
        (403, Some("client_ip_unknown")) => "denied".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Runs every row with every source that has an expectation, over both protocols.
async fn topology(config: impl Fn() -> EnvoyConfig, header: &str, rows: &[Row]) {
    let mut wrong = Vec::new();
    for (nth, source) in SOURCES.into_iter().enumerate() {
        if rows.iter().all(|(.., expected)| expected[nth] == "-") {
            continue;
        }
        let home = sentinel().set("client_ip.source", &format!("{source:?}")).set("client_ip.trusted_proxies", PROXIES);
        let home = if source == "xff" { home.set("client_ip.trusted_hops", PROXIES) } else { home };
        let home = if source == "header" { home.set("client_ip.header", &format!("{header:?}")) } else { home };
        let config = match rows {
            [(_, Pipe, ..), ..] => topologies::on_a_pipe(config(), home.path()),
            _ => config(),
        };
        let edge = Edge::start(home, config).await;
        for (what, via, headers, expected) in rows.iter().filter(|(.., expected)| expected[nth] != "-") {
            for version in Version::BOTH {
                let call = edge.envoy.call(version, "/");
                let call = match via {
                    Tcp(from) => call.from(from),
                    Proxied(client) => call.proxied_for(client),
                    Forged(from, client) => call.from(from).proxied_for(client),
                    ProxiedV2(client) => call.proxied_v2_for(client.parse().ok()),
                    Pipe => call,
                };
                let call = headers.iter().fold(call, |call, (name, value)| call.header(name, value));
                let seen = judged(call).await;
                if seen != expected[nth] {
                    wrong.push(format!("{what}, {source}, {version:?}: {seen}, not {}", expected[nth]));
                }
            }
        }
        assert_eq!(edge.envoy.counter("http.edge.ext_authz.sentinel.error").await, 0, "{source}");
        assert!(edge.upstream.take().is_empty());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whatever a client may write of itself, besides X-Forwarded-For.
const FORGED: &[(&str, &str)] = &[
    ("x-client-ip", "6.6.6.6"),
    ("x-peer-ip", "127.0.0.1"),
    ("x-real-ip", "6.6.6.6"),
    ("true-client-ip", "6.6.6.6"),
    ("cf-connecting-ip", "6.6.6.6"),
    ("forwarded", "for=6.6.6.6"),
    ("x-envoy-external-address", "6.6.6.6"),
    ("x-envoy-internal", "true"),
];

#[rustfmt::skip]
#[tokio::test]
async fn at_the_edge() {
    topology(topologies::edge, "x-envoy-external-address", &[
        // what                                request                                                    peer         metadata     xff          header
        ("a: nothing said",                    Tcp("127.0.0.2"), &[],                                     ["127.0.0.2", "127.0.0.2", "127.0.0.2", "denied"]),
        ("b: the client's own chain",          Tcp("127.0.0.2"), &[(XFF, "6.6.6.6")],                     ["127.0.0.2", "127.0.0.2", "127.0.0.2", "denied"]),
        ("b: a chain that names the balancer", Tcp("127.0.0.2"), &[(XFF, "6.6.6.6, 127.0.0.1")],          ["127.0.0.2", "127.0.0.2", "127.0.0.2", "denied"]),
        ("b': two lines",                      Tcp("127.0.0.2"), &[(XFF, "6.6.6.6"), (XFF, "198.51.100.9")], ["127.0.0.2", "127.0.0.2", "127.0.0.2", "denied"]),
        ("whatever else names a client",       Tcp("127.0.0.2"), FORGED,                                  ["127.0.0.2", "127.0.0.2", "127.0.0.2", "denied"]),
        ("a balancer that nobody told Envoy",  Tcp("127.0.0.1"), &[(XFF, "6.6.6.6")],                     ["127.0.0.1", "denied",    "-",         "denied"]),
    ]).await;
}

#[rustfmt::skip]
#[tokio::test]
async fn behind_one_proxy_by_count() {
    topology(|| topologies::hops(1), "x-envoy-external-address", &[
        // what                                request                                                    peer         metadata     xff          header
        ("c1: the balancer's chain",           Tcp("127.0.0.1"), &[(XFF, "203.0.113.7")],                 ["127.0.0.1", "203.0.113.7", "-",       "203.0.113.7"]),
        ("c1: behind a forged beginning",      Tcp("127.0.0.1"), &[(XFF, "6.6.6.6, 203.0.113.7")],        ["127.0.0.1", "203.0.113.7", "-",       "203.0.113.7"]),
        ("c1: mapped",                         Tcp("127.0.0.1"), &[(XFF, "::ffff:203.0.113.7")],          ["127.0.0.1", "203.0.113.7", "-",       "203.0.113.7"]),
        ("c1': around the balancer",           Tcp("127.0.0.2"), &[(XFF, "6.6.6.6")],                     ["127.0.0.2", "denied",      "127.0.0.2", "denied"]),
        ("c1': around, saying nothing",        Tcp("127.0.0.2"), &[],                                     ["127.0.0.2", "127.0.0.2",   "127.0.0.2", "denied"]),
        ("c1': as the balancer",               Tcp("127.0.0.2"), &[(XFF, "127.0.0.1")],                   ["127.0.0.2", "denied",      "127.0.0.2", "denied"]),
        ("c: no chain",                        Tcp("127.0.0.1"), &[],                                     ["127.0.0.1", "denied",      "-",       "denied"]),
        ("c: an entry with a port",            Tcp("127.0.0.1"), &[(XFF, "203.0.113.7:4711")],            ["127.0.0.1", "denied",      "-",       "denied"]),
        ("c: an entry that is none",           Tcp("127.0.0.1"), &[(XFF, "203.0.113.7, unknown")],        ["127.0.0.1", "denied",      "-",       "denied"]),
        ("whatever else names a client",       Tcp("127.0.0.2"), FORGED,                                  ["127.0.0.2", "127.0.0.2",   "127.0.0.2", "denied"]),
    ]).await;
}

/// Realistic peers: the balancer 10.0.0.2 and strangers, named by PROXY headers, whether Envoy appends the peer to the
/// chain or not, and in both encodings of headers. (A loopback peer is no model: for it Envoy appends its own host's address, see the next test.)
#[rustfmt::skip]
#[tokio::test]
async fn chains_read_by_sentinel() {
    for config in [
        topologies::edge, || topologies::edge().joined_headers(), || topologies::hops(1), || topologies::default(0),
        topologies::detection_by_networks,
    ] {
        topology(|| config().behind_proxy_protocol(), "cf-connecting-ip", &[
            // what                            request                                                       peer            metadata  xff            header
            ("a",                              Proxied("192.0.2.66"), &[],                                   ["192.0.2.66",   "-", "192.0.2.66",  "denied"]),
            ("b",                              Proxied("192.0.2.66"), &[(XFF, "6.6.6.6")],                   ["192.0.2.66",   "-", "192.0.2.66",  "denied"]),
            ("b'",                             Proxied("192.0.2.66"), &[(XFF, "6.6.6.6"), (XFF, "10.0.0.2")], ["192.0.2.66",  "-", "192.0.2.66",  "denied"]),
            ("around, with all headers",       Proxied("192.0.2.66"), FORGED,                                ["192.0.2.66",   "-", "192.0.2.66",  "denied"]),
            ("c1",                             Proxied("10.0.0.2"), &[(XFF, "203.0.113.7")],                 ["10.0.0.2",     "-", "203.0.113.7", "denied"]),
            ("c1 behind a forged beginning",   Proxied("10.0.0.2"), &[(XFF, "6.6.6.6,203.0.113.7")],         ["10.0.0.2",     "-", "203.0.113.7", "denied"]),
            ("c1 behind forged lines",         Proxied("10.0.0.2"), &[(XFF, "6.6.6.6"), (XFF, "203.0.113.7")], ["10.0.0.2",   "-", "203.0.113.7", "denied"]),
            ("c2: two balancers",              Proxied("10.0.0.2"), &[(XFF, "6.6.6.6, 203.0.113.7, 10.0.0.2")], ["10.0.0.2",  "-", "203.0.113.7", "denied"]),
            ("c1 with a port",                 Proxied("10.0.0.2"), &[(XFF, "203.0.113.7:4711")],            ["10.0.0.2",     "-", "203.0.113.7", "denied"]),
            ("c1 in brackets",                 Proxied("10.0.0.2"), &[(XFF, "[2001:db8::7]:4711")],          ["10.0.0.2",     "-", "2001:db8::7", "denied"]),
            ("c1 mapped",                      Proxied("10.0.0.2"), &[(XFF, "::ffff:203.0.113.7")],          ["10.0.0.2",     "-", "203.0.113.7", "denied"]),
            ("c1 beside a longer name",        Proxied("10.0.0.2"), &[(XFF, "203.0.113.7"), ("x-forwarded-for-by", "6.6.6.6")], ["10.0.0.2", "-", "203.0.113.7", "denied"]),
            ("c: no chain",                    Proxied("10.0.0.2"), &[],                                     ["10.0.0.2",     "-", "denied",      "denied"]),
            ("c: an entry that is none",       Proxied("10.0.0.2"), &[(XFF, "203.0.113.7, unknown")],        ["10.0.0.2",     "-", "denied",      "denied"]),
            ("c: only proxies",                Proxied("10.0.0.2"), &[(XFF, "10.0.0.2")],                    ["10.0.0.2",     "-", "denied",      "denied"]),
            ("c: a zone id",                   Proxied("10.0.0.2"), &[(XFF, "fe80::1%eth0")],                ["10.0.0.2",     "-", "denied",      "denied"]),
            ("the CDN's header",               Proxied("10.0.0.2"), &[("cf-connecting-ip", "203.0.113.7")],  ["10.0.0.2",     "-", "denied",      "203.0.113.7"]),
            ("the CDN's header, mapped",       Proxied("10.0.0.2"), &[("cf-connecting-ip", "::ffff:203.0.113.7")], ["10.0.0.2", "-", "denied",   "203.0.113.7"]),
            ("the CDN's header, longer name",  Proxied("10.0.0.2"), &[("cf-connecting-ip", "203.0.113.7"), ("cf-connecting-ipv6", "6.6.6.6")], ["10.0.0.2", "-", "denied", "203.0.113.7"]),
            ("the CDN's header twice",         Proxied("10.0.0.2"), &[("cf-connecting-ip", "6.6.6.6"), ("cf-connecting-ip", "203.0.113.7")], ["10.0.0.2", "-", "denied", "denied"]),
            ("the CDN's header, a list",       Proxied("10.0.0.2"), &[("cf-connecting-ip", "6.6.6.6, 203.0.113.7")], ["10.0.0.2", "-", "denied", "denied"]),
            ("the CDN's header, empty",        Proxied("10.0.0.2"), &[("cf-connecting-ip", "")],             ["10.0.0.2",     "-", "denied",      "denied"]),
            ("the CDN's header, garbage",     Proxied("10.0.0.2"), &[(XFF, "203.0.113.7"), ("cf-connecting-ip", "x")], ["10.0.0.2", "-", "203.0.113.7", "denied"]),
        ]).await;
    }
}

/// Behind a proxy on its own host Envoy writes that host's address into the chain instead of the peer's. Then `xff` sees
/// one client, visibly the host itself, until the host is listed as the proxy it is.
#[tokio::test]
async fn a_proxy_on_envoys_own_host() {
    let ask = async |hops: &str| {
        let home = sentinel().set("client_ip.source", "\"xff\"").set("client_ip.trusted_proxies", "[\"127.0.0.1\"]");
        let home = home.set("client_ip.trusted_hops", hops);
        let edge = Edge::start(home, topologies::edge()).await;
        judged(edge.envoy.get("/").header(XFF, "203.0.113.7")).await
    };
    let host = ask("[\"127.0.0.1\"]").await;
    assert!(host != "203.0.113.7" && host.parse::<IpAddr>().is_ok(), "{host}");
    assert_eq!(ask(&format!("[{host:?}]")).await, "203.0.113.7");
}

/// A program of a CDN's customer forges the beginning of the chain; the CDN appends the program's address, which is in the
/// networks that the CDN publishes. The owner is 203.0.113.7.
#[tokio::test]
async fn a_cdns_customer_does_not_choose_its_address() {
    const CDN: &str = "[\"127.0.0.1\", \"2a06:98c0::/29\"]";
    let forged = "203.0.113.7, 2a06:98c0:3600::103";
    // With `use_remote_address: true` Envoy appends its own address for a loopback peer, where `xff` would stop.
    for (source, envoy, header) in [
        ("xff", topologies::default(0), None),
        ("metadata", topologies::hops(1), None),
        ("header", topologies::hops(1), Some("\"cf-connecting-ip\"")),
    ] {
        let home = sentinel().set("client_ip.source", &format!("{source:?}")).set("client_ip.trusted_proxies", CDN);
        let home = header.into_iter().fold(home, |home, header| home.set("client_ip.header", header));
        let edge = Edge::start(home, envoy).await;
        let ask = |chain: &str, connecting: &str| {
            judged(edge.envoy.get("/").header(XFF, chain).header("cf-connecting-ip", connecting))
        };
        assert_eq!(ask(forged, "2a06:98c0:3600::103").await, "denied", "{source}");
        assert_eq!(ask("6.6.6.6, 203.0.113.7", "203.0.113.7").await, "203.0.113.7", "{source}");
    }
}

#[rustfmt::skip]
#[tokio::test]
async fn behind_two_proxies_by_count() {
    topology(|| topologies::hops(2), "x-envoy-external-address", &[
        // what                                request                                                             peer         metadata       xff  header
        ("c2: the second from the right",      Tcp("127.0.0.1"), &[(XFF, "6.6.6.6, 198.51.100.9, 10.0.0.2")],      ["127.0.0.1", "198.51.100.9", "-", "198.51.100.9"]),
        ("c2: around the balancers",           Tcp("127.0.0.2"), &[(XFF, "6.6.6.6, 198.51.100.9, 10.0.0.2")],      ["127.0.0.2", "denied",       "127.0.0.2", "denied"]),
        ("c: shorter than the count",          Tcp("127.0.0.1"), &[(XFF, "203.0.113.7")],                          ["127.0.0.1", "denied",       "-", "denied"]),
    ]).await;
}

/// Envoy's default believes the last entry of whoever sends it.
#[rustfmt::skip]
#[tokio::test]
async fn under_the_default_of_envoy() {
    topology(|| topologies::default(0), "x-envoy-external-address", &[
        // what                                request                                                    peer         metadata       xff            header
        ("ura=false: nothing said",            Tcp("127.0.0.2"), &[],                                     ["127.0.0.2", "127.0.0.2",   "127.0.0.2",   "denied"]),
        ("ura=false: the client's own chain",  Tcp("127.0.0.2"), &[(XFF, "6.6.6.6")],                     ["127.0.0.2", "denied",      "127.0.0.2",   "denied"]),
        ("ura=false: the client's own header", Tcp("127.0.0.2"), FORGED,                                  ["127.0.0.2", "127.0.0.2",   "127.0.0.2",   "denied"]),
        ("ura=false: the balancer's chain",    Tcp("127.0.0.1"), &[(XFF, "6.6.6.6, 203.0.113.7")],        ["127.0.0.1", "203.0.113.7", "203.0.113.7", "denied"]),
        ("ura=false: the balancer says none",  Tcp("127.0.0.1"), &[],                                     ["127.0.0.1", "denied",      "denied",      "denied"]),
    ]).await;
    topology(|| topologies::default(1), "x-real-ip", &[
        ("ura=false, 1 hop: one further left", Tcp("127.0.0.1"), &[(XFF, "6.6.6.6, 198.51.100.9, 10.0.0.2")], ["127.0.0.1", "198.51.100.9", "198.51.100.9", "denied"]),
        ("ura=false, 1 hop: from anybody",     Tcp("127.0.0.2"), &[(XFF, "6.6.6.6, 10.0.0.2")],           ["127.0.0.2", "denied",      "127.0.0.2",   "denied"]),
    ]).await;
}

#[rustfmt::skip]
#[tokio::test]
async fn with_an_extension_that_finds_the_client() {
    topology(|| topologies::detection_by_hops(1), "x-envoy-external-address", &[
        // what                                request                                                    peer         metadata       xff            header
        ("d: hops, one further left",          Tcp("127.0.0.1"), &[(XFF, "6.6.6.6, 198.51.100.9, 10.0.0.2")], ["127.0.0.1", "198.51.100.9", "198.51.100.9", "denied"]),
        ("d: hops, from anybody",              Tcp("127.0.0.2"), &[(XFF, "6.6.6.6, 10.0.0.2")],           ["127.0.0.2", "denied",      "127.0.0.2",   "denied"]),
        ("d: hops, external address forged",   Tcp("127.0.0.2"), FORGED,                                  ["127.0.0.2", "127.0.0.2",   "127.0.0.2",   "denied"]),
    ]).await;
    topology(topologies::detection_by_networks, "x-real-ip", &[
        ("d: networks, the balancer's chain",  Tcp("127.0.0.1"), &[(XFF, "203.0.113.7")],                 ["127.0.0.1", "203.0.113.7", "-",           "denied"]),
        ("d: networks, a forged beginning",    Tcp("127.0.0.1"), &[(XFF, "6.6.6.6, 203.0.113.7")],        ["127.0.0.1", "203.0.113.7", "-",           "denied"]),
        ("d: networks, two balancers",         Tcp("127.0.0.1"), &[(XFF, "6.6.6.6, 203.0.113.7, 127.0.0.1")], ["127.0.0.1", "203.0.113.7", "-",           "denied"]),
        ("d: networks, mapped",                Tcp("127.0.0.1"), &[(XFF, "::ffff:203.0.113.7")],          ["127.0.0.1", "203.0.113.7", "-",           "denied"]),
        ("d: networks, all trusted",           Tcp("127.0.0.1"), &[(XFF, "127.0.0.1, 127.0.0.1")],        ["127.0.0.1", "denied",      "-",           "denied"]),
        ("d: networks, private is not skipped", Tcp("127.0.0.1"), &[(XFF, "203.0.113.7, 192.168.0.9")],   ["127.0.0.1", "192.168.0.9", "-",           "denied"]),
        ("d: networks, no chain",              Tcp("127.0.0.1"), &[],                                     ["127.0.0.1", "denied",      "-",           "denied"]),
        ("d: networks, an entry that is none", Tcp("127.0.0.1"), &[(XFF, "203.0.113.7, unknown")],        ["127.0.0.1", "denied",      "-",           "denied"]),
        ("d: networks, an entry with a port",  Tcp("127.0.0.1"), &[(XFF, "203.0.113.7:4711")],            ["127.0.0.1", "denied",      "-",           "denied"]),
        ("d: networks, around the balancer",   Tcp("127.0.0.2"), &[(XFF, "6.6.6.6")],                     ["127.0.0.2", "127.0.0.2",   "127.0.0.2",   "denied"]),
        ("d: networks, all headers",           Tcp("127.0.0.2"), FORGED,                                  ["127.0.0.2", "127.0.0.2",   "127.0.0.2",   "denied"]),
        ("d: networks, a header it sets",      Tcp("127.0.0.1"), &[("x-real-ip", "203.0.113.7")],         ["127.0.0.1", "denied",      "-",           "203.0.113.7"]),
    ]).await;
    topology(topologies::detection_by_header, "x-real-ip", &[
        ("d: a header, the balancer's",        Tcp("127.0.0.1"), &[("x-real-ip", "203.0.113.7")],         ["127.0.0.1", "203.0.113.7", "-",           "203.0.113.7"]),
        ("d: a header, from anybody",          Tcp("127.0.0.2"), &[("x-real-ip", "6.6.6.6")],             ["127.0.0.2", "denied",      "127.0.0.2",   "denied"]),
    ]).await;
}

#[rustfmt::skip]
#[tokio::test]
async fn behind_the_proxy_protocol() {
    topology(topologies::proxy_protocol, "x-real-ip", &[
        // what                                request                                                    peer           metadata       xff            header
        ("e: the balancer's word",             Proxied("203.0.113.7"), &[],                               ["203.0.113.7", "203.0.113.7", "203.0.113.7", "denied"]),
        ("e: beside the client's own chain",   Proxied("203.0.113.7"), &[(XFF, "6.6.6.6")],               ["203.0.113.7", "203.0.113.7", "203.0.113.7", "denied"]),
        ("e: beside all headers",              Proxied("203.0.113.7"), FORGED,                            ["203.0.113.7", "203.0.113.7", "203.0.113.7", "denied"]),
        ("e: IPv6",                            Proxied("2001:db8::7"), &[],                               ["2001:db8::7", "2001:db8::7", "2001:db8::7", "denied"]),
        ("g: mapped",                          Proxied("::ffff:203.0.113.7"), &[],                        ["203.0.113.7", "203.0.113.7", "203.0.113.7", "denied"]),
        ("e: version 2",                       ProxiedV2("203.0.113.7"), &[(XFF, "6.6.6.6")],             ["203.0.113.7", "203.0.113.7", "203.0.113.7", "denied"]),
        ("e: version 2, for nobody",           ProxiedV2("LOCAL"), &[(XFF, "6.6.6.6")],                   ["127.0.0.1",   "denied",      "-",           "denied"]),
        ("e': from somebody else",             Forged("127.0.0.2", "8.8.8.8"), &[],                       ["8.8.8.8",     "denied",      "8.8.8.8",     "denied"]),
        ("e': as the balancer",                Forged("127.0.0.2", "127.0.0.1"), &[(XFF, "6.6.6.6")],     ["127.0.0.1",   "denied",      "-",           "denied"]),
    ]).await;
    topology(topologies::optional_proxy_protocol, "x-real-ip", &[
        ("e': where it is optional",           Forged("127.0.0.2", "8.8.8.8"), &[],                       ["8.8.8.8",     "denied",      "-",           "-"]),
        ("e': and left out",                   Tcp("127.0.0.2"), &[],                                     ["127.0.0.2",   "127.0.0.2",   "-",           "-"]),
    ]).await;
}

#[rustfmt::skip]
#[tokio::test]
async fn where_the_peer_has_no_ip_address() {
    for config in [topologies::edge, || topologies::default(0)] {
        topology(config, "x-real-ip", &[
            ("f: a unix socket",               Pipe, &[],                                                 ["denied", "denied", "denied", "denied"]),
            ("f: a unix socket and a chain",   Pipe, &[(XFF, "6.6.6.6"), ("x-real-ip", "6.6.6.6")],       ["denied", "denied", "denied", "denied"]),
            ("f: a unix socket, all headers",  Pipe, FORGED,                                              ["denied", "denied", "denied", "denied"]),
        ]).await;
        topology(|| topologies::internal_listener(config()), "x-real-ip", &[
            ("f: an internal listener",        Proxied("203.0.113.7"), &[],                               ["denied", "denied", "denied", "denied"]),
            ("f: it and a chain",              Proxied("203.0.113.7"), &[(XFF, "6.6.6.6")],               ["denied", "denied", "denied", "denied"]),
            ("f: it and all headers",          Proxied("203.0.113.7"), FORGED,                            ["denied", "denied", "denied", "denied"]),
        ]).await;
    }
}

#[rustfmt::skip]
#[tokio::test]
async fn on_a_socket_of_both_families() {
    topology(|| topologies::on_both_families(topologies::edge()), "x-real-ip", &[
        ("g: an IPv4 client",                  Tcp("127.0.0.5"), &[],                                     ["127.0.0.5", "127.0.0.5", "127.0.0.5", "-"]),
        ("g: an IPv4 client with a chain",     Tcp("127.0.0.5"), &[(XFF, "::ffff:6.6.6.6")],              ["127.0.0.5", "127.0.0.5", "127.0.0.5", "-"]),
        ("g: an IPv6 client",                  Tcp("::1"), &[],                                           ["::1",       "denied",    "-",         "-"]),
    ]).await;
}

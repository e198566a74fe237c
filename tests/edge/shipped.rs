//! Every file below envoy/ as its reader gets it: Envoy accepts it, Sentinel accepts the lines at its top, and the two
//! do together what the file says.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use crate::common::{
    edge::Edge,
    envoy::{EnvoyConfig, binary},
    http_client::{Call, Version},
};
use key_ip_sentinel::domain::Reason;

const EDGE: &str = "envoy.yaml";
const BEHIND_PROXY: &str = "envoy-behind-proxy.yaml";
const PROXY_PROTOCOL: &str = "envoy-proxy-protocol.yaml";

const OWNER: &str = "203.0.113.7";
const ATTACKER: &str = "198.51.100.9";
/// On loopback: the balancer, and a client that bypasses it.
const BALANCER: &str = "127.0.0.1";
const AROUND: &str = "127.0.0.2";

fn shipped() -> BTreeSet<String> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy");
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_file_has_its_tests() {
    let tested = [EDGE, BEHIND_PROXY, PROXY_PROTOCOL].map(str::to_owned);
    assert_eq!(shipped(), BTreeSet::from(tested), "a new file needs a test of its pair below");
}

#[test]
fn envoy_accepts_every_file_as_it_is() {
    for file in shipped() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy").join(&file);
        let output = Command::new(binary()).args(["--mode", "validate", "-c"]).arg(path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{file}: {said}");
        assert!(!said.contains("[warning]") && !said.contains("eprecated"), "{file}: {said}");
    }
}

#[test]
fn sentinel_accepts_the_lines_at_the_top_of_every_file() {
    for file in shipped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sentinel.toml");
        let settings = EnvoyConfig::file(&file).settings();
        let text: String = settings.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        fs::write(&path, &text).unwrap();
        // Not `check-config`, which also looks at this machine.
        let loaded = key_ip_sentinel::config::load(Some(&path), []);
        assert!(loaded.is_ok(), "{file}: {text}{}", loaded.unwrap_err());
        assert!(text.contains("listen.grpc = ") && text.contains("client_ip.source = "), "{file}: {text}");
    }
}

/// What a file has that the other lacks, and what it lacks.
fn differences(file: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let [edge, other] = [EDGE, file].map(|name| {
        let config = EnvoyConfig::file(name);
        config.code().into_iter().map(|line| line.trim().to_owned()).collect::<BTreeSet<_>>()
    });
    (&other - &edge, &edge - &other)
}

const METADATA: [&str; 3] = [
    "initial_metadata:",
    "- { key: x-client-ip, value: \"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\" }",
    "- { key: x-peer-ip, value: \"%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%\" }",
];

/// What hardens one file hardens them all: they differ by who the client is, and by nothing else.
#[test]
fn the_files_differ_only_where_their_topologies_do() {
    let lines = |own: &[&str]| METADATA.iter().chain(own).map(|line| (*line).to_owned()).collect::<BTreeSet<_>>();
    let (more, less) = differences(BEHIND_PROXY);
    let own = [
        "original_ip_detection_extensions:",
        "- name: envoy.http.original_ip_detection.xff",
        "\"@type\": type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig",
        "xff_trusted_cidrs: { cidrs: [ { address_prefix: 10.0.0.0, prefix_len: 24 } ] }",
        "skip_xff_append: false",
        "use_remote_address: false",
    ];
    assert_eq!(more, lines(&own));
    assert_eq!(less, BTreeSet::from(["use_remote_address: true", "xff_num_trusted_hops: 0"].map(str::to_owned)));

    let (more, less) = differences(PROXY_PROTOCOL);
    let own = [
        "listener_filters:",
        "- name: envoy.filters.listener.proxy_protocol",
        "\"@type\": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol",
        "allow_requests_without_proxy_protocol: false",
        "listener_filters_timeout: 5s",
        "continue_on_listener_filters_timeout: false",
        "- name: envoy.filters.network.set_filter_state",
        "\"@type\": type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config",
        "on_new_connection:",
        "- { object_key: client, factory_key: envoy.string, format_string: { text_format_source: { inline_string: \
         \"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\" } } }",
        "- match:",
        "path: /healthz",
        "filter_state: [ { key: client, string_match: { prefix: \"10.0.0.\" } } ]",
        "direct_response: { status: 200, body: { inline_string: \"ok\\n\" } }",
        "typed_per_filter_config: { envoy.filters.http.ext_authz: { \"@type\": \
         type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute, disabled: true } }",
    ];
    assert_eq!(more, lines(&own));
    assert_eq!(less, BTreeSet::new());
}

#[tokio::test]
async fn behind_a_balancer_the_key_belongs_to_the_client_whom_it_names() {
    let edge = Edge::pair(BEHIND_PROXY, BALANCER).await;
    for version in Version::BOTH {
        let key = format!("sk-behind-{version:?}-0123456789");
        let call = |path: &str| edge.envoy.call(version, &format!("/{version:?}{path}")).key(&key).from(BALANCER);
        let said = |path: &str, chain: &str| call(path).header("x-forwarded-for", chain);
        assert_eq!(said("/first", OWNER).send().await.status, 200);
        let [head] = &edge.upstream.take()[..] else { panic!("one request") };
        let chain = head.headers["x-forwarded-for"].to_str().unwrap();
        assert!(chain.starts_with(&format!("{OWNER},")), "the upstream's chain ends with the balancer: {chain}");
        for (path, chain, reason) in [
            ("/owner", OWNER.to_owned(), Reason::Bound),
            ("/owner/forged-beginning", format!("6.6.6.6, {OWNER}"), Reason::Bound),
            ("/attacker", ATTACKER.to_owned(), Reason::IpMismatch),
            ("/attacker/says-owner", format!("{OWNER}, {ATTACKER}"), Reason::IpMismatch),
            ("/unknown", "unknown".to_owned(), Reason::ClientIpUnknown),
            ("/balancer", BALANCER.to_owned(), Reason::ClientIpUnknown),
        ] {
            let reply = said(path, &chain).send().await;
            let path = format!("/{version:?}{path}");
            match reason {
                Reason::Bound => edge.assert_allowed(&path, &reply, reason).await,
                _ => edge.assert_denied(&path, &reply, reason).await,
            }
        }
        // Bypasses the balancer, with every header that could name the owner: decided and logged by its own address.
        let path = format!("/{version:?}/around");
        let names = ["x-forwarded-for", "x-real-ip", "x-envoy-external-address", "x-client-ip", "x-peer-ip"];
        let reply = names.iter().fold(edge.envoy.call(version, &path).key(&key).from(AROUND), |call, name| {
            call.header(name, if *name == "x-peer-ip" { BALANCER } else { OWNER })
        });
        edge.assert_denied(&path, &reply.send().await, Reason::IpMismatch).await;
        assert_eq!(edge.envoy.entry(&path).await["client"], AROUND);
        let spoofed = edge.envoy.call(version, "/trust").key(&key).from(BALANCER).header("x-forwarded-for", OWNER);
        let spoofed = spoofed.header("x-envoy-external-address", ATTACKER).header("x-envoy-internal", "true");
        assert_eq!(spoofed.send().await.status, 200);
        let [head] = &edge.upstream.take()[..] else { panic!("one request") };
        let trust: Vec<_> = head.headers.keys().filter(|name| name.as_str().starts_with("x-envoy-")).collect();
        assert!(trust.is_empty(), "x-envoy-* goes through: {trust:?}");
    }
    let list = edge.sentinel.home().cli(&["bindings", "list"]);
    let list = String::from_utf8(list.stdout).unwrap();
    assert_eq!(list.matches("203.0.113.7/32").count(), 2, "{list}");
    assert!(!list.contains("127.0.0."), "neither the balancer nor a client that bypasses it owns a key: {list}");
}

#[tokio::test]
async fn behind_the_proxy_protocol_the_key_belongs_to_the_client_whom_the_balancer_names() {
    let edge = Edge::pair(PROXY_PROTOCOL, BALANCER).await;
    for version in Version::BOTH {
        let key = format!("sk-proxied-{version:?}-0123456789");
        let call = |path: &str| edge.envoy.call(version, path).key(&key);
        let first = call(&format!("/{version:?}/first")).from(BALANCER).proxied_for(OWNER);
        assert_eq!(first.send().await.status, 200);
        edge.upstream.take();
        for (path, from, client, reason) in [
            ("owner", BALANCER, OWNER, Reason::Bound),
            ("mapped", BALANCER, "::ffff:203.0.113.7", Reason::Bound),
            ("attacker", BALANCER, ATTACKER, Reason::IpMismatch),
            ("around", AROUND, OWNER, Reason::ClientIpUnknown),
            ("around/as-balancer", AROUND, BALANCER, Reason::ClientIpUnknown),
            ("around/as-itself", AROUND, AROUND, Reason::IpMismatch),
            ("balancer", BALANCER, BALANCER, Reason::ClientIpUnknown),
        ] {
            let path = format!("/{version:?}/{path}");
            let reply = call(&path).from(from).proxied_for(client).header("x-forwarded-for", OWNER).send().await;
            match reason {
                Reason::Bound => edge.assert_allowed(&path, &reply, reason).await,
                _ => edge.assert_denied(&path, &reply, reason).await,
            }
        }
    }
    for from in [BALANCER, AROUND] {
        let plain = edge.envoy.get("/plain").key("sk-proxied-Http1-0123456789").from(from).try_send().await;
        assert!(plain.is_err(), "a connection without the balancer's word is closed: {plain:?}");
    }
}

/// They name no client: LOCAL of version 2, `PROXY UNKNOWN` of version 1.
#[tokio::test]
async fn the_balancers_health_checks_are_answered_and_nothing_else_of_its_own_is() {
    let edge = Edge::pair(PROXY_PROTOCOL, BALANCER).await;
    for version in Version::BOTH {
        let named: [fn(Call) -> Call; 2] = [Call::proxied_for_nobody, |call| call.proxied_v2_for(None)];
        for nobody in named {
            let call = |path: &str, from: &str| nobody(edge.envoy.call(version, path).from(from));
            let probe = call("/healthz", BALANCER).send().await;
            assert_eq!((probe.status, probe.text().as_str()), (200, "ok\n"), "{version:?}");
            // Other paths, and a client that bypasses the balancer.
            for path in ["/healthz/", "/healthz%2f..%2fv1", "/healthz;/../v1", "/v1/models"] {
                assert_eq!(call(path, BALANCER).send().await.status, 403, "{path}");
            }
            assert_eq!(call("/healthz", AROUND).send().await.status, 401);
        }
        // A client's.
        let call = edge.envoy.call(version, "/healthz").from(BALANCER).proxied_for(OWNER);
        assert_eq!(call.clone().header("x-forwarded-for", BALANCER).send().await.status, 401);
        assert!(edge.upstream.take().is_empty());
        assert_eq!(call.key("sk-health-0123456789").send().await.text(), "upstream\n");
        assert_eq!(edge.upstream.take().len(), 1);
    }
    let unknown = edge.envoy.get("/unknown").from(BALANCER).proxied_for_nobody().key("sk-health-0123456789");
    edge.assert_denied("/unknown", &unknown.send().await, Reason::ClientIpUnknown).await;
}

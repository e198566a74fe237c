//! Envoy in every place where it may stand between a client and Sentinel, as variants of the shipped files.

use std::path::Path;

use crate::common::envoy::EnvoyConfig;

/// What the shipped files send, for the variants that do not start from one that does.
const METADATA: [(&str, &str); 2] = [
    ("x-client-ip", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
    ("x-peer-ip", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"),
];

const DETECTION: &str = "envoy.extensions.http.original_ip_detection";

/// `use_remote_address: true`, no hops: Envoy is the edge.
pub(crate) fn edge() -> EnvoyConfig {
    // Without its removal of x-envoy-*, as on an Istio gateway, where a reader would use that header.
    let config = EnvoyConfig::shipped().patient().with_metadata(&METADATA);
    let config = config.replace("key_matcher: { prefix: x-envoy- }", "key_matcher: { prefix: x-envoy-none- }");
    config.replace("x[^a-z0-9]envoy[^a-z0-9].*", "x[^-a-z0-9]envoy[^a-z0-9].*")
}

/// `use_remote_address: true` behind this many proxies, by count.
pub(crate) fn hops(count: u8) -> EnvoyConfig {
    edge().replace("xff_num_trusted_hops: 0", &format!("xff_num_trusted_hops: {count}"))
}

/// Envoy's own default, `use_remote_address: false`.
pub(crate) fn default(hops: u8) -> EnvoyConfig {
    self::hops(hops).replace("use_remote_address: true", "use_remote_address: false")
}

/// An extension that finds the client instead.
fn detection(extension: &str) -> EnvoyConfig {
    default(0).replace(
        "          xff_num_trusted_hops: 0\n",
        &format!("          original_ip_detection_extensions: [ {{ name: d, typed_config: {extension} }} ]\n"),
    )
}

pub(crate) fn detection_by_hops(count: u8) -> EnvoyConfig {
    detection(&format!(
        "{{ \"@type\": type.googleapis.com/{DETECTION}.xff.v3.XffConfig, xff_num_trusted_hops: {count} }}"
    ))
}

/// `x-real-ip`, from whoever sends it.
pub(crate) fn detection_by_header() -> EnvoyConfig {
    detection(&format!(
        "{{ \"@type\": type.googleapis.com/{DETECTION}.custom_header.v3.CustomHeaderConfig, header_name: x-real-ip }}"
    ))
}

/// The shipped file, behind the balancer 127.0.0.1.
pub(crate) fn detection_by_networks() -> EnvoyConfig {
    let config = EnvoyConfig::file("envoy-behind-proxy.yaml").patient();
    config.replace("address_prefix: 10.0.0.0, prefix_len: 24", "address_prefix: 127.0.0.1, prefix_len: 32")
}

/// The shipped file.
pub(crate) fn proxy_protocol() -> EnvoyConfig {
    EnvoyConfig::file("envoy-proxy-protocol.yaml").patient()
}

/// The PROXY header is not asked for, so that everyone may write one.
pub(crate) fn optional_proxy_protocol() -> EnvoyConfig {
    proxy_protocol()
        .replace("allow_requests_without_proxy_protocol: false", "allow_requests_without_proxy_protocol: true")
}

pub(crate) fn on_a_pipe(config: EnvoyConfig, folder: &Path) -> EnvoyConfig {
    config.on_a_pipe(&folder.join("edge.sock"))
}

/// Behind a first listener that takes PROXY headers, an internal one that knows nothing of clients.
pub(crate) fn internal_listener(config: EnvoyConfig) -> EnvoyConfig {
    const OUTER: &str = r#"  listeners:
  - name: edge
    address: { socket_address: { address: 127.0.0.1, port_value: 0 } }
    listener_filters: [ { name: pp, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol } } ]
    filter_chains: [ { filters: [ { name: tcp, typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: outer, cluster: inner } } ] } ]
  - name: inner
"#;
    const CLUSTER: &str = r#"  clusters:
  - name: inner
    type: STATIC
    transport_socket: { name: iu, typed_config: { "@type": type.googleapis.com/envoy.extensions.transport_sockets.internal_upstream.v3.InternalUpstreamTransport,
      transport_socket: { name: raw, typed_config: { "@type": type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer } } } }
    load_assignment: { cluster_name: inner, endpoints: [ { lb_endpoints: [ { endpoint: { address: { envoy_internal_address: { server_listener_name: inner } } } } ] } ] }
"#;
    const BOOTSTRAP: &str = r#"bootstrap_extensions: [ { name: il, typed_config: { "@type": type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener } } ]
static_resources:
"#;
    config
        .replace("  listeners:\n  - name: edge\n", OUTER)
        .replace(
            "    address: { socket_address: { address: 127.0.0.1, port_value: 10000 } }\n",
            "    internal_listener: {}\n",
        )
        .replace("  clusters:\n", CLUSTER)
        .replace("static_resources:\n", BOOTSTRAP)
}

/// Both families on one socket.
pub(crate) fn on_both_families(config: EnvoyConfig) -> EnvoyConfig {
    config.replace(
        "address: { socket_address: { address: 127.0.0.1, port_value: 10000 } }",
        "address: { socket_address: { address: \"::\", port_value: 0, ipv4_compat: true } }",
    )
}

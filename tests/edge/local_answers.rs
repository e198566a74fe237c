//! What Envoy answers by itself with the shipped files: each answer has a body that names its cause, the access log has
//! the same word, and the manual has a row for it. Sentinel's denials keep their own body.

use std::fs;

use http::Method;
use key_ip_sentinel::domain::Reason;
use serde_json::Value;

use crate::common::{
    edge::Edge,
    envoy::EnvoyConfig,
    eventually,
    http_client::{Call, HttpReply, Version},
    sentinel,
};

const KEY: &str = "sk-answers-0123456789";

/// The manual's table of these answers has the word.
fn assert_documented(details: &str) {
    let manual = fs::read_to_string("docs/error-responses.md").unwrap();
    let word = details.split('{').next().unwrap();
    assert!(manual.contains(&format!("`{word}`")), "docs/error-responses.md has no row for {word}");
}

/// The body names the cause, for every vendor's client.
fn assert_body(status: u16, body: &[u8], details: &str) {
    let body: Value =
        serde_json::from_slice(body).unwrap_or_else(|error| panic!("{details}: {error}: {}", body.escape_ascii()));
    let error = &body["error"];
    assert_eq!((&body["type"], &error["type"]), (&"error".into(), &"gateway_error".into()), "{body}");
    let code = error["code"].as_str().unwrap();
    assert!(code.starts_with(details), "{body}");
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with(&format!("The gateway answered, not the API: {status} {code}")), "{body}");
    assert_documented(details);
}

/// The last entry of the access log about an answer for this cause.
async fn logged(edge: &Edge, details: &str) -> Value {
    let is_it = |entry: &Value| entry["details"].as_str().is_some_and(|it| it.starts_with(details));
    eventually(&format!("envoy logs {details}"), async || edge.envoy.entries().into_iter().rev().find(is_it)).await
}

async fn assert_answer(edge: &Edge, reply: &HttpReply, status: u16, details: &str) {
    assert_eq!(reply.status, status, "{details}: {}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json"), "{details}");
    assert_body(status, &reply.body, details);
    assert_eq!(logged(edge, details).await["code"], status);
    assert!(edge.upstream.take().is_empty(), "{details}");
}

/// An answer to bytes that no library would send.
async fn assert_raw_answer(edge: &Edge, bytes: &[u8], status: u16, details: &str) {
    let answer = edge.envoy.get("/").first_bytes(bytes).await;
    let text = String::from_utf8(answer).unwrap();
    assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{details}: {text}");
    assert!(text.contains("content-type: application/json\r\n"), "{details}: {text}");
    assert_body(status, text.split_once("\r\n\r\n").unwrap().1.as_bytes(), details);
    assert_eq!(logged(edge, details).await["code"], status);
    assert!(edge.upstream.take().is_empty(), "{details}");
}

#[tokio::test]
async fn a_request_that_envoy_rejects_is_answered_with_its_cause() {
    let edge = Edge::shipped().await;
    let bearer = format!("Authorization: Bearer {KEY}\r\n");
    let get =
        |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{more}{bearer}Connection: close\r\n\r\n");
    let many: String = (0..120).map(|nth| format!("x-{nth}: 1\r\n")).collect();
    let long = format!("x: {}\r\n", "a".repeat(70 << 10));
    for (request, status, details) in [
        (get("/a%00", ""), 400, "path_normalization_failed"),
        (get("/a#b", ""), 400, "path_normalization_failed"),
        (get("/a", &many), 431, "http1.too_many_headers"),
        (get("/a", &long), 431, "http1.headers_too_large"),
        (get("/a", "x : 1\r\n"), 400, "http1.codec_error"),
        (get("/a", "x: \u{1}\r\n"), 400, "http1.invalid_characters"),
        (get("/a", "").replace("Host: x", "Host: a b"), 400, "http.invalid_authority"),
        (get("/a", "").replace("Host: x\r\n", ""), 400, "missing_host_header"),
        (get("/a", "").replace("HTTP/1.1", "HTTP/1.0"), 426, "low_version"),
        (get("*", "").replace("GET", "OPTIONS"), 404, "absolute_path_rejected"),
        (get("/a", "").replace("GET /a", "CONNECT a:443"), 404, "route_not_found"),
        (get("/a", "Upgrade: tea\r\n").replace("Connection: close", "Connection: Upgrade"), 403, "upgrade_failed"),
        (get("/a", "Transfer-Encoding: gzip\r\n").replace("GET", "POST"), 501, "http1.invalid_transfer_encoding"),
        (
            get("/a", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n").replace("GET", "POST"),
            400,
            "http1.content_length_and_chunked_not_allowed",
        ),
    ] {
        assert_raw_answer(&edge, request.as_bytes(), status, details).await;
    }
    let reply = edge.envoy.call(Version::Http2, "/a%00").key(KEY).send().await;
    assert_answer(&edge, &reply, 400, "path_normalization_failed").await;
    // Over HTTP/2 Envoy resets such a stream, and the log has the cause.
    for (call, details) in [
        (edge.envoy.call(Version::Http2, "/a").header("x", "a".repeat(70 << 10)), "http2.header_list_size_too_large"),
        (
            (0..120).fold(edge.envoy.call(Version::Http2, "/a"), |call, nth| call.header(&format!("x-{nth}"), "1")),
            "http2.too_many_headers",
        ),
    ] {
        assert!(call.key(KEY).try_send().await.is_err(), "{details}");
        logged(&edge, details).await;
        assert_documented(details);
    }
}

/// Below `/NAME` requests go to `address`, and wait `idle` for its answer.
fn with_upstream(config: EnvoyConfig, name: &str, address: &str, idle: &str) -> EnvoyConfig {
    let route = format!(
        "              - match: {{ prefix: /{name} }}\n                route: {{ cluster: {name}, timeout: 0s, idle_timeout: {idle} }}\n"
    );
    let cluster = format!(
        "  - {{ name: {name}, type: STATIC, connect_timeout: 10s, load_assignment: {{ cluster_name: {name}, endpoints: [ {{ \
         lb_endpoints: [ {{ endpoint: {{ address: {{ {address} }} }} }} ] }} ] }} }}\n  - name: upstream\n"
    );
    config.with_route(&route).replace("  - name: upstream\n", &cluster)
}

#[tokio::test]
async fn a_slow_client_or_upstream_is_answered_with_its_cause() {
    // Connections to it succeed, and nobody reads them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address =
        format!("socket_address: {{ address: 127.0.0.1, port_value: {} }}", silent.local_addr().unwrap().port());
    let config =
        EnvoyConfig::shipped().patient().replace("request_headers_timeout: 10s", "request_headers_timeout: 1s");
    let config = config.replace("request_timeout: 660s", "request_timeout: 2s");
    let config = with_upstream(with_upstream(config, "slow", &address, "660s"), "idle", &address, "1s");
    let edge = Edge::start(sentinel(), config).await;
    assert_raw_answer(&edge, b"GET /a HTTP/1.1\r\nHost: x\r\n", 408, "request_header_timeout").await;
    let slow = format!("POST /slow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 9\r\n\r\nabc");
    assert_raw_answer(&edge, slow.as_bytes(), 408, "request_overall_timeout").await;
    for version in Version::BOTH {
        let reply = edge.envoy.call(version, "/idle").key(KEY).send().await;
        assert_answer(&edge, &reply, 504, "stream_idle_timeout").await;
    }
}

/// Allowed by Sentinel, and not answered by the upstream. The client does not learn the upstream's address, which is in
/// the details.
#[tokio::test]
async fn an_upstream_without_an_answer_is_named_as_the_cause() {
    let config = EnvoyConfig::shipped().patient();
    let config = with_upstream(config, "nowhere", "pipe: { path: /nonexistent/socket }", "660s");
    let edge = Edge::start(sentinel(), config).await;
    for version in Version::BOTH {
        let path = format!("/nowhere/{version:?}");
        let reply = edge.envoy.call(version, &path).key(KEY).send().await;
        assert_eq!((reply.status, reply.header("content-type")), (503, Some("application/json")));
        assert!(!reply.text().contains("nonexistent"), "{}", reply.text());
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((&body["error"]["type"], &body["error"]["code"]), (&"gateway_error".into(), &"UF".into()), "{body}");
        assert_eq!(body["error"]["message"], "The API did not answer the gateway: 503 UF");
        let entry = edge.envoy.entry(&path).await;
        assert_eq!((&entry["decision"], &entry["flags"]), (&"allow".into(), &"UF".into()));
        assert_eq!(body["request_id"], entry["request_id"]);
        assert_documented(entry["details"].as_str().unwrap());
    }
}

#[tokio::test]
async fn sentinels_denials_keep_their_own_body_and_its_absence_is_named() {
    for file in ["envoy.yaml", "envoy-behind-proxy.yaml", "envoy-proxy-protocol.yaml"] {
        let edge = Edge::pair(file, "127.0.0.1").await;
        let call = |version, path: &str| -> Call {
            let call = edge.envoy.call(version, path).from("127.0.0.1");
            match file {
                "envoy-behind-proxy.yaml" => call.header("x-forwarded-for", "203.0.113.7"),
                "envoy-proxy-protocol.yaml" => call.proxied_for("203.0.113.7"),
                _ => call,
            }
        };
        for version in Version::BOTH {
            // assert_denied reads the body by Sentinel's format.
            let path = format!("/{version:?}/none");
            edge.assert_denied(&path, &call(version, &path).send().await, Reason::NoKey).await;
            let path = format!("/{version:?}/bad");
            edge.assert_denied(&path, &call(version, &path).key("a b").send().await, Reason::MalformedKey).await;
        }
        // Not an error: no body of this kind.
        let preflight =
            call(Version::Http1, "/preflight").method(Method::OPTIONS).header("origin", "https://app.example.com");
        let preflight = preflight.header("access-control-request-method", "POST").send().await;
        assert_eq!((preflight.status, preflight.body.len()), (200, 0));
        let socket = call(Version::Http1, "/upstreams").key(KEY).send().await;
        assert_eq!((socket.status, socket.text().as_str()), (200, "upstream\n"));
        edge.upstream.take();
        let lost = call(Version::Http2, "/lost").key(KEY);
        let Edge { sentinel, upstream, envoy } = edge;
        sentinel.kill();
        let reply = lost.send().await;
        assert_eq!((reply.status, reply.header("content-type")), (503, Some("application/json")), "{file}");
        assert_body(503, &reply.body, "ext_authz_error");
        assert_eq!(envoy.entry("/lost").await["details"], "ext_authz_error");
        assert!(upstream.take().is_empty());
    }
}

/// The shipped limits are not below those of the official clients, so that a client ends a slow request and not Envoy.
#[test]
fn no_idle_limit_is_below_the_clients_own() {
    for file in ["envoy.yaml", "envoy-behind-proxy.yaml", "envoy-proxy-protocol.yaml"] {
        let config = EnvoyConfig::file(file);
        let limits: Vec<_> = config
            .code()
            .into_iter()
            .map(str::trim)
            .filter(|line| {
                ["request_timeout: ", "stream_idle_timeout: ", "idle_timeout: "]
                    .iter()
                    .any(|name| line.starts_with(name))
            })
            .map(|line| line.split_once(": ").unwrap().1.trim_end_matches('s').parse::<u32>().unwrap())
            .collect();
        assert_eq!(limits.len(), 4, "{file}");
        assert!(limits.iter().all(|seconds| *seconds >= 600), "{file}: {limits:?}");
    }
}

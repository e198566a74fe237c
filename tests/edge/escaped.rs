//! Paths with escapes: kept for the upstream, and no way around a check.

use std::collections::BTreeSet;

use crate::common::{
    edge::Edge,
    envoy::{Envoy, EnvoyConfig},
    http_client::Version,
    sentinel,
};
use key_ip_sentinel::domain::Reason;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const KEY: &str = "sk-escaped-0123456789";

/// The official OpenAI client escapes the name: `models.retrieve("openai/gpt-4o")`.
#[tokio::test]
async fn an_escaped_slash_in_a_name_arrives_as_it_was_sent() {
    let edge = Edge::shipped().await;
    edge.claim(KEY).await;
    for version in Version::BOTH {
        for path in ["/v1/models/openai%2Fgpt-4o", "/v1/files/a%5Cb", "/v1/models/a%2fb%252Fc?x=%2F"] {
            assert_eq!(edge.envoy.call(version, path).key(KEY).send().await.status, 200, "{path}");
            let [head] = &edge.upstream.take()[..] else { panic!("one request") };
            assert_eq!(head.path, path);
            let denied = edge.envoy.call(version, path).key(KEY).from("127.0.0.2").send().await;
            assert_eq!(denied.status, 403, "{path}");
            assert!(edge.upstream.take().is_empty());
        }
    }
}

/// Spellings of `/public/../v1/secret` that some upstream reads as `/v1/secret`.
fn spellings() -> BTreeSet<String> {
    let slashes = [
        "/",
        "%2f",
        "%2F",
        "%5c",
        "%5C",
        "\\",
        "%252f",
        "%25%32%66",
        "%c0%af",
        "%ef%bc%8f",
        "%u2215",
        ";/",
        "%3b/",
        "//",
        "?/",
        "%3f/",
        "%23/",
        "%20/",
        "%09",
        "%0a",
        "./",
        "&/",
        "+/",
    ];
    let dots = [
        "..",
        "%2e%2e",
        ".%2E",
        "%252e.",
        "..;",
        "..;x=1",
        "..%3b",
        "%c0%ae%c0%ae",
        "%ef%bc%8e%ef%bc%8e",
        "%u002e%u002e",
        "..%20",
        "..%09",
        "..%00",
        "..+",
        "..:",
    ];
    let all = slashes.iter().flat_map(|before| dots.iter().map(move |dots| (before, dots)));
    all.flat_map(|(before, dots)| slashes.map(|after| format!("/public{before}{dots}{after}v1/secret"))).collect()
}

/// Requests each path without a key over HTTP/1.1, and returns how many were answered.
async fn try_all(envoy: &Envoy, paths: &BTreeSet<String>) -> usize {
    let mut answered = 0;
    for batch in paths.iter().collect::<Vec<_>>().chunks(50) {
        let mut stream = TcpStream::connect(envoy.address()).await.unwrap();
        let (last, others) = batch.split_last().unwrap();
        let request = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n");
        let mut text: String = others.iter().map(|path| request(path, "")).collect();
        text += &request(last, "Connection: close\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        // A rejected path ends its connection; those behind it are tried in a connection of their own below.
        let _reset = stream.read_to_end(&mut reply).await;
        answered += String::from_utf8_lossy(&reply).matches("HTTP/1.1 ").count();
    }
    answered
}

/// Every upstream reads the path as one below `/public/`.
fn assert_public(path: &str) {
    let path = path.split('?').next().unwrap();
    let plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~/-".contains(&byte));
    let is_below = path.starts_with("/public/") && !path.split('/').any(|part| part == "..");
    assert!(plain && is_below, "unchecked, and the upstream may read it otherwise: {path}");
}

#[tokio::test]
async fn a_public_route_is_no_way_around_the_check() {
    let (rejected, paths): (BTreeSet<_>, BTreeSet<_>) = spellings().into_iter().partition(|path| path.contains("%00"));
    let edge = Edge::start(sentinel(), EnvoyConfig::shipped().with_public_route().patient()).await;
    assert_eq!(edge.envoy.get("/public/a-b_c.d/~e").send().await.status, 200);
    assert_eq!(edge.upstream.take().len(), 1, "it is public");
    assert_eq!(try_all(&edge.envoy, &paths).await, paths.len());
    edge.upstream.take().iter().for_each(|head| assert_public(&head.path));
    for path in rejected.iter().take(20) {
        assert_eq!(edge.envoy.get(path).send().await.status, 400, "{path}");
    }
    for path in paths.iter().step_by(97) {
        let reply = edge.envoy.call(Version::Http2, path).send().await;
        let sent = edge.upstream.take();
        assert_eq!(sent.is_empty(), reply.status == 401, "{path}: {sent:?}");
        sent.iter().for_each(|head| assert_public(&head.path));
    }
    // With a prefix, which the file warns of, the same paths do reach it.
    let tunnel = EnvoyConfig::shipped().with_public_route().patient();
    let tunnel = tunnel.replace("safe_regex: { regex: \"/public/[A-Za-z0-9._~/-]*\" }", "prefix: /public/");
    let edge = Edge::start(sentinel(), tunnel).await;
    try_all(&edge.envoy, &paths).await;
    let escaped = edge.upstream.take().iter().filter(|head| head.path.contains(['%', ';'])).count();
    assert!(escaped > 100, "{escaped}");
}

#[tokio::test]
async fn an_escaped_path_below_a_public_one_is_checked_like_any_other() {
    let edge = Edge::start(sentinel(), EnvoyConfig::shipped().with_public_route().patient()).await;
    for version in Version::BOTH {
        for path in ["/public/my%20file", "/public/..%2fv1/secret", "/public%2f..%2fv1"] {
            let path = format!("{path}/{version:?}");
            let reply = edge.envoy.call(version, &path).send().await;
            assert_eq!(reply.status, 401);
            edge.assert_denied(&path, &reply, Reason::NoKey).await;
        }
    }
}

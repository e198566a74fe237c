//! Routes on which an upstream takes a credential that Sentinel does not check: the shipped files do not forward them,
//! in any spelling that the upstream reads as one of them.

use std::collections::BTreeSet;

use http::Method;
use key_ip_sentinel::credential::PROFILES;
use serde_json::Value;

use crate::common::{
    edge::Edge,
    envoy::EnvoyConfig,
    http_client::{Call, HttpReply, Version},
    sentinel,
};

/// The client's own, made up.
const KEY: &str = "sk-made-up-0123456789";
/// Another network's.
const STOLEN: &str = "sk-master-0123456789";

/// An answer of Envoy's own, and nothing at the upstream.
fn assert_blocked(edge: &Edge, reply: &HttpReply, what: &str) {
    assert_eq!((reply.status, reply.header("content-type")), (404, Some("application/json")), "{what}");
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((&body["error"]["type"], &body["error"]["code"]), (&"gateway_error".into(), &"direct_response".into()));
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.ends_with("This route takes credentials that Sentinel does not check."), "{what}: {body}");
    assert!(edge.upstream.take().is_empty(), "{what} reached the upstream");
}

/// LiteLLM takes its master key as the form's password, and answers with a new key.
#[tokio::test]
async fn a_stolen_key_in_the_form_of_a_login_does_not_reach_litellm() {
    let home = sentinel().set("credentials.profile", "\"litellm\"");
    let edge = Edge::start(home, EnvoyConfig::shipped().patient()).await;
    edge.claim(STOLEN).await;
    for version in Version::BOTH {
        for path in ["/login", "/v2/login", "/v2%2Flogin", "/v3/login"] {
            let call = edge.envoy.call(version, path).method(Method::POST).from("127.0.0.2").key(KEY);
            let call = call.header("content-type", "application/x-www-form-urlencoded");
            let reply = call.body(format!("username=admin&password={STOLEN}")).send().await;
            assert_blocked(&edge, &reply, path);
        }
        // The same key where it is judged.
        let reply = edge.envoy.call(version, "/v1/models").from("127.0.0.2").key(KEY).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        edge.upstream.take();
        let reply = edge.envoy.call(version, "/v1/models").from("127.0.0.2").key(STOLEN).send().await;
        assert_eq!(reply.status, 403);
    }
}

/// What the upstream may read as `path`: it unescapes once. It compares case, so `/Login` is another path.
fn spellings(pattern: &str) -> BTreeSet<String> {
    let path = pattern.replace('*', "x");
    let inner = &path[1..];
    let escaped = |inner: &str, slash: &str| format!("/{}", inner.replace('/', slash));
    let (before, last) = path.rsplit_once('/').unwrap();
    let hex = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
    BTreeSet::from([
        path.clone(),
        format!("{path}?a=/b"),
        format!("{path}/"),
        format!("{path}%2F"),
        // In Python, `$` matches before a line feed at the end, too: Starlette's `^/login$` matches `/login` and LF.
        format!("{path}%0A"),
        format!("{path}%0a"),
        format!("{path}%2f%2f"),
        format!("/{path}"),
        format!("/%2F{inner}"),
        escaped(inner, "%2F"),
        escaped(inner, "%2f"),
        escaped(inner, "//"),
        escaped(inner, "%2F%2F"),
        escaped(inner, "/%2f"),
        escaped(inner, "/./"),
        format!("/a/..{path}"),
        format!("/a/%2e%2e{path}"),
        format!("{before}/{}", hex(last)),
        format!("{before}/{}", hex(last).to_uppercase()),
    ])
}

#[tokio::test]
async fn no_shipped_file_forwards_a_login_route_in_any_spelling() {
    for file in ["envoy.yaml", "envoy-behind-proxy.yaml", "envoy-proxy-protocol.yaml"] {
        let edge = Edge::pair(file, "127.0.0.1").await;
        let call = |version, path: &str| -> Call {
            let call = edge.envoy.call(version, path).from("127.0.0.1").key(KEY);
            match file {
                "envoy-behind-proxy.yaml" => call.header("x-forwarded-for", "203.0.113.7"),
                "envoy-proxy-protocol.yaml" => call.proxied_for("203.0.113.7"),
                _ => call,
            }
        };
        let patterns: BTreeSet<_> = PROFILES.iter().flat_map(|profile| profile.login_routes.paths).collect();
        assert!(patterns.len() > 15, "{patterns:?}");
        for pattern in patterns {
            for path in spellings(pattern) {
                assert_blocked(&edge, &call(Version::Http1, &path).send().await, &format!("{file}: {path}"));
            }
            let path = pattern.replace('*', "a-b_c%20d");
            let post = call(Version::Http2, &path).method(Method::POST).body("password=x");
            assert_blocked(&edge, &post.send().await, &format!("{file}: {path}"));
        }
        // Paths of the same upstreams that are not among them.
        for path in [
            "/v1/chat/completions",
            "/v1/models/openai%2Fgpt-4o",
            "/v1/batches",
            "/v1/messages/batches",
            "/v1beta/models/gemini-2.5-flash:generateContent",
            "/v1beta/batches/b",
            "/key/generate",
            "/utils/token_counter",
            "/github_mcp/mcp",
            "/v1/mcp/tools",
            "/api/usage/token/",
            "/api/log/token",
            "/api/users",
            "/tokens",
            "/acme/token/count",
            "/v1/oauth",
        ] {
            for version in Version::BOTH {
                assert_eq!(call(version, path).send().await.status, 200, "{file}: {path}");
                assert_eq!(edge.upstream.take().len(), 1, "{file}: {path}");
            }
        }
    }
}

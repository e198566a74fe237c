//! What an attacker sends, through a real Envoy: decided as the upstream would read it, or denied.

use crate::common::{
    edge::Edge,
    envoy::EnvoyConfig,
    http_client::{Call, Version},
    sentinel,
};
use http::Method;
use key_ip_sentinel::domain::Reason;

const KEY: &str = "sk-victim-0123456789";
const OWN: &str = "sk-attacker-9876543210";
const ATTACKER: &str = "127.0.0.2";

/// Both encodings in which Envoy may send headers.
async fn both_encodings() -> [(&'static str, Edge); 2] {
    let config = || EnvoyConfig::shipped().patient();
    [
        ("raw", Edge::start(sentinel(), config()).await),
        ("joined", Edge::start(sentinel(), config().joined_headers()).await),
    ]
}

fn with_headers(call: Call, headers: &[(&str, &[u8])]) -> Call {
    headers.iter().fold(call, |call, (name, value)| call.header(name, value))
}

#[tokio::test]
async fn a_second_key_in_addition_to_the_own_one_is_denied() {
    let (victim, own) = (format!("Bearer {KEY}"), format!("Bearer {OWN}"));
    let (victim, own) = (victim.as_bytes(), own.as_bytes());
    let joined = [own, b",", victim].concat();
    let spaced = [own, b", ", victim].concat();
    let cases: [&[(&str, &[u8])]; 10] = [
        &[("authorization", own), ("authorization", victim)],
        &[("authorization", own), ("authorization", own)],
        &[("authorization", b""), ("authorization", own), ("authorization", victim)],
        &[("authorization", &joined)],
        &[("authorization", &spaced)],
        &[("authorization", own), ("x-api-key", KEY.as_bytes())],
        &[("x-api-key", OWN.as_bytes()), ("x-api-key", KEY.as_bytes())],
        &[("x-api-key", OWN.as_bytes()), ("x-api-key", OWN.as_bytes())],
        &[("x-api-key", OWN.as_bytes()), ("api-key", KEY.as_bytes())],
        &[("authorization", own), ("api-key", b"sk-a,sk-b")],
    ];
    for (encoding, edge) in both_encodings().await {
        edge.claim(KEY).await;
        for version in Version::BOTH {
            for (nth, headers) in cases.iter().enumerate() {
                let path = format!("/{encoding}/{version:?}/{nth}");
                let reply = with_headers(edge.envoy.call(version, &path).from(ATTACKER), headers).send().await;
                edge.assert_denied(&path, &reply, Reason::ConflictingKeys).await;
            }
        }
    }
}

#[tokio::test]
async fn another_spelling_of_the_key_is_the_same_key_or_denied() {
    for (encoding, edge) in both_encodings().await {
        edge.claim(KEY).await;
        let spellings = ["Bearer {}", "bearer {}", "BEARER {}", "{}"];
        // HTTP/1.1 trims outer white space before the filters, HTTP/2 after them.
        let padded = ["  Bearer {} ", "\tBearer {}\t"];
        for version in Version::BOTH {
            for (nth, spelling) in spellings.iter().chain(&padded).enumerate() {
                let path = format!("/{encoding}/{version:?}/{nth}");
                let value = spelling.replace("{}", KEY);
                let call = |path: &str| edge.envoy.call(version, path).header("authorization", &value);
                let reply = call(&path).from(ATTACKER).send().await;
                edge.assert_denied(&path, &reply, Reason::IpMismatch).await;
                let path = format!("{path}/owner");
                let reply = call(&path).send().await;
                edge.assert_allowed(&path, &reply, Reason::Bound).await;
            }
            for (nth, bad) in ["Bearer  {}", "Bearer\t{}", "BearerBearer {}", "Bearer{}", "Token {}"].iter().enumerate()
            {
                let path = format!("/{encoding}/{version:?}/bad/{nth}");
                let call = edge.envoy.call(version, &path).header("authorization", bad.replace("{}", KEY));
                edge.assert_denied(&path, &call.send().await, Reason::MalformedKey).await;
            }
        }
    }
}

#[tokio::test]
async fn bytes_that_are_not_utf_8_are_no_key_and_pass_elsewhere() {
    for (encoding, edge) in both_encodings().await {
        for version in Version::BOTH {
            for (nth, value) in
                [b"Bearer sk-\xff\xfe0123456789".as_slice(), b"Bearer sk-caf\xc3\xa9-0123456789"].iter().enumerate()
            {
                let path = format!("/{encoding}/{version:?}/{nth}");
                let reply = edge.envoy.call(version, &path).header("authorization", value).send().await;
                edge.assert_denied(&path, &reply, Reason::MalformedKey).await;
            }
            let path = format!("/{encoding}/{version:?}/elsewhere");
            let reply = edge.envoy.call(version, &path).key(KEY).header("x-name", b"\xff\xfe").send().await;
            assert_eq!(reply.status, 200, "{encoding} {version:?}");
            assert_eq!(edge.upstream.take()[0].lines("x-name"), [b"\xff\xfe"]);
        }
    }
}

#[tokio::test]
async fn headers_up_to_envoys_limit_are_decided_and_longer_ones_never_arrive() {
    for (encoding, edge) in both_encodings().await {
        edge.claim(KEY).await;
        let filler = "f".repeat(58 << 10);
        for version in Version::BOTH {
            let path = |what: &str| format!("/{encoding}/{version:?}/{what}");
            let call = |what: &str| edge.envoy.call(version, &path(what)).key(KEY).header("x-filler", &filler);
            edge.assert_allowed(&path("owner"), &call("owner").send().await, Reason::Bound).await;
            let reply = call("attacker").from(ATTACKER).send().await;
            edge.assert_denied(&path("attacker"), &reply, Reason::IpMismatch).await;
            let long = call("long").header("x-more", &filler).try_send().await;
            assert!(long.as_ref().map_or(true, |reply| reply.status == 431), "{long:?}");
            let many = (0..200).fold(call("many"), |call, nth| call.header(&format!("x-{nth}"), "1"));
            let many = many.try_send().await;
            assert!(many.as_ref().map_or(true, |reply| reply.status == 431), "{many:?}");
            assert!(edge.upstream.take().is_empty());
        }
    }
}

#[tokio::test]
async fn connect_and_requests_that_are_none_reach_no_upstream() {
    let edge = Edge::shipped().await;
    edge.claim(KEY).await;
    let bearer = format!("Authorization: Bearer {KEY}\r\n");
    let raw = [
        format!("CONNECT gateway.test:443 HTTP/1.1\r\nHost: gateway.test:443\r\n{bearer}\r\n"),
        format!("CONNECT / HTTP/1.1\r\nHost: gateway.test\r\n{bearer}Connection: close\r\n\r\n"),
        format!("GET /a\u{0} HTTP/1.1\r\nHost: x\r\n{bearer}Connection: close\r\n\r\n"),
        format!("GET /a HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer {KEY}\r\nConnection: close\r\n\r\n"),
        format!("GET /a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\u{1}\r\nConnection: close\r\n\r\n"),
        format!(
            "GET /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n{bearer}\r\n0\r\n\r\n"
        ),
    ];
    let bad_path = [b"GET /a\xff HTTP/1.1\r\nHost: x\r\n", bearer.as_bytes(), b"\r\n"].concat();
    let no_http = b"\x00\xff\x00\xff\r\n\r\n".to_vec();
    for bytes in raw.map(String::into_bytes).into_iter().chain([bad_path, no_http]) {
        let answer = edge.envoy.get("/").first_bytes(&bytes).await;
        let status = answer.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        assert!(!status.starts_with(b"2"), "{}: {}", bytes.escape_ascii(), answer.escape_ascii());
        assert!(edge.upstream.take().is_empty(), "{}", bytes.escape_ascii());
    }
    let connect = edge.envoy.call(Version::Http2, "gateway.test:443").method(Method::CONNECT).key(KEY).try_send().await;
    assert!(connect.as_ref().map_or(true, |reply| reply.status >= 400), "{connect:?}");
    assert!(edge.upstream.take().is_empty());
    let folded =
        format!("GET /folded HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer\r\n {KEY}\r\nConnection: close\r\n\r\n");
    let answer = edge.envoy.get("/").from(ATTACKER).first_bytes(folded.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 40"), "{}", answer.escape_ascii());
    assert!(edge.upstream.take().is_empty());
}

#[tokio::test]
async fn a_header_that_an_upstream_may_read_with_dashes_is_read_so_too() {
    for (encoding, edge) in both_encodings().await {
        edge.claim(KEY).await;
        for version in Version::BOTH {
            for name in ["x_api_key", "x-api_key", "X_Api-Key", "x.api.key", "x!api!key", "api_key"] {
                let path = format!("/{encoding}/alone/{version:?}/{name}");
                let reply = edge.envoy.call(version, &path).header(name, KEY).from(ATTACKER).send().await;
                edge.assert_denied(&path, &reply, Reason::IpMismatch).await;
                let path = format!("/{encoding}/second/{version:?}/{name}");
                let reply = edge.envoy.call(version, &path).key(OWN).header(name, KEY).from(ATTACKER).send().await;
                edge.assert_denied(&path, &reply, Reason::ConflictingKeys).await;
            }
        }
    }
}

/// `session_id` is Codex's, and the other one the Salesforce platform's.
#[tokio::test]
async fn other_headers_with_underscores_pass_and_those_of_proxies_do_not() {
    let edge = Edge::shipped().await;
    for version in Version::BOTH {
        let call = edge.envoy.call(version, "/underscores").key(KEY);
        let call = call.header("session_id", "0199").header("SFDC_STACK_DEPTH", "1");
        let forged =
            ["x_forwarded_for", "x-forwarded_for", "x.forwarded.proto", "x_envoy_external_address", "x-envoy_x"];
        let call = forged.iter().fold(call, |call, name| call.header(name, "6.6.6.6"));
        assert_eq!(call.send().await.status, 200);
        let [head] = &edge.upstream.take()[..] else { panic!("one request") };
        assert_eq!(head.lines("session_id"), [b"0199"]);
        assert_eq!(head.lines("sfdc_stack_depth"), [b"1"]);
        let proxies: Vec<_> = head.headers.keys().filter(|name| name.as_str().contains(['_', '.'])).collect();
        assert_eq!(proxies, ["session_id", "sfdc_stack_depth"], "an upstream may read the others as Envoy's");
        assert_eq!(head.lines("x-forwarded-for").len(), 1);
    }
}

#[tokio::test]
async fn behind_the_proxy_protocol_the_client_is_whom_the_balancer_names() {
    let config = EnvoyConfig::shipped().patient().behind_proxy_protocol();
    let edge = Edge::start(sentinel().set("client_ip.unclaimable", "[\"10.0.0.0/8\"]"), config).await;
    let call =
        |version, path: &str, key: &str, client: &str| edge.envoy.call(version, path).key(key).proxied_for(client);
    for version in Version::BOTH {
        let (v4_key, v6_key) = (format!("sk-v4-{version:?}-0123"), format!("sk-v6-{version:?}-0123"));
        for (nth, (key, client, reason)) in [
            (&v4_key, "10.1.2.3", Reason::UnclaimableNetwork),
            (&v4_key, "203.0.113.7", Reason::FirstUse),
            (&v4_key, "203.0.113.7", Reason::Bound),
            (&v4_key, "::ffff:203.0.113.7", Reason::Bound),
            (&v4_key, "203.0.113.8", Reason::IpMismatch),
            (&v4_key, "::ffff:203.0.113.8", Reason::IpMismatch),
            (&v4_key, "10.1.2.3", Reason::IpMismatch),
            (&v6_key, "fe80::1", Reason::UnclaimableNetwork),
            (&v6_key, "2001:db8:1:2::10", Reason::FirstUse),
            (&v6_key, "2001:db8:1:2:ffff::1", Reason::Bound),
            (&v6_key, "2001:db8:1:3::10", Reason::IpMismatch),
        ]
        .into_iter()
        .enumerate()
        {
            let path = format!("/{version:?}/{nth}");
            let reply = call(version, &path, key, client).send().await;
            match reason {
                Reason::FirstUse | Reason::Bound => edge.assert_allowed(&path, &reply, reason).await,
                _ => edge.assert_denied(&path, &reply, reason).await,
            }
        }
    }
    let plain = edge.envoy.get("/plain").key("sk-v4-Http1-0123").try_send().await;
    assert!(plain.is_err(), "a connection without the balancer's word is closed: {plain:?}");
    // `PROXY UNKNOWN` names no client: then the peer is the connection's own.
    let unknown = b"PROXY UNKNOWN\r\nGET /unknown HTTP/1.1\r\nHost: x\r\nAuthorization: sk-v4-Http1-0123\r\nConnection: close\r\n\r\n";
    let answer = edge.envoy.get("/").first_bytes(unknown).await;
    assert!(answer.starts_with(b"HTTP/1.1 403") || answer.is_empty(), "{}", answer.escape_ascii());
}

/// How often Envoy asked Sentinel.
async fn checks(edge: &Edge) -> u64 {
    let mut sum = 0;
    for outcome in ["ok", "denied", "error"] {
        sum += edge.envoy.counter(&format!("http.edge.ext_authz.sentinel.{outcome}")).await;
    }
    sum
}

#[tokio::test]
async fn a_preflight_without_a_key_is_not_decided() {
    const ORIGIN: &str = "https://app.example.com";
    // What a browser asks for on behalf of the vendors' JavaScript clients.
    const ASKED: &str = "authorization,content-type,x-api-key,x-goog-api-key,anthropic-version,x-stainless-lang";
    for profile in ["generic", "openai", "anthropic", "gemini"] {
        let home = sentinel().set("credentials.profile", &format!("\"{profile}\""));
        let edge = Edge::start(home, EnvoyConfig::shipped().patient()).await;
        for version in Version::BOTH {
            for (nth, origin) in [ORIGIN, "https://elsewhere.example"].into_iter().enumerate() {
                let path = format!("/preflight/{version:?}/{nth}");
                let call = edge.envoy.call(version, &path).method(Method::OPTIONS).header("origin", origin);
                let call = call.header("access-control-request-method", "POST");
                let reply = call.header("access-control-request-headers", ASKED).send().await;
                assert_eq!(reply.status, 200);
                assert_eq!(reply.header("access-control-allow-origin"), (origin == ORIGIN).then_some(ORIGIN));
                if origin == ORIGIN {
                    // `*` is every name but `authorization`, by the browser's rules.
                    assert_eq!(reply.header("access-control-allow-headers"), Some("authorization, *"));
                    assert!(reply.header("access-control-allow-methods").unwrap().contains("POST"));
                }
                assert!(edge.envoy.entry(&path).await.get("reason").is_none());
            }
        }
        assert_eq!(checks(&edge).await, 0, "{profile}: Sentinel was asked");
        assert!(edge.upstream.take().is_empty(), "Envoy answers it");
        for version in Version::BOTH {
            // No preflight without its headers.
            let path = format!("/options/{version:?}");
            let reply = edge.envoy.call(version, &path).method(Method::OPTIONS).send().await;
            edge.assert_denied(&path, &reply, Reason::NoKey).await;
            // The page may read the response to its call.
            let path = format!("/page/{version:?}");
            let reply = edge.envoy.call(version, &path).method(Method::POST).header("origin", ORIGIN).send().await;
            assert_eq!(reply.header("access-control-allow-origin"), Some(ORIGIN), "{reply:?}");
            let exposed = reply.header("access-control-expose-headers").unwrap();
            assert!(exposed.contains("retry-after") && exposed.contains("www-authenticate"), "{exposed}");
            edge.assert_denied(&path, &reply, Reason::NoKey).await;
        }
        assert_eq!(checks(&edge).await, 4);
    }
}

#[tokio::test]
async fn every_method_is_decided_and_a_websocket_at_its_handshake() {
    let edge = Edge::shipped().await;
    edge.claim(KEY).await;
    for version in Version::BOTH {
        for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "HEAD"] {
            let path = format!("/{method}/{version:?}");
            let call = edge.envoy.call(version, &path).method(method.parse().unwrap()).key(KEY).from(ATTACKER);
            assert_eq!(call.send().await.status, 403, "{method}");
            assert_eq!(edge.envoy.entry(&path).await["reason"], "ip_mismatch");
        }
    }
    let handshake = format!(
        "GET /socket HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let call = edge.envoy.get("/").from(ATTACKER);
    let answer = call.first_bytes(handshake.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 403"), "{}", answer.escape_ascii());
    assert!(edge.upstream.take().is_empty());
}

#[tokio::test]
async fn a_list_of_protocols_without_the_mark_is_a_key_to_new_api() {
    const VICTIM: &str = "Ab0Cd1Ef2Gh3Ij4K5A0b1C2d3E4f5A6b7C8d9E0f1A2b3C4d";
    const OWN: &str = "Zy9Xw8Vu7Ts6Rq5P0f9E8d7C6b5A4f3E2d1C0b9A8f7E6d5C";
    let new_api = || sentinel().set("credentials.profile", "\"new-api\"").set("credentials.missing", "\"allow\"");
    let config = || EnvoyConfig::shipped().patient();
    for config in [config(), config().joined_headers()] {
        let edge = Edge::start(new_api(), config).await;
        edge.claim(VICTIM).await;
        for version in Version::BOTH {
            for (nth, (own, protocols, reason)) in [
                (true, format!("sk-{VICTIM}"), Reason::ConflictingKeys),
                (true, format!("sk-{VICTIM}-, realtime"), Reason::MalformedKey),
                (true, format!("sk-{VICTIM}-x, openai-insecure-api-key.{OWN}"), Reason::ConflictingKeys),
                (true, "realtime".to_owned(), Reason::MalformedKey),
                (false, format!("sk-{VICTIM}"), Reason::IpMismatch),
                (false, format!("sk-{VICTIM}-,x"), Reason::MalformedKey),
            ]
            .into_iter()
            .enumerate()
            {
                let path = format!("/{version:?}/{nth}");
                let call = edge.envoy.call(version, &path).from(ATTACKER).header("sec-websocket-protocol", &protocols);
                let call = if own { call.key(OWN) } else { call };
                edge.assert_denied(&path, &call.send().await, reason).await;
            }
        }
    }
}

#[tokio::test]
async fn a_cookie_behind_what_some_parser_takes_for_white_space_is_seen() {
    let custom = || {
        sentinel()
            .set("credentials.profile", "\"mine\"")
            .set("credentials.missing", "\"allow\"")
            .set("credentials.custom.mine.carriers", "[\"header authorization bearer\", \"cookie sess\"]")
    };
    let config = || EnvoyConfig::shipped().patient();
    for config in [config(), config().joined_headers()] {
        let edge = Edge::start(custom(), config).await;
        edge.claim(KEY).await;
        for version in Version::BOTH {
            let cookies: [&[u8]; 9] = [
                b"\xa0sess=",
                b"a=1;\xa0sess=",
                b"sess\xa0=",
                b"\x85sess=",
                b"a=1;\xc2\xa0sess=",
                b"a=1 sess=",
                b"a=1\xa0sess=",
                b"a=1\xe2\x80\x89sess\xe3\x80\x80=",
                b"a=\"1\"sess=",
            ];
            for (nth, name) in cookies.iter().enumerate() {
                for own in [true, false] {
                    let path = format!("/{version:?}/{nth}/{own}");
                    let cookie = [name, KEY.as_bytes()].concat();
                    let call = edge.envoy.call(version, &path).from(ATTACKER).header("cookie", cookie);
                    let call = if own { call.key(OWN) } else { call };
                    edge.assert_denied(&path, &call.send().await, Reason::MalformedKey).await;
                }
            }
        }
    }
}

//! The main job through a real Envoy, by real clients on HTTP/1.1 and HTTP/2: every reason, and what reaches whom.

use crate::common::{
    answer::denial_status,
    edge::Edge,
    envoy::EnvoyConfig,
    http_client::{Call, HttpReply, Version},
    sentinel,
};
use key_ip_sentinel::domain::Reason;

/// Also of [`Edge::claim`].
const OWNER: &str = "127.0.0.1";
const ATTACKER: &str = "127.0.0.2";
const UNCLAIMABLE: &str = "127.0.0.9";

/// The setting in which a reason comes about.
async fn edge_for(reason: Reason) -> Edge {
    let (home, config) = (sentinel(), EnvoyConfig::shipped().patient());
    let home = match reason {
        Reason::FailsafeOpen => home.set("store.failsafe", "\"open\""),
        Reason::DeadlineExceeded => home.set("check_deadline", "\"5ms\""),
        Reason::CallerRejected => home.with_caller_token(),
        Reason::UnclaimableNetwork => home.set("client_ip.unclaimable", &format!("[\"{UNCLAIMABLE}\"]")),
        Reason::NetworkAdded => home.set("binding.max_networks", "2").set("binding.learn_window", "\"10m\""),
        Reason::ModeOff => home.set("mode", "\"off\""),
        Reason::ClaimLimited => home.set("claims.per_network", "\"1/d\""),
        _ => home,
    };
    let config = match reason {
        Reason::ClientIpUnknown => config.on_a_pipe(&home.path().join("edge.sock")),
        Reason::MalformedRequest => config.with_route_extension("sentinel.mode", "no-such-mode"),
        _ => config,
    };
    Edge::start(home, config).await
}

/// A call that is answered for this reason. A reason without an arm does not compile.
async fn provoke(edge: &Edge, reason: Reason, version: Version, key: &str) -> (String, HttpReply) {
    let path = match reason {
        Reason::MalformedRequest => format!("/overridden/{version:?}"),
        _ => format!("/decided/{version:?}"),
    };
    let call = || edge.envoy.call(version, &path);
    let reply = match reason {
        Reason::FirstUse => call().key(key).from(OWNER).send().await,
        Reason::Bound => {
            edge.claim(key).await;
            call().key(key).from(OWNER).send().await
        }
        Reason::IpMismatch => {
            edge.claim(key).await;
            call().key(key).from(ATTACKER).send().await
        }
        Reason::KeyBanned => {
            edge.claim(key).await;
            edge.sentinel.admin().await.ban(key).await.unwrap();
            call().key(key).from(OWNER).send().await
        }
        Reason::NotClaimed => {
            edge.claim(key).await;
            edge.sentinel.admin().await.unbind(key, None).await.unwrap();
            call().key(key).from(OWNER).send().await
        }
        Reason::NetworkAdded => {
            edge.claim(key).await;
            call().key(key).from(ATTACKER).send().await
        }
        Reason::ModeOff => call().key(key).from(OWNER).send().await,
        Reason::ClaimLimited => {
            // The day's claim, whichever version comes first.
            edge.envoy.call(version, "/spent").key("sk-e2e-another-0123456789").from(OWNER).send().await;
            edge.upstream.take();
            call().key(key).from(OWNER).send().await
        }
        Reason::NoKey => call().from(OWNER).send().await,
        Reason::ConflictingKeys => call().key(key).header("x-api-key", "sk-another-0123456789").send().await,
        Reason::MalformedKey => call().header("authorization", "Basic dXNlcjpwYXNz").send().await,
        Reason::UnclaimableNetwork => call().key(key).from(UNCLAIMABLE).send().await,
        Reason::MalformedRequest | Reason::ClientIpUnknown | Reason::CallerRejected => call().key(key).send().await,
        Reason::DeadlineExceeded => return too_late(edge, version, key).await,
        Reason::StoreUnavailable | Reason::FailsafeOpen => {
            let _lock = edge.sentinel.lock_store().await;
            call().key(key).from(OWNER).send().await
        }
    };
    (path, reply)
}

/// Calls with new keys until one finds its deadline over. On a busy machine the store may have given up before, and the
/// call may not even be read in time.
async fn too_late(edge: &Edge, version: Version, key: &str) -> (String, HttpReply) {
    let _lock = edge.sentinel.lock_store().await;
    let mut tries = 0;
    crate::common::eventually("the deadline is exceeded", async || {
        tries += 1;
        let path = format!("/late/{version:?}/{tries}");
        let reply = edge.envoy.call(version, &path).key(&format!("{key}-{tries}")).from(OWNER).send().await;
        let entry = edge.envoy.entry(&path).await;
        let is_of_key = entry["key_id"].as_str().is_some_and(|id| id.starts_with("k_"));
        (entry["reason"] == "deadline_exceeded" && is_of_key).then_some((path, reply))
    })
    .await
}

async fn answers_with(word: &str) {
    let reason = Reason::from_word(word).unwrap();
    let edge = edge_for(reason).await;
    for version in Version::BOTH {
        let key = format!("sk-e2e-{version:?}-0123456789");
        let (path, reply) = provoke(&edge, reason, version, &key).await;
        match denial_status(reason) {
            Some(_) => edge.assert_denied(&path, &reply, reason).await,
            None => edge.assert_allowed(&path, &reply, reason).await,
        }
        let shown = edge.envoy.entry(&path).await;
        let has_key = matches!(
            reason,
            Reason::Bound
                | Reason::FirstUse
                | Reason::NetworkAdded
                | Reason::FailsafeOpen
                | Reason::ClaimLimited
                | Reason::IpMismatch
                | Reason::KeyBanned
                | Reason::UnclaimableNetwork
                | Reason::NotClaimed
                | Reason::StoreUnavailable
                | Reason::DeadlineExceeded
        );
        assert_eq!(shown["key_id"].as_str().is_some_and(|id| id.starts_with("k_")), has_key, "{shown}");
    }
    // Whatever Envoy does not understand (a gRPC error, a broken or empty message) it counts here.
    assert_eq!(edge.envoy.counter("http.edge.ext_authz.sentinel.error").await, 0);
    assert_eq!(edge.envoy.counter("http.edge.ext_authz.sentinel.invalid").await, 0);
}

macro_rules! one_test_per_reason {
    ($($reason:ident)*) => {
        mod reason {
            $(#[tokio::test]
            async fn $reason() {
                super::answers_with(stringify!($reason)).await;
            })*
        }
        const TESTED: &[&str] = &[$(stringify!($reason)),*];
    };
}

one_test_per_reason! {
    bound first_use network_added failsafe_open mode_off no_key conflicting_keys malformed_request malformed_key
    ip_mismatch key_banned unclaimable_network client_ip_unknown not_claimed claim_limited store_unavailable
    deadline_exceeded caller_rejected
}

#[test]
fn every_reason_has_a_test() {
    assert_eq!(TESTED, Reason::ALL.map(Reason::as_str));
}

#[tokio::test]
async fn the_shipped_pair_gives_a_key_to_its_first_network_and_refuses_it_to_any_other() {
    let edge = Edge::strict_pair("envoy.yaml", "127.0.0.1").await;
    let key = "sk-main-job-0123456789";
    // The deadlines are those of the pair, which a busy machine may miss: then the client tries again, on another path.
    let call = async |path: &str, from: &str| {
        let mut tries = 0;
        crate::common::eventually("it is answered in time", async || {
            tries += 1;
            let path = format!("{path}/{tries}");
            let reply = edge.envoy.get(&path).key(key).from(from).send().await;
            (reply.status != 503).then_some((path, reply))
        })
        .await
    };
    assert_eq!(call("/first", "127.0.0.1").await.1.status, 200);
    assert_eq!(edge.upstream.take().len(), 1);
    let (path, again) = call("/again", "127.0.0.1").await;
    edge.assert_allowed(&path, &again, Reason::Bound).await;
    let (path, refused) = call("/attacker", "127.0.0.2").await;
    edge.assert_denied(&path, &refused, Reason::IpMismatch).await;
    let body: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!(body["client_ip"], "127.0.0.2", "the body says how the client was seen");
    assert!(!refused.text().contains("127.0.0.1"), "and not who the owner is");

    let list = edge.sentinel.home().cli(&["bindings", "list"]);
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(list.contains("127.0.0.1/32"), "{list}");
    let entry = edge.envoy.entry(&path).await;
    let given = edge.sentinel.home().cli(&["unbind", entry["key_id"].as_str().unwrap(), "--to", "127.0.0.2"]);
    assert!(given.status.success(), "{}", String::from_utf8_lossy(&given.stderr));
    edge.sentinel.catches_up().await;
    let (path, handed) = call("/handed", "127.0.0.2").await;
    edge.assert_allowed(&path, &handed, Reason::Bound).await;
    let (path, lost) = call("/lost", "127.0.0.1").await;
    edge.assert_denied(&path, &lost, Reason::IpMismatch).await;
}

#[tokio::test]
async fn an_allowed_request_reaches_the_upstream_as_it_was_sent() {
    let edge = Edge::shipped().await;
    for version in Version::BOTH {
        for (name, value) in [
            ("authorization", "bearer sk-unchanged-0123456789".to_owned()),
            ("authorization", "sk-unchanged-0123456789".to_owned()),
            ("x-api-key", "sk-unchanged-0123456789".to_owned()),
            ("api-key", "sk-unchanged-0123456789".to_owned()),
        ] {
            let call =
                edge.envoy.call(version, "/a/b?x=1&key=2").header(name, &value).header("x-custom", b"caf\xe9 \xff");
            assert_eq!(call.send().await.status, 200, "{version:?} {name}");
            let [head] = &edge.upstream.take()[..] else { panic!("one request") };
            assert_eq!(head.lines(name), [value.as_bytes()], "{version:?} {name}");
            assert_eq!(head.lines("x-custom"), [b"caf\xe9 \xff".as_slice()], "{version:?}");
            assert_eq!((head.method.as_str(), head.path.as_str()), ("GET", "/a/b?x=1&key=2"));
        }
    }
}

#[tokio::test]
async fn unchecked_credentials_do_not_reach_the_upstream() {
    const UNREAD: [&str; 14] = [
        "proxy-authorization",
        "x-goog-api-key",
        "ocp-apim-subscription-key",
        "x-litellm-api-key",
        "mj-api-secret",
        "x-sentinel-key-id",
        "x_goog_api_key",
        "x_sentinel_key_id",
        "x.sentinel-key_id",
        "x-original-url",
        "x-rewrite-url",
        "x_original_url",
        "x-rewrite_url",
        "x.original!url",
    ];
    let edge = Edge::start(sentinel().set("credentials.missing", "\"allow\""), EnvoyConfig::shipped().patient()).await;
    for version in Version::BOTH {
        for key in [Some("sk-checked-0123456789"), None] {
            let call = edge.envoy.call(version, "/");
            let call = key.into_iter().fold(call, Call::key);
            let call =
                UNREAD.iter().fold(call, |call, name| call.header(name, "sk-stolen-1").header(name, "sk-stolen-2"));
            assert_eq!(call.send().await.status, 200, "{version:?} {key:?}");
            let [head] = &edge.upstream.take()[..] else { panic!("one request") };
            for name in UNREAD {
                assert!(head.lines(name).is_empty(), "{version:?} {key:?}: {name}");
            }
        }
    }
}

/// Modules of IIS, and Symfony and Zend until CVE-2018-14773, take path and query from these headers. Both Envoy and
/// Sentinel remove them; here each without the other.
async fn assert_no_other_path(config: EnvoyConfig, path: &str) {
    const NAMES: [&str; 6] =
        ["x-original-url", "x-rewrite-url", "x_original_url", "X-Rewrite_URL", "x.original.url", "x!rewrite-url"];
    let edge = Edge::start(sentinel(), config).await;
    for version in Version::BOTH {
        let call = edge.envoy.call(version, path).key("sk-rewritten-0123456789").header("x-original-urls", "kept");
        let call = NAMES.iter().fold(call, |call, name| call.header(name, "/v1/other?key=sk-stolen-0123456789"));
        assert_eq!(call.send().await.status, 200, "{path}");
        let [head] = &edge.upstream.take()[..] else { panic!("one request") };
        for name in NAMES {
            assert!(head.lines(name).is_empty(), "{version:?} {path}: {name}");
        }
        assert_eq!(head.lines("x-original-urls"), [b"kept"]);
    }
}

#[tokio::test]
async fn envoy_removes_headers_that_name_another_path_than_the_judged_one() {
    assert_no_other_path(EnvoyConfig::shipped().with_public_route().patient(), "/public/a").await;
}

#[tokio::test]
async fn sentinel_removes_headers_that_name_another_path_than_the_judged_one() {
    const REMOVES: &str = "- { remove_on_match: { key_matcher: { safe_regex: { regex: \"x[^a-z0-9](original|rewrite)[^a-z0-9]url\" } } } }";
    assert_no_other_path(EnvoyConfig::shipped().patient().replace(REMOVES, ""), "/v1/models").await;
}

#[tokio::test]
async fn a_client_cannot_set_its_address() {
    let edge = Edge::shipped().await;
    let key = "sk-spoofed-0123456789";
    edge.claim(key).await;
    for version in Version::BOTH {
        let path = format!("/spoof/{version:?}");
        let call = edge.envoy.call(version, &path).key(key).from(ATTACKER);
        let names = ["x-forwarded-for", "x-real-ip", "x-envoy-external-address", "true-client-ip", "cf-connecting-ip"];
        let call = names.iter().fold(call, |call, name| call.header(name, OWNER));
        let reply = call.header("forwarded", "for=127.0.0.1").send().await;
        edge.assert_denied(&path, &reply, Reason::IpMismatch).await;
    }
}

#[tokio::test]
async fn grpc_clients_get_grpc_statuses() {
    let edge = Edge::shipped().await;
    let key = "sk-grpc-0123456789";
    edge.claim(key).await;
    let call = |path: &str| {
        let call = edge.envoy.call(Version::Http2, path).method(http::Method::POST);
        call.header("content-type", "application/grpc").header("te", "trailers").body(vec![0; 5])
    };
    let no_key = call("/grpc/no-key").send().await;
    assert_eq!((no_key.status, no_key.grpc_status()), (200, Some("16")), "{no_key:?}");
    let attacker = call("/grpc/attacker").key(key).from(ATTACKER).send().await;
    assert_eq!((attacker.status, attacker.grpc_status()), (200, Some("7")), "{attacker:?}");
    let lost = {
        let _lock = edge.sentinel.lock_store().await;
        call("/grpc/lost").key("sk-grpc-new-0123456789").send().await
    };
    assert_eq!((lost.status, lost.grpc_status()), (200, Some("14")), "{lost:?}");
    assert!(edge.upstream.take().is_empty());
    assert_eq!(call("/grpc/owner").key(key).from(OWNER).send().await.status, 200);
    assert_eq!(edge.upstream.take().len(), 1);
    for (path, reason) in
        [("/grpc/no-key", "no_key"), ("/grpc/attacker", "ip_mismatch"), ("/grpc/lost", "store_unavailable")]
    {
        assert_eq!(edge.envoy.entry(path).await["reason"], reason);
    }
}

#[tokio::test]
async fn without_sentinel_every_request_is_denied() {
    let Edge { sentinel, upstream, envoy } = Edge::shipped().await;
    let key = "sk-orphan-0123456789";
    assert_eq!(envoy.get("/before").key(key).send().await.status, 200);
    upstream.take();
    let home = sentinel.kill();
    for version in Version::BOTH {
        let path = format!("/orphan/{version:?}");
        assert_eq!(envoy.call(version, &path).key(key).send().await.status, 503);
        assert_eq!(envoy.entry(&path).await["details"], "ext_authz_error");
    }
    assert!(upstream.take().is_empty());
    let _sentinel = home.start().await;
    let back = crate::common::eventually("the owner passes again", async || {
        let reply = envoy.get("/after").key(key).send().await;
        (reply.status == 200).then_some(reply)
    });
    assert_eq!(back.await.text(), "upstream\n", "the unix socket of a killed server does not block its successor");
}

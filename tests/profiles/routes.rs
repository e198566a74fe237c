//! Routes with their own rules: `sentinel.profile`, `sentinel.missing`.

use envoy_types::pb::envoy::service::auth::v3::CheckRequest;
use key_ip_sentinel::domain::Reason;
use prost::Message;

use crate::{
    common::{Encoding, Home, edge::Edge, envoy::EnvoyConfig, grpc::frame, http_client::Version, sentinel},
    realms::Realm,
};

const OWNER: &str = "203.0.113.7";
const STRANGER: &str = "198.51.100.9";

fn new_api() -> Home {
    sentinel().set("credentials.profile", "\"new-api\"").set("credentials.route_profiles", "[\"one-api\"]")
}

fn keys() -> (&'static str, &'static str) {
    let realm = Realm::named("new-api");
    (realm.k, realm.l)
}

#[tokio::test]
async fn a_route_may_name_a_listed_profile_and_the_key_keeps_its_one_owner() {
    let sentinel = new_api().start().await;
    let (k, l) = keys();
    for encoding in Encoding::BOTH {
        let check = || sentinel.check().encoding(encoding);
        let routed = || check().extension("sentinel.profile", "one-api");
        assert!(check().key(&format!("sk-{k}")).from(OWNER).send().await.is_allow());
        assert_eq!(routed().key(k).from(OWNER).send().await.reason(), "bound");
        assert_eq!(routed().key(&k.to_lowercase()).from(STRANGER).send().await.reason(), "ip_mismatch");
        // one-api does not read x-api-key: there it is neither a key nor a conflict, and is removed.
        assert_eq!(check().header("x-api-key", k).from(OWNER).send().await.reason(), "bound");
        assert_eq!(routed().header("x-api-key", k).from(OWNER).send().await.reason(), "no_key");
        assert_eq!(check().key(k).header("x-api-key", l).from(OWNER).send().await.reason(), "conflicting_keys");
        let allowed = routed().key(k).header("x-api-key", l).from(OWNER).send().await;
        assert_eq!(allowed.reason(), "bound");
        let removed = |answer: &crate::common::Answer| answer.allowed().unwrap().headers_to_remove.clone();
        assert!(removed(&allowed).contains(&"x-api-key".to_owned()), "{allowed:?}");
        let own = routed().extension("sentinel.profile", "new-api").key(k).from(OWNER).send().await;
        assert_eq!(own.reason(), "bound", "the configured profile may be named too");
        assert!(!removed(&own).contains(&"x-api-key".to_owned()), "{own:?}");
    }
}

#[tokio::test]
async fn what_a_route_says_of_missing_keys_holds_for_that_route() {
    for (configured, other) in [("deny", "allow"), ("allow", "deny")] {
        let sentinel = sentinel().set("credentials.missing", &format!("\"{configured}\"")).start().await;
        let decision = async |extension: Option<&str>| {
            let check = sentinel.check().from(OWNER);
            let check = extension.into_iter().fold(check, |check, value| check.extension("sentinel.missing", value));
            let answer = check.send().await;
            assert_eq!(answer.reason(), "no_key");
            answer.decision().to_owned()
        };
        assert_eq!(decision(None).await, configured);
        assert_eq!(decision(Some(configured)).await, configured);
        assert_eq!(decision(Some(other)).await, other);
        let bad = sentinel.check().from(OWNER).extension("sentinel.missing", "allow").header("authorization", "x");
        assert_eq!(bad.send().await.reason(), "malformed_key", "a carrier that is there is not missing");
    }
}

#[tokio::test]
async fn a_rule_that_is_not_exactly_known_denies() {
    let sentinel = new_api().start().await;
    let (k, _) = keys();
    for (name, value) in [
        ("sentinel.profile", ""),
        ("sentinel.profile", "litellm"),
        ("sentinel.profile", "generic"),
        ("sentinel.profile", "One-Api"),
        ("sentinel.profile", "one-api "),
        ("sentinel.missing", ""),
        ("sentinel.missing", "Allow"),
        ("sentinel.missing", "true"),
        ("sentinel.mode", "no-such-mode"),
        ("sentinel.confirm", "upstream"),
        ("sentinel.", "x"),
        ("sentinel.Profile", "one-api"),
        ("sentinel.profile ", "one-api"),
    ] {
        let answer = sentinel.check().key(k).from(OWNER).extension(name, value).send().await;
        assert_eq!(answer.reason(), "malformed_request", "{name}={value:?}");
    }
    let other = sentinel.check().key(k).from(OWNER).extension("team", "sentinel.profile").extension("sentinel", "x");
    assert!(other.send().await.is_allow(), "other programs' extensions are theirs");
}

#[tokio::test]
async fn a_rule_that_is_there_twice_denies() {
    let sentinel = new_api().start().await;
    let (k, _) = keys();
    let check = || sentinel.check().key(k).from(OWNER);
    let attributes = check().message().attributes.unwrap().encode_to_vec();
    for (entries, reason) in [
        (vec![("sentinel.profile", "one-api")], "first_use"),
        (vec![("sentinel.profile", "one-api"), ("sentinel.missing", "allow"), ("a", "1"), ("a", "2")], "bound"),
        (vec![("sentinel.profile", "one-api"), ("sentinel.profile", "one-api")], "malformed_request"),
        (vec![("sentinel.profile", "new-api"), ("sentinel.profile", "one-api")], "malformed_request"),
        (vec![("sentinel.missing", "allow"), ("x", "y"), ("sentinel.missing", "deny")], "malformed_request"),
    ] {
        let message = field(1, &[attributes.clone(), extensions(&entries)].concat());
        let answer = check().send_body(frame(&message)).await;
        assert_eq!(answer.reason(), reason, "{entries:?}");
        // Over two copies of `attributes`, which protobuf merges and Envoy never sends.
        let message = [field(1, &attributes), field(1, &extensions(&entries))].concat();
        assert!(CheckRequest::decode(&*message).is_ok(), "the message is a good one");
        let answer = check().send_body(frame(&message)).await;
        assert_eq!(answer.reason(), "malformed_request", "{entries:?}");
    }
}

/// `attributes.context_extensions` with these entries, on the wire.
fn extensions(entries: &[(&str, &str)]) -> Vec<u8> {
    let entry =
        |(key, value): &(&str, &str)| field(10, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
    entries.iter().flat_map(entry).collect()
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    prost::encode_length_delimiter(bytes.len(), &mut field).unwrap();
    field.extend_from_slice(bytes);
    field
}

#[tokio::test]
async fn a_routes_profile_through_envoy() {
    let (k, l) = keys();
    let config = EnvoyConfig::shipped().patient().with_route_extension("sentinel.profile", "one-api");
    let edge = Edge::start(new_api(), config).await;
    edge.claim(k).await;
    for version in Version::BOTH {
        let path = format!("/{version:?}");
        let reply = edge.envoy.call(version, &path).key(k).header("x-api-key", l).send().await;
        edge.assert_denied(&path, &reply, Reason::ConflictingKeys).await;
        let path = format!("/overridden/{version:?}");
        let reply = edge.envoy.call(version, &path).key(&format!("sk-{k}")).header("x-api-key", l).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(edge.upstream.take()[0].lines("x-api-key").is_empty(), "the route's profile does not read it");
    }
}

/// Envoy's limit is that of all headers together.
#[tokio::test]
async fn a_long_key_through_envoy() {
    let edge = Edge::start(sentinel(), EnvoyConfig::shipped().patient()).await;
    for (nth, length) in [4_097, 16_385, 58_000].into_iter().enumerate() {
        for version in Version::BOTH {
            let (key, other) = ("a".repeat(length), "a".repeat(length - 1) + "b");
            for (path, key) in [("own", &key), ("again", &key), ("end", &other)] {
                let path = format!("/{version:?}/{nth}/{path}");
                let reply = edge.envoy.call(version, &path).header("x-api-key", key).send().await;
                assert_eq!(reply.status, 200, "{length}: {}", reply.text());
                assert_eq!(edge.upstream.take()[0].lines("x-api-key"), [key.as_bytes()]);
            }
        }
        let reply = edge.envoy.call(Version::Http1, "/").from("127.0.0.2").header("x-api-key", "a".repeat(length));
        assert_eq!(reply.send().await.status, 403, "{length}: the whole key counts");
    }
}

#[tokio::test]
async fn a_route_open_to_requests_without_a_key_through_envoy() {
    let config = EnvoyConfig::shipped().patient().with_route_extension("sentinel.missing", "allow");
    let edge = Edge::start(sentinel(), config).await;
    for version in Version::BOTH {
        let path = format!("/{version:?}");
        edge.assert_denied(&path, &edge.envoy.call(version, &path).send().await, Reason::NoKey).await;
        let path = format!("/overridden/{version:?}");
        let reply = edge.envoy.call(version, &path).header("x-goog-api-key", "sk-stolen").send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(edge.upstream.take()[0].lines("x-goog-api-key").is_empty(), "an allow without a key removes them too");
    }
}

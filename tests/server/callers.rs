//! Who may ask Sentinel, and what a caller may say of addresses: real Envoys with and without the token, and callers
//! that are no Envoy.

use crate::common::{
    CALLER_TOKEN, Home, Sentinel,
    edge::Edge,
    envoy::EnvoyConfig,
    eventually,
    http_client::{Call, Version},
    sentinel,
    upstream::Upstream,
};
use bytes::Bytes;
use key_ip_sentinel::domain::Reason;

const KEY: &str = "sk-callers-0123456789abcdef";
const OWNER: &str = "127.0.0.1";
const CLIENT: &str = "203.0.113.7";
const LB: &str = "10.0.0.2";
const TOKEN: &str = "x-sentinel-token";
const WRONG: &str = "another-token-for-tests-0123456789-";

/// Envoy reaches Sentinel over TCP and sends this metadata.
async fn over_tcp(home: Home, metadata: &[(&str, &str)]) -> Edge {
    let sentinel = home.start().await;
    let upstream = Upstream::start().await;
    let config = EnvoyConfig::shipped().patient();
    let config = if metadata.is_empty() { config } else { config.with_metadata(metadata) };
    let envoy = config.start(&sentinel, &upstream).await;
    Edge { sentinel, upstream, envoy }
}

/// The token is in nothing that anybody can read.
async fn assert_secret(sentinel: &Sentinel) {
    let audit = format!("{:?}", sentinel.admin().await.audit("denied").await.unwrap());
    let (_, metrics) = sentinel.get("/metrics").await;
    for text in [sentinel.log(), sentinel.stdout(), audit, metrics] {
        assert!(!text.contains(CALLER_TOKEN) && !text.contains(WRONG), "a token is shown: {text}");
    }
}

#[tokio::test]
async fn an_envoy_with_the_token_may_ask() {
    let edge = over_tcp(sentinel().with_caller_token(), &[(TOKEN, CALLER_TOKEN)]).await;
    for version in Version::BOTH {
        let key = format!("{KEY}-{version:?}");
        edge.claim(&key).await;
        let (owner, thief) = (format!("/owner/{version:?}"), format!("/thief/{version:?}"));
        let call = |path: &str, from: &str| edge.envoy.call(version, path).key(&key).from(from).send();
        edge.assert_allowed(&owner, &call(&owner, OWNER).await, Reason::Bound).await;
        edge.assert_denied(&thief, &call(&thief, "127.0.0.2").await, Reason::IpMismatch).await;
    }
    // Envoy's health check has no metadata, and needs none: it tells nothing of keys.
    eventually("Envoy takes Sentinel for healthy", async || {
        (edge.envoy.counter("cluster.sentinel.membership_healthy").await == 1).then_some(())
    })
    .await;
    assert_secret(&edge.sentinel).await;
}

/// So that the secret need not stand in Envoy's configuration. (Not `%FILE_CONTENT(…)%`: Envoy 1.40 accepts it and ends
/// at the first request.)
#[tokio::test]
async fn envoy_reads_the_token_from_its_environment() {
    let edge = over_tcp(sentinel().with_caller_token(), &[(TOKEN, "%ENVIRONMENT(CALLER_TOKEN)%")]).await;
    edge.claim(KEY).await;
}

#[tokio::test]
async fn an_envoy_without_the_token_gets_503_for_everything() {
    let wrong: [&[(&str, &str)]; 3] = [&[], &[(TOKEN, WRONG)], &[("x-token", CALLER_TOKEN)]];
    for (nth, metadata) in wrong.into_iter().enumerate() {
        let home = sentinel().with_caller_token().set("credentials.missing", "\"allow\"");
        let edge = over_tcp(home, metadata).await;
        for version in Version::BOTH {
            // Whatever comes, and however long it is: not even its client's address is believed.
            let call = |path: &str| edge.envoy.call(version, path);
            let filler = "f".repeat(50 << 10);
            for (what, call) in [
                ("key", call("").key(KEY)),
                ("no-key", call("")),
                ("two-keys", call("").key(KEY).header("x-api-key", "sk-other-0123456789")),
                ("long", call("").key(KEY).header("x-filler", &filler)),
                // A client's own header is no metadata of the call.
                ("client's", call("").key(KEY).header(TOKEN, CALLER_TOKEN)),
            ] {
                let path = format!("/{nth}/{version:?}/{what}");
                let reply = Call::at(call, &path).send().await;
                edge.assert_denied(&path, &reply, Reason::CallerRejected).await;
                assert!(!reply.text().contains("client_ip"), "{}", reply.text());
            }
        }
        assert_eq!(edge.envoy.counter("http.edge.ext_authz.sentinel.error").await, 0, "a denial, not a failure");
        assert!(edge.sentinel.admin().await.keys().await.unwrap().keys.is_empty(), "nobody owns anything");
        eventually("the audit has them", async || {
            let records = edge.sentinel.admin().await.audit("denied").await.unwrap().records;
            assert!(records.iter().all(|it| it.reason == "caller_rejected" && it.network.is_empty()), "{records:?}");
            let count: u64 = records.iter().map(|record| record.count).sum();
            (count == 10).then_some(())
        })
        .await;
        assert_secret(&edge.sentinel).await;
    }
}

#[tokio::test]
async fn a_caller_without_the_token_is_turned_away_before_anything_is_read() {
    let sentinel = sentinel().with_caller_token().start().await;
    let check = || sentinel.check().key(KEY).from(CLIENT);
    for body in [Bytes::new(), Bytes::from_static(b"\0\0\0\0\x03abc"), Bytes::from_static(b"\0\xff\xff\xff\xff")] {
        assert_eq!(check().send_body(body).await.reason(), "caller_rejected");
    }
    assert_eq!(check().metadata("grpc-timeout", "0m").send().await.reason(), "caller_rejected");
    for shown in ["", " ", WRONG, &CALLER_TOKEN[1..], &format!("{CALLER_TOKEN}x"), &format!("Bearer {CALLER_TOKEN}")] {
        assert_eq!(check().metadata(TOKEN, shown).send().await.reason(), "caller_rejected", "{shown:?}");
    }
    for other in [CALLER_TOKEN, WRONG] {
        let twice = check().metadata(TOKEN, CALLER_TOKEN).metadata(TOKEN, other).send().await;
        assert_eq!(twice.reason(), "caller_rejected", "two tokens are one too many");
    }
    assert_eq!(check().metadata(TOKEN, CALLER_TOKEN).send().await.reason(), "first_use");
    let malformed = check().metadata(TOKEN, CALLER_TOKEN).send_body(Bytes::new()).await;
    assert_eq!(malformed.reason(), "malformed_request", "with the token the next rule applies");
    assert_secret(&sentinel).await;
}

#[tokio::test]
async fn forged_metadata_counts_for_nothing_without_the_token() {
    let home = sentinel().with_caller_token().set("client_ip.source", "\"metadata\"");
    let sentinel = home.set("client_ip.trusted_proxies", &format!("[\"{LB}\"]")).start().await;
    let forged = || sentinel.check().key(KEY).from(LB).metadata("x-client-ip", CLIENT).metadata("x-peer-ip", LB);
    assert_eq!(forged().metadata(TOKEN, CALLER_TOKEN).send().await.reason(), "first_use");
    for shown in [None, Some(WRONG)] {
        let check = shown.into_iter().fold(forged(), |check, shown| check.metadata(TOKEN, shown));
        assert_eq!(check.send().await.reason(), "caller_rejected");
    }
}

#[tokio::test]
async fn the_metadata_source_takes_both_entries_once_and_nothing_else() {
    let home = sentinel().set("client_ip.source", "\"metadata\"");
    let home = home.set("client_ip.trusted_proxies", &format!("[\"{LB}\"]"));
    let sentinel = home.set("client_ip.nat64", "[\"2001:db8:64::/96\"]").start().await;
    let (client, peer) = (("x-client-ip", CLIENT), ("x-peer-ip", LB));
    let cases: [(&[(&str, &str)], &str); 14] = [
        (&[client, peer], "no_key"),
        (&[("x-client-ip", "::ffff:203.0.113.7"), peer], "no_key"),
        (&[("x-client-ip", "2001:db8:64::cb00:7107"), peer], "no_key"),
        (&[client, ("x-peer-ip", CLIENT)], "no_key"),
        (&[client, ("x-peer-ip", "198.51.100.9")], "client_ip_unknown"),
        (&[("x-client-ip", LB), peer], "client_ip_unknown"),
        (&[client], "client_ip_unknown"),
        (&[peer], "client_ip_unknown"),
        (&[client, client, peer], "client_ip_unknown"),
        (&[client, peer, peer], "client_ip_unknown"),
        (&[("x-client-ip", "unknown"), peer], "client_ip_unknown"),
        (&[("x-client-ip", ""), peer], "client_ip_unknown"),
        // Envoy's router writes this into every call of its own accord: it is Envoy's address.
        (&[("x-forwarded-for", CLIENT)], "client_ip_unknown"),
        (&[("x-forwarded-for", CLIENT), peer], "client_ip_unknown"),
    ];
    for (entries, reason) in cases {
        // The message's own address and headers say something else, and count for nothing.
        let check = sentinel.check().from("192.0.2.50").header("x-client-ip", "6.6.6.6").header("x-peer-ip", LB);
        let check = entries.iter().fold(check, |check, (name, value)| check.metadata(name, value));
        let answer = check.send().await;
        assert_eq!(answer.reason(), reason, "{entries:?}");
        assert!(reason != "no_key" || answer.body()["client_ip"] == CLIENT, "{entries:?}: {}", answer.body());
    }
}

#[tokio::test]
async fn metadata_is_not_read_where_it_is_not_the_source() {
    let sentinel = sentinel().start().await;
    let check = sentinel.check().from(CLIENT).metadata("x-client-ip", "6.6.6.6").metadata("x-peer-ip", "6.6.6.6");
    let answer = check.metadata("x-forwarded-for", "6.6.6.6").send().await;
    assert_eq!((answer.reason(), &answer.body()["client_ip"]), ("no_key", &CLIENT.into()));
}

#[tokio::test]
async fn a_trusted_proxy_never_owns_a_key() {
    let home = sentinel().set("client_ip.trusted_proxies", "[\"10.0.0.0/24\", \"2001:db8:1b::/64\"]");
    let sentinel = home.start().await;
    for proxy in [LB, "::ffff:10.0.0.200", "2001:db8:1b::2"] {
        assert_eq!(sentinel.check().key(KEY).from(proxy).send().await.reason(), "unclaimable_network", "{proxy}");
    }
    assert_eq!(sentinel.check().key(KEY).from(CLIENT).send().await.reason(), "first_use");
    assert_eq!(sentinel.check().key(KEY).from(LB).send().await.reason(), "ip_mismatch");
}

#[tokio::test]
async fn beyond_this_machine_nothing_starts_without_a_word_on_callers() {
    let home = sentinel().set("listen.grpc", "\"0.0.0.0:0\"");
    let mut refused = home.spawn();
    assert!(!refused.wait().await.success());
    let said = refused.stderr();
    assert!(said.contains("listen.grpc: 0.0.0.0:0 is not loopback") && said.contains("caller_token_file"), "{said}");
    assert!(!home.data_dir().exists(), "a refused start makes nothing");

    let warning = "listen.allow_unauthenticated_callers";
    let sentinel = home.set(warning, "true").start().await;
    // The log is written beside the serving, which may be quicker.
    let warned = async || {
        let log = sentinel.log();
        (log.contains(warning) && log.contains("WARN")).then_some(())
    };
    eventually("the way out is logged", warned).await;
    assert_eq!(sentinel.check().key(KEY).from(CLIENT).send().await.reason(), "first_use");
    let home = sentinel.stop().await.unset(warning).with_caller_token();
    let sentinel = home.start().await;
    let check = || sentinel.check().key(KEY).from(CLIENT);
    assert_eq!(check().send().await.reason(), "caller_rejected");
    assert_eq!(check().metadata(TOKEN, CALLER_TOKEN).send().await.reason(), "bound");
    assert!(!sentinel.log().contains(warning));
}

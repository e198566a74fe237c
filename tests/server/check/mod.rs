//! The ext_authz edge on the wire: one test for every reason, and the rules around each.

mod reasons;

use crate::common::{
    Answer, Encoding, Home, Sentinel,
    admin::proto::unbind_request::Mode,
    answer::{denial_status, may_allow},
    eventually, sentinel,
};
use key_ip_sentinel::domain::Reason;

const KEY: &str = "sk-check-0123456789abcdef";
const OTHER_KEY: &str = "sk-check-fedcba9876543210";
const OWNER: &str = "203.0.113.7";
const STRANGER: &str = "198.51.100.9";
async fn claim(sentinel: &Sentinel) {
    let answer = sentinel.check().key(KEY).from(OWNER).send().await;
    assert_eq!(answer.reason(), "first_use");
}

#[tokio::test]
async fn a_missing_key_passes_where_the_operator_says_so_and_a_bad_one_does_not() {
    let sentinel = sentinel().set("credentials.missing", "\"allow\"").start().await;
    let answer = sentinel.check().from(OWNER).send().await;
    assert_eq!((answer.decision(), answer.reason()), ("allow", "no_key"));
    for empty in ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz"] {
        let answer = sentinel.check().header("authorization", empty).from(OWNER).send().await;
        assert_eq!(answer.reason(), "malformed_key", "{empty:?}");
    }
}

#[tokio::test]
async fn every_accepted_spelling_is_the_same_key() {
    let sentinel = sentinel().start().await;
    claim(&sentinel).await;
    let spellings: [(&str, String); 10] = [
        ("authorization", format!("Bearer {KEY}")),
        ("authorization", format!("bearer {KEY}")),
        ("authorization", format!("BEARER {KEY}")),
        ("authorization", format!("  Bearer {KEY}\t ")),
        ("authorization", KEY.to_owned()),
        ("x-api-key", KEY.to_owned()),
        ("x-api-key", format!(" {KEY}\t")),
        ("x_api_key", KEY.to_owned()),
        ("api-key", KEY.to_owned()),
        ("api_key", KEY.to_owned()),
    ];
    for encoding in Encoding::BOTH {
        for (name, value) in &spellings {
            let check = || sentinel.check().encoding(encoding).header(name, value);
            let owner = check().from(OWNER).send().await;
            assert_eq!(owner.reason(), "bound", "{name}: {value:?}");
            let thief = check().from(STRANGER).send().await;
            assert_eq!(thief.reason(), "ip_mismatch", "{name}: {value:?}");
        }
    }
    let both = sentinel.check().key(KEY).header("x-api-key", KEY).header("api-key", KEY).from(OWNER).send().await;
    assert_eq!(both.reason(), "bound", "one key in several carriers is one key");
}

#[tokio::test]
async fn what_is_not_exactly_a_key_never_claims() {
    let sentinel = sentinel().start().await;
    let values: [&[u8]; 20] = [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer  sk-0123456789",
        b"Bearer\tsk-0123456789",
        b"Bearer sk-0123 456789",
        b"Bearersk-0123456789",
        b"Bearer Bearer sk-0123456789",
        b"BearerBearersk-0123456789",
        b"Basic dXNlcjpwYXNz",
        b"Digest username=\"x\"",
        b"Bearer short",
        b"Bearer sk-0123456789!",
        b"Bearer sk-0123456789\xff",
        b"Bearer sk-\xd0\xba\xd0\xbb\xd1\x8e\xd1\x87-0123456789",
        b"Bearer \"sk-0123456789\"",
        b"Bearer sk-0123456789;x",
        b"Bearer sk%2D0123456789",
        b"Bearer sk-0123456789\x00",
        b"Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    ];
    for encoding in Encoding::BOTH {
        for value in values {
            let answer = sentinel.check().encoding(encoding).header("authorization", value).from(OWNER).send().await;
            assert_eq!(answer.reason(), "malformed_key", "{encoding:?}: {}", value.escape_ascii());
        }
        let long = sentinel.check().encoding(encoding).key(&"a".repeat(61_441)).from(OWNER).send().await;
        assert_eq!(long.reason(), "malformed_key");
        let longest = sentinel.check().encoding(encoding).key(&"a".repeat(61_440)).from(OWNER).send().await;
        assert!(longest.is_allow(), "{longest:?}");
    }
    assert_eq!(bindings(&sentinel).await, 1, "only the key of 60 KiB was claimed");
}

#[tokio::test]
async fn a_second_key_is_never_overlooked() {
    let sentinel = sentinel().start().await;
    let cases: [&[(&str, &str)]; 9] = [
        &[("authorization", "Bearer sk-0123456789"), ("authorization", "Bearer sk-0123456789")],
        &[("authorization", "Bearer sk-0123456789"), ("authorization", "Bearer sk-9876543210")],
        &[("authorization", "Bearer sk-0123456789,")],
        &[("authorization", ""), ("authorization", "Bearer sk-0123456789")],
        &[("x-api-key", "sk-0123456789"), ("x-api-key", "sk-9876543210")],
        &[("x-api-key", "sk-0123456789"), ("x-api-key", "sk-0123456789")],
        &[("x-api-key", "sk-0123456789,sk-9876543210")],
        &[("authorization", "Bearer sk-0123456789"), ("x-api-key", "sk-9876543210")],
        &[("x-api-key", "sk-0123456789"), ("api-key", "sk-9876543210")],
    ];
    for encoding in Encoding::BOTH {
        for headers in cases {
            let check = sentinel.check().encoding(encoding);
            let check = headers.iter().fold(check, |check, (name, value)| check.header(name, value));
            let answer = check.from(OWNER).send().await;
            assert_eq!(answer.reason(), "conflicting_keys", "{encoding:?}: {headers:?}");
        }
    }
    assert_eq!(bindings(&sentinel).await, 0, "a conflict claims nothing");
}

#[tokio::test]
async fn tokens_are_keys_only_where_the_operator_says_so() {
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";
    let opaque = sentinel().set("credentials.jwt", "\"opaque\"").start().await;
    assert_eq!(opaque.check().key(token).from(OWNER).send().await.reason(), "first_use");
    assert_eq!(opaque.check().key(token).from(STRANGER).send().await.reason(), "ip_mismatch");
}

#[tokio::test]
async fn an_address_is_one_address_in_all_its_spellings() {
    let sentinel = sentinel().start().await;
    claim(&sentinel).await;
    for spelling in ["::ffff:203.0.113.7", "::ffff:cb00:7107", "64:ff9b::203.0.113.7", "203.0.113.7"] {
        let answer = sentinel.check().key(KEY).from(spelling).send().await;
        assert_eq!(answer.reason(), "bound", "{spelling}");
    }
    let v6 = |ip: &'static str| sentinel.check().key(OTHER_KEY).from(ip).send();
    assert_eq!(v6("2001:db8:1:2::10").await.reason(), "first_use");
    assert_eq!(v6("2001:db8:1:2:ffff::1").await.reason(), "bound", "the owner is the /64");
    assert_eq!(v6("2001:db8:1:3::10").await.reason(), "ip_mismatch");
    let mapped = sentinel.check().key(KEY).from("::ffff:198.51.100.9").send().await;
    assert_eq!(mapped.body()["client_ip"], STRANGER, "the body shows the address as it was judged");
}

#[tokio::test]
async fn without_an_ip_address_there_is_no_decision_for_the_key() {
    let sentinel = sentinel().start().await;
    claim(&sentinel).await;
    let check = || sentinel.check().key(KEY);
    let mut nowhere = check().message();
    nowhere.attributes.as_mut().unwrap().source = None;
    let mut blank = check().message();
    blank.attributes.as_mut().unwrap().source.as_mut().unwrap().address.as_mut().unwrap().address = None;
    let answers = [
        check().on_pipe("/run/client.sock").send().await,
        check().on_pipe("203.0.113.7").send().await,
        check().on_internal_listener().send().await,
        check().without_peer().send().await,
        sentinel.check().send_message(&nowhere).await,
        sentinel.check().send_message(&blank).await,
        check().from("203.0.113.7").on_named_port("http").send().await,
        check().from("").send().await,
        check().from("localhost").send().await,
        check().from("203.0.113.7:40000").send().await,
        check().from("[::1]").send().await,
        check().from("fe80::1%eth0").send().await,
        check().from("203.0.113.007").send().await,
        check().from(" 203.0.113.7").send().await,
    ];
    for answer in answers {
        assert_eq!(answer.reason(), "client_ip_unknown");
        assert!(answer.body().get("client_ip").is_none(), "{}", answer.body());
    }
}

#[tokio::test]
async fn shared_addresses_never_become_owners() {
    let sentinel = sentinel().set("client_ip.unclaimable", "[\"192.0.2.0/24\", \"2001:db8:f::/48\"]").start().await;
    for address in [
        "0.0.0.0",
        "224.0.0.1",
        "169.254.1.1",
        "::",
        "fe80::1",
        "ff02::1",
        "2001::1",
        "::2",
        "192.0.2.77",
        "2001:db8:f::1",
    ] {
        let answer = sentinel.check().key(KEY).from(address).send().await;
        assert_eq!(answer.reason(), "unclaimable_network", "{address}");
    }
    claim(&sentinel).await;
    let answer = sentinel.check().key(KEY).from("192.0.2.77").send().await;
    assert_eq!(answer.reason(), "ip_mismatch", "a key with an owner says so, whoever asks");
    for (key, address) in [
        ("sk-loopback-0123456789", "127.0.0.1"),
        ("sk-loopback6-0123456789", "::1"),
        ("sk-private-0123456789", "10.1.2.3"),
    ] {
        assert_eq!(sentinel.check().key(key).from(address).send().await.reason(), "first_use", "{address}");
    }
}

#[tokio::test]
async fn a_ban_holds_everywhere_and_before_first_use() {
    let sentinel = sentinel().start().await;
    let admin = sentinel.admin().await;
    admin.ban(KEY).await.unwrap();
    for address in [OWNER, STRANGER, "169.254.1.1"] {
        assert_eq!(sentinel.check().key(KEY).from(address).send().await.reason(), "key_banned");
    }
    assert_eq!(bindings(&sentinel).await, 0, "a banned key claims nothing");
    admin.unban(KEY).await.unwrap();
    claim(&sentinel).await;
    admin.ban(KEY).await.unwrap();
    assert_eq!(sentinel.check().key(KEY).from(STRANGER).send().await.reason(), "key_banned", "before ip_mismatch");
    admin.unban(KEY).await.unwrap();
    assert_eq!(sentinel.check().key(KEY).from(OWNER).send().await.reason(), "bound", "the owner is who it was");
}

#[tokio::test]
async fn unbind_reserves_hands_over_or_opens() {
    let sentinel = sentinel().start().await;
    let admin = sentinel.admin().await;
    claim(&sentinel).await;
    admin.unbind(KEY, None).await.unwrap();
    for address in [OWNER, STRANGER] {
        assert_eq!(sentinel.check().key(KEY).from(address).send().await.reason(), "not_claimed");
    }
    admin.unbind(KEY, Some(Mode::To(format!("{STRANGER}/32")))).await.unwrap();
    assert_eq!(sentinel.check().key(KEY).from(OWNER).send().await.reason(), "ip_mismatch");
    assert_eq!(sentinel.check().key(KEY).from(STRANGER).send().await.reason(), "bound");
    admin.unbind(KEY, Some(Mode::Open(true))).await.unwrap();
    claim(&sentinel).await;
}

#[tokio::test]
async fn the_first_reason_that_applies_is_given() {
    let sentinel = sentinel().start().await;
    sentinel.admin().await.ban(KEY).await.unwrap();
    let two_keys = || sentinel.check().key(KEY).header("x-api-key", OTHER_KEY);
    let answer = two_keys().on_pipe("/x").extension("sentinel.x", "1").send().await;
    assert_eq!(answer.reason(), "malformed_request");
    assert_eq!(two_keys().on_pipe("/x").send().await.reason(), "client_ip_unknown");
    let faulty = two_keys().header("api-key", "bad key").from(OWNER).send().await;
    assert_eq!(faulty.reason(), "conflicting_keys", "before malformed_key");
    let answer = sentinel.check().key(KEY).from("169.254.1.1").send().await;
    assert_eq!(answer.reason(), "key_banned", "before unclaimable_network");
}

#[tokio::test]
async fn credentials_that_this_profile_does_not_read_are_removed_on_every_allow() {
    let sentinel = sentinel().set("credentials.missing", "\"allow\"").start().await;
    for check in [sentinel.check().key(KEY), sentinel.check().key(KEY), sentinel.check()] {
        let answer = check.from(OWNER).send().await;
        let removed = &answer.allowed().unwrap().headers_to_remove;
        for name in [
            "proxy-authorization",
            "x-goog-api-key",
            "ocp-apim-subscription-key",
            "x-litellm-api-key",
            "mj-api-secret",
            "x-sentinel-key-id",
            "x-original-url",
            "x-rewrite-url",
        ] {
            assert!(removed.iter().any(|it| it == name), "{}: {name} not in {removed:?}", answer.reason());
        }
        for name in ["authorization", "x-api-key", "api-key"] {
            assert!(!removed.iter().any(|it| it == name), "{name} in {removed:?}");
        }
        assert!(!removed.iter().any(|it| it.starts_with("x-envoy-")), "Envoy answers 500 to that");
    }
}

#[tokio::test]
async fn a_denial_never_tells_the_owner() {
    let sentinel = sentinel().start().await;
    claim(&sentinel).await;
    let answer = sentinel.check().key(KEY).from(STRANGER).send().await;
    let text = String::from_utf8_lossy(&answer.bytes()).into_owned();
    assert!(!text.contains(OWNER), "{text}");
    assert_ne!(answer.decision_id(), sentinel.check().key(KEY).from(STRANGER).send().await.decision_id());
}

#[tokio::test]
async fn any_method_and_path_is_judged_alike() {
    let sentinel = sentinel().start().await;
    claim(&sentinel).await;
    for (method, path) in [("CONNECT", ""), ("OPTIONS", "*"), ("FOO", "//x"), ("GET", "/a?key=sk-9876543210"), ("", "")]
    {
        let check = || sentinel.check().key(KEY).method(method).path(path);
        assert_eq!(check().from(OWNER).send().await.reason(), "bound", "{method} {path}");
        assert_eq!(check().from(STRANGER).send().await.reason(), "ip_mismatch", "{method} {path}");
        assert_eq!(sentinel.check().method(method).path(path).from(OWNER).send().await.reason(), "no_key");
    }
}

#[tokio::test]
async fn envoys_own_forwarded_for_is_never_the_client() {
    let sentinel = sentinel().start().await;
    claim(&sentinel).await;
    let forged =
        sentinel.check().key(KEY).from(STRANGER).metadata("x-forwarded-for", OWNER).metadata("x-client-ip", OWNER);
    let forged = forged.header("x-forwarded-for", OWNER).header("x-real-ip", OWNER);
    let forged = forged.header("x-envoy-external-address", OWNER).header("forwarded", "for=203.0.113.7");
    assert_eq!(forged.send().await.reason(), "ip_mismatch");
}

#[tokio::test]
async fn the_shorter_of_both_deadlines_binds() {
    let sentinel = sentinel().start().await;
    claim(&sentinel).await;
    {
        let _lock = sentinel.lock_store().await;
        is_too_late(&sentinel, Encoding::Raw, "20m").await;
        let known = sentinel.check().key(KEY).from(OWNER).metadata("grpc-timeout", "20m");
        let answered = async || (known.clone().send().await.reason() == "bound").then_some(());
        eventually("a known key needs no write", answered).await;
    }
    let answer = sentinel.check().key(KEY).from(OWNER).metadata("grpc-timeout", "nonsense").send().await;
    assert_eq!(answer.reason(), "bound");
    sentinel.stop().await;

    let sentinel = crate::common::sentinel().set("check_deadline", "\"5ms\"").start().await;
    let _lock = sentinel.lock_store().await;
    is_too_late(&sentinel, Encoding::Raw, "60S").await;
}

/// Asks for new keys until one finds its deadline over. On a busy machine the store may have given up before, and the call
/// may not even be read in time.
async fn is_too_late(sentinel: &Sentinel, encoding: Encoding, timeout: &str) -> Answer {
    let mut tries = 0;
    eventually("the deadline is exceeded", async || {
        tries += 1;
        let check = sentinel.check().encoding(encoding).key(&format!("{KEY}-{tries}")).from(OWNER);
        let answer = check.metadata("grpc-timeout", timeout).send().await;
        (answer.reason() == "deadline_exceeded" && answer.key_id().is_some()).then_some(answer)
    })
    .await
}

/// tonic's own server answered these with a gRPC status, which is no denial to Envoy.
#[tokio::test]
async fn a_timeout_that_has_already_passed_is_answered_in_protocol() {
    let sentinel = sentinel().start().await;
    let _lock = sentinel.lock_store().await;
    for timeout in ["0m", "1n", "1u"] {
        let answer = sentinel.check().key(OTHER_KEY).from(OWNER).metadata("grpc-timeout", timeout).send().await;
        assert_eq!(answer.reason(), "deadline_exceeded", "{timeout}");
    }
}

#[tokio::test]
async fn an_open_failsafe_binds_nothing_and_lifts_no_ban() {
    let sentinel = sentinel().set("store.failsafe", "\"open\"").start().await;
    let banned = "sk-banned-0123456789";
    sentinel.admin().await.ban(banned).await.unwrap();
    assert_eq!(sentinel.check().key(banned).from(OWNER).send().await.reason(), "key_banned");
    {
        let _lock = sentinel.lock_store().await;
        for address in [OWNER, STRANGER] {
            assert_eq!(sentinel.check().key(KEY).from(address).send().await.reason(), "failsafe_open");
        }
        assert_eq!(sentinel.check().key(banned).from(OWNER).send().await.reason(), "key_banned");
        let unclaimable = sentinel.check().key(KEY).from("169.254.1.1").send().await;
        assert_eq!(unclaimable.reason(), "unclaimable_network");
    }
    assert_eq!(bindings(&sentinel).await, 0);
    assert_eq!(sentinel.check().key(KEY).from(STRANGER).send().await.reason(), "first_use");
}

#[tokio::test]
async fn the_edge_also_listens_on_a_unix_socket() {
    let sentinel = sentinel().on_unix_socket().start().await;
    claim(&sentinel).await;
    assert_eq!(sentinel.check().key(KEY).from(STRANGER).send().await.reason(), "ip_mismatch");
}

async fn bindings(sentinel: &Sentinel) -> i64 {
    sentinel.home().store().number("SELECT count(*) FROM bindings").await
}

//! Findings about a running server, provoked by real checks.

use key_ip_sentinel::doctor::Code;

use crate::{
    common::{Home, Sentinel, admin::proto::unbind_request::Mode, eventually, sentinel},
    doctor, report,
};

const PROXY: &str = "10.0.0.2";

fn key(number: usize) -> String {
    format!("sk-doctor-{number:03}-0123456789")
}

/// First uses of `count` keys, key N from the address `from(N)`.
async fn first_uses(sentinel: &Sentinel, count: usize, from: impl Fn(usize) -> String) {
    for number in 0..count {
        let answer = sentinel.check().key(&key(number)).from(&from(number)).send().await;
        assert_eq!(answer.reason(), "first_use");
    }
}

/// Waits until the audit has this number of denials.
async fn audited(sentinel: &Sentinel, denials: u64) {
    let admin = sentinel.admin().await;
    eventually("the denials are audited", async || {
        let records = admin.audit("denied").await.unwrap().records;
        (records.iter().map(|record| record.count).sum::<u64>() == denials).then_some(())
    })
    .await;
}

fn behind_proxy() -> Home {
    sentinel().set("client_ip.source", "\"metadata\"").set("client_ip.trusted_proxies", "[\"10.0.0.0/24\"]")
}

#[tokio::test]
async fn a_proxy_that_owns_all_keys_is_found() {
    let sentinel = sentinel().start().await;
    first_uses(&sentinel, 25, |_| PROXY.to_owned()).await;
    let found = report(sentinel.home(), &[]);
    assert_eq!(found.code, 1);
    found.assert_only(Code::ManyKeysOnOneNetwork, "warning", 1);
    found.says("10.0.0.2/32 owns 25 of 25 learned keys: probably the address of a proxy");
    found.says("client_ip.source = \"metadata\" and client_ip.trusted_proxies = [\"10.0.0.2/32\"]");
    found.says("sentinel bindings list --network 10.0.0.2/32");
    let seen = doctor(sentinel.home(), &[]);
    assert_eq!((seen.code, seen.err.as_str()), (1, ""));
    assert!(seen.out.starts_with("many_keys_on_one_network (warning)\n  10.0.0.2/32 owns"), "{}", seen.out);
    assert!(seen.out.ends_with(" checks, 1 finding.\n"), "{}", seen.out);
}

#[tokio::test]
async fn an_unknown_ipv6_proxy_behind_a_known_one_is_found_by_its_64() {
    let sentinel = behind_proxy().start().await;
    for number in 0..20 {
        // A second proxy in front of the configured one.
        let check = sentinel.check().key(&key(number)).from(PROXY);
        let check = check.metadata("x-client-ip", &format!("2001:db8:0:1::{number}")).metadata("x-peer-ip", PROXY);
        assert_eq!(check.send().await.reason(), "first_use");
    }
    let found = report(sentinel.home(), &[]);
    found.assert_only(Code::ManyKeysOnOneNetwork, "warning", 1).says("2001:db8:0:1::/64 owns 20 of 20");
    found.says("add it to client_ip.trusted_proxies");
}

#[tokio::test]
async fn keys_of_many_addresses_are_not_a_finding() {
    let sentinel = sentinel().start().await;
    first_uses(&sentinel, 25, |number| format!("203.0.113.{number}")).await;
    let report = report(sentinel.home(), &[]);
    assert_eq!(report.assert_nothing().code, 0);
    let server = [
        Code::ConfigDiffers,
        Code::ManyKeysOnOneNetwork,
        Code::ClientIpUnknown,
        Code::UnclaimableNetwork,
        Code::CallerRejected,
        Code::MalformedRequest,
    ];
    server.iter().for_each(|code| assert!(report.checked.contains(code.as_str()), "{code}: {report:?}"));
    let seen = doctor(sentinel.home(), &[]);
    assert_eq!((seen.code, seen.err.as_str()), (0, ""));
    assert!(seen.out.contains("many_keys_on_one_network  no single network owns most learned keys\n"), "{}", seen.out);
    assert!(seen.out.ends_with(&format!("\n{} checks, no findings.\n", report.checked.len())), "{}", seen.out);
}

#[tokio::test]
async fn twenty_keys_and_half_of_all_are_a_finding() {
    let sentinel = sentinel().start().await;
    // One user with many keys, and as many keys of other users.
    first_uses(&sentinel, 19, |_| PROXY.to_owned()).await;
    report(sentinel.home(), &[]).assert_nothing();
    let more = |from: std::ops::Range<usize>, address: fn(usize) -> String| {
        let sentinel = &sentinel;
        async move {
            for number in from {
                let answer = sentinel.check().key(&key(number)).from(&address(number)).send().await;
                assert_eq!(answer.reason(), "first_use");
            }
        }
    };
    more(19..20, |_| PROXY.to_owned()).await;
    report(sentinel.home(), &[]).assert_only(Code::ManyKeysOnOneNetwork, "warning", 1).says("20 of 20");
    more(20..40, |number| format!("203.0.113.{number}")).await;
    report(sentinel.home(), &[]).assert_only(Code::ManyKeysOnOneNetwork, "warning", 1).says("20 of 40");
    more(40..41, |number| format!("203.0.113.{number}")).await;
    report(sentinel.home(), &[]).assert_nothing();
}

#[tokio::test]
async fn pinned_keys_of_one_network_are_not_a_finding() {
    let sentinel = sentinel().start().await;
    first_uses(&sentinel, 22, |_| PROXY.to_owned()).await;
    let admin = sentinel.admin().await;
    for number in 0..22 {
        admin.unbind(&key(number), Some(Mode::To(format!("{PROXY}/32")))).await.unwrap();
    }
    report(sentinel.home(), &[]).assert_nothing();
}

#[tokio::test]
async fn missing_metadata_is_found_with_the_number_of_denials() {
    let sentinel = behind_proxy().start().await;
    let good = sentinel.check().key(&key(0)).from(PROXY).metadata("x-client-ip", "203.0.113.7");
    assert_eq!(good.metadata("x-peer-ip", PROXY).send().await.reason(), "first_use");
    report(sentinel.home(), &[]).assert_nothing();
    for _ in 0..3 {
        assert_eq!(sentinel.check().key(&key(0)).from(PROXY).send().await.reason(), "client_ip_unknown");
    }
    audited(&sentinel, 3).await;
    let found = report(sentinel.home(), &[]);
    found.assert_only(Code::ClientIpUnknown, "warning", 1).says("3 denials with client_ip_unknown");
    found.says("Envoy must send initial_metadata x-client-ip and x-peer-ip").says("(now 10.0.0.0/24)");
}

#[tokio::test]
async fn every_other_source_has_its_own_fix() {
    for (source, header, said) in [
        ("\"xff\"", None, "each proxy must write an address into x-forwarded-for"),
        ("\"header\"", Some("\"cf-connecting-ip\""), "send cf-connecting-ip once"),
    ] {
        let home = behind_proxy().set("client_ip.source", source);
        let home = header.into_iter().fold(home, |home, name| home.set("client_ip.header", name));
        let sentinel = home.start().await;
        assert_eq!(sentinel.check().key(&key(0)).from(PROXY).send().await.reason(), "client_ip_unknown");
        audited(&sentinel, 1).await;
        report(sentinel.home(), &[]).assert_only(Code::ClientIpUnknown, "warning", 1).says(said);
    }
    let sentinel = sentinel().start().await;
    assert_eq!(sentinel.check().key(&key(0)).on_pipe("/run/x").send().await.reason(), "client_ip_unknown");
    audited(&sentinel, 1).await;
    report(sentinel.home(), &[]).assert_only(Code::ClientIpUnknown, "warning", 1).says("not a pipe");
}

#[tokio::test]
async fn denials_by_caller_network_and_message_are_found() {
    let sentinel = sentinel().set("client_ip.unclaimable", "[\"10.0.0.0/8\"]").start().await;
    assert_eq!(sentinel.check().key(&key(0)).from(PROXY).send().await.reason(), "unclaimable_network");
    let route = sentinel.check().key(&key(0)).extension("sentinel.no_such", "x");
    assert_eq!(route.send().await.reason(), "malformed_request");
    assert_eq!(sentinel.check().send().await.reason(), "no_key", "a fault of a client is not a finding");
    audited(&sentinel, 3).await;
    let found = report(sentinel.home(), &[]);
    let codes: Vec<_> = found.findings.iter().map(|(code, _)| code.as_str()).collect();
    assert_eq!(codes, ["unclaimable_network", "malformed_request"], "{}", found.texts);

    let sentinel = crate::common::sentinel().with_caller_token().start().await;
    crate::chmod(&sentinel.home().path().join("caller-token"), 0o600);
    assert_eq!(sentinel.check().key(&key(0)).send().await.reason(), "caller_rejected");
    audited(&sentinel, 1).await;
    let found = report(sentinel.home(), &[]);
    found.assert_only(Code::CallerRejected, "warning", 1).says("x-sentinel-token");
}

#[tokio::test]
async fn a_server_with_different_settings_is_found() {
    let sentinel = sentinel().set("client_ip.trusted_proxies", "[\"10.0.0.0/24\"]").start().await;
    report(sentinel.home(), &[]).assert_nothing();
    let file = sentinel.home().config();
    let text = std::fs::read_to_string(&file).unwrap();
    let edited = text.replace("10.0.0.0/24", "10.0.1.0/24") + "client_ip.source = \"xff\"\n";
    let other = sentinel.home().path().join("edited.toml");
    std::fs::write(&other, &edited).unwrap();
    let seen = crate::run::run(&["doctor", "--config", other.to_str().unwrap(), "--output", "json"], b"");
    assert_eq!(seen.code, 1, "{seen:?}");
    let report = seen.out.replace("\\\"", "\"");
    for said in [
        "\"code\": \"config_differs\"",
        "client_ip.source is \"peer\" there, \"xff\" here",
        "client_ip.trusted_proxies is \"10.0.0.0/24\" there, \"10.0.1.0/24\" here",
        "restart `sentinel serve`",
    ] {
        assert!(report.contains(said), "{said}: {report}");
    }
    assert!(!report.contains("the profiles"), "{report}");
}

//! `explain`: the verdict of a real Check, without its side effects.

use key_ip_sentinel::{
    admin::api::{ExplainRequest, ExplainResponse, Metadata},
    store::Action,
};
use serde_json::Value;
use tonic::Code;

use crate::{
    ATTACKER, Client, KEY, OWNER, ago, audit, bind, change, client_of,
    common::{Sentinel, eventually, sentinel},
    decide, fingerprint, hours, id_of,
    run::{Seen, run},
    seeded,
};

const OTHER: &str = "sk-live-fedcba9876543210";

fn head(key: &str) -> Vec<u8> {
    format!("GET /v1/models HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {key}\r\n\r\n").into_bytes()
}

async fn explain(api: &mut Client, head: &[u8], peer: &str) -> ExplainResponse {
    let request = ExplainRequest { head: head.to_vec(), peer: peer.to_owned(), ..Default::default() };
    let answer = api.explain(request).await.unwrap().into_inner();
    let shown = format!("{answer:?}");
    assert!(!shown.contains(KEY) && !shown.contains(OTHER), "{shown}");
    answer
}

/// `sentinel explain` with `head` on standard input; neither key is ever shown.
fn command(sentinel: &Sentinel, args: &[&str], head: &[u8]) -> Seen {
    let socket = format!("unix:{}", sentinel.home().admin_socket().display());
    let seen = run(&[&["explain", "--admin", &socket], args].concat(), head);
    let all = format!("{}{}", seen.out, seen.err);
    assert!(!all.contains(KEY) && !all.contains(OTHER), "{args:?} shows a key: {seen:?}");
    seen
}

/// Rows and records, all there are.
async fn traces(sentinel: &Sentinel) -> [i64; 3] {
    let store = sentinel.home().store();
    let count = async |table: &str| store.number(&format!("SELECT count(*) FROM {table}")).await;
    [count("bindings").await, count("bans").await, count("audit").await]
}

#[tokio::test]
async fn every_verdict_is_that_of_a_check_without_side_effects() {
    let [banned, reserved, unclaimed, refused] =
        ["banned", "reserved", "unclaimed", "refused"].map(|name| format!("sk-{name}-0123456789abcdef"));
    let sentinel = seeded(async |store| {
        bind(store, fingerprint(KEY), OWNER, ago(hours(1))).await;
        bind(store, fingerprint(&reserved), OWNER, ago(hours(1))).await;
        change(store, &fingerprint(&reserved), Action::Reserve, ago(hours(1))).await;
        change(store, &fingerprint(&banned), Action::Ban { lasting: None, reason: None }, ago(hours(1))).await;
    })
    .await;
    let mut api = client_of(&sentinel).await;
    let [bindings, bans, records] = traces(&sentinel).await;
    let cases = [
        (KEY, OWNER, "bound", true),
        (KEY, ATTACKER, "ip_mismatch", false),
        (&banned, OWNER, "key_banned", false),
        (&reserved, OWNER, "not_claimed", false),
        (&refused, "169.254.0.1", "unclaimable_network", false),
        ("short", OWNER, "malformed_key", false),
        (&unclaimed, "2001:db8::7", "first_use", true),
    ];
    for (key, peer, reason, allowed) in cases {
        let answer = explain(&mut api, &head(key), peer).await;
        assert_eq!((answer.reason.as_str(), answer.allowed), (reason, allowed), "{answer:?}");
    }
    let answer = explain(&mut api, &head(&unclaimed), "2001:db8::7").await;
    assert_eq!((answer.would_own.as_str(), answer.looked_up), ("2001:db8::/64", true));
    assert!(answer.key.is_some_and(|key| key.key_id == id_of(&unclaimed) && key.binding.is_none()));
    assert!(audit(&mut api, "first_use").await.iter().all(|record| record.key_id != id_of(&unclaimed)));
    assert_eq!(decide(&sentinel, &unclaimed, "2001:db8::8").await, "first_use", "explain did not claim it");
    // The audit writes in the order of what happened: once this denial is there, so is what the explained ones left.
    assert_eq!(decide(&sentinel, KEY, "192.0.2.99").await, "ip_mismatch");
    let seen = eventually("a later denial is in the audit", async || {
        let denied = audit(&mut api, "denied").await;
        let is_there = denied.iter().any(|record| record.network == "192.0.2.99/32");
        if is_there { Some(traces(&sentinel).await) } else { None }
    });
    let expected = [bindings + 1, bans, records + 2];
    assert_eq!(seen.await, expected, "the first use and the later denial, and nothing of the explained");
    for (key, peer, reason, _) in cases.into_iter().filter(|(_, _, reason, _)| *reason != "first_use") {
        assert_eq!(decide(&sentinel, key, peer).await, reason, "explain and Check agree");
    }
    let log = sentinel.log();
    assert!(!log.contains(&unclaimed) && !log.contains(KEY), "{log}");
}

#[tokio::test]
async fn the_carriers_explain_a_request_without_exactly_one_key() {
    let home = sentinel().set("credentials.profile", "\"new-api\"").set("credentials.route_profiles", "[\"one-api\"]");
    let sentinel = home.start().await;
    let (k, l) = ("k".repeat(48), "l".repeat(48));
    let ask = |extra: &str, args: &[&str]| -> Value {
        let head = format!("POST /v1/x?a=b HTTP/1.1\nHost: api\n{extra}");
        let seen = command(&sentinel, &[&["--peer", OWNER, "--output", "json"], args].concat(), head.as_bytes());
        assert_eq!((seen.code, seen.err.as_str()), (0, ""), "{extra}");
        assert!(!seen.out.contains(&k) && !seen.out.contains(&l), "{seen:?}");
        serde_json::from_str(&seen.out).unwrap()
    };
    let carriers = |answer: &Value| -> Vec<String> {
        let all = answer["carriers"].as_array().unwrap().iter();
        let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        all.map(|it| [&it["carrier"], &it["form"], &it["holds"]].map(word).join(" ")).collect()
    };
    for (extra, args, reason, expected) in [
        (String::new(), &[][..], "no_key", &[][..]),
        (String::new(), &["--missing", "allow"], "no_key", &[]),
        (
            format!("Authorization: Bearer sk-{k}\nx-api-key: {k}"),
            &[],
            "first_use",
            &["authorization bearer key", "x-api-key bare key"],
        ),
        (
            format!("Authorization: {k}\nx-api-key: {k}"),
            &["--profile", "one-api"],
            "first_use",
            &["authorization bare key"],
        ),
        (
            format!("Authorization: {k}\nx-api-key: {l}"),
            &[],
            "conflicting_keys",
            &["authorization bare key", "x-api-key bare another_key"],
        ),
        (format!("x-api-key: {k}\nx-api-key: {k}"), &[], "conflicting_keys", &["x-api-key - repeated"]),
        (format!("x_api_key: {k}"), &[], "first_use", &["x-api-key disguised key"]),
        (format!("Authorization: Basic {k}"), &[], "malformed_key", &["authorization bare malformed"]),
        (
            "Authorization: Bearer midjourney-proxy".to_owned(),
            &[],
            "malformed_key",
            &["authorization bearer placeholder"],
        ),
    ] {
        let answer = ask(&extra, args);
        assert_eq!(
            (answer["verdict"]["reason"].as_str(), carriers(&answer)),
            (Some(reason), expected.iter().map(|&it| it.to_owned()).collect()),
            "{extra}"
        );
        assert_eq!(answer["verdict"]["allowed"], reason == "first_use" || args.contains(&"allow"), "{extra}");
        assert_eq!(answer["key"].is_null(), reason != "first_use", "{extra}");
    }
    assert_eq!(traces(&sentinel).await, [0, 0, 0]);
}

#[tokio::test]
async fn the_address_says_where_it_was_found_or_why_it_is_unknown() {
    let home = sentinel().set("client_ip.source", "\"metadata\"").set("client_ip.trusted_proxies", "[\"10.0.0.0/24\"]");
    let sentinel = home.start().await;
    let mut api = client_of(&sentinel).await;
    let mut ask = async |entries: &[(&str, &str)]| {
        let entry = |&(name, value): &(&str, &str)| Metadata { name: name.to_owned(), value: value.to_owned() };
        let metadata = entries.iter().map(entry).collect();
        let request = ExplainRequest { head: head(KEY), peer: "10.0.0.2".to_owned(), metadata, ..Default::default() };
        let answer = api.explain(request).await.unwrap().into_inner();
        let address = answer.address.unwrap();
        (answer.reason, address.client, address.written, address.how)
    };
    let (client, peer) = ("x-client-ip", "x-peer-ip");
    let (reason, address, written, how) = ask(&[(client, "::ffff:203.0.113.7"), (peer, "10.0.0.2")]).await;
    assert_eq!((reason.as_str(), address.as_str(), written.as_str()), ("first_use", OWNER, "::ffff:203.0.113.7"));
    assert_eq!(how, "the metadata x-client-ip");
    for (entries, why) in [
        (&[][..], "x-peer-ip must appear exactly once"),
        (&[(peer, "10.0.0.2")], "x-client-ip must appear exactly once"),
        (&[(client, OWNER), (client, OWNER), (peer, "10.0.0.2")], "x-client-ip must appear exactly once"),
        (&[(client, OWNER), (peer, ATTACKER)], "not in client_ip.trusted_proxies"),
        (&[(client, "10.0.0.3"), (peer, "10.0.0.2")], "the proxy named no client"),
    ] {
        let (reason, address, _, how) = ask(entries).await;
        assert_eq!((reason.as_str(), address.as_str()), ("client_ip_unknown", ""), "{entries:?}");
        assert!(how.contains(why), "{how}");
    }
    assert_eq!(traces(&sentinel).await, [0, 0, 0]);
}

#[tokio::test]
async fn a_hop_is_counted_from_the_right() {
    let home = sentinel()
        .set("client_ip.source", "\"xff\"")
        .set("client_ip.trusted_proxies", "[\"10.0.0.0/24\"]")
        .set("client_ip.trusted_hops", "[\"10.0.0.0/24\"]");
    let sentinel = home.start().await;
    let ask = |peer: &str, chain: &str| -> Value {
        let head = format!("GET / HTTP/1.1\nx-forwarded-for: {chain}\nauthorization: Bearer {KEY}\n");
        let seen = command(&sentinel, &["--peer", peer, "--output", "json"], head.as_bytes());
        serde_json::from_str(&seen.out).unwrap()
    };
    for (peer, chain, client, how) in [
        ("10.0.0.2", "6.6.6.6, 203.0.113.7:4711, 10.0.0.3", Some(OWNER), "entry 2 of x-forwarded-for"),
        (ATTACKER, "203.0.113.7", Some(ATTACKER), "so x-forwarded-for is not read"),
        ("10.0.0.2", "203.0.113.7, unknown", None, "entry 1 of x-forwarded-for"),
        ("10.0.0.2", "10.0.0.3", None, "every address in x-forwarded-for"),
    ] {
        let address = ask(peer, chain)["address"].take();
        assert_eq!(address["client"].as_str(), client, "{chain}");
        assert!(address["how"].as_str().unwrap().contains(how), "{address}");
    }
}

#[tokio::test]
async fn people_see_each_step() {
    let sentinel = seeded(async |store| bind(store, fingerprint(KEY), OWNER, ago(hours(1))).await).await;
    let seen = command(&sentinel, &["--peer", "::ffff:198.51.100.9"], &head(KEY));
    let expected = format!(
        "\
address  198.51.100.9
found    the connection's peer (client_ip.source = \"peer\")
written  ::ffff:198.51.100.9
profile  generic
carrier  authorization, bearer: the key
key      {}
hint     sk-l…cdef
ban      -
policy   none in this version
binding  learned, 203.0.113.7/32
mode     enforce
verdict  denied, ip_mismatch: the key belongs to another network
",
        id_of(KEY)
    );
    assert_eq!(seen, Seen { code: 0, out: expected, err: String::new() });
    let seen = command(&sentinel, &["--peer", OWNER], &head(OTHER));
    let verdict = "verdict  allowed, first_use: this would be the first use, and 203.0.113.7/32 would own the key\n";
    assert!(seen.code == 0 && seen.out.ends_with(verdict), "{seen:?}");
}

#[tokio::test]
async fn what_cannot_be_explained_names_its_place() {
    let sentinel = sentinel().start().await;
    let good = head(KEY);
    let broken = format!("GET / HTTP/1.1\nHost: api\n{KEY}\n");
    let long = [b"GET / HTTP/1.1\nx: ".as_slice(), &[b'a'; 64 * 1024]].concat();
    for (args, head, said) in [
        (&[][..], broken.as_bytes(), "standard input: line 3: has no colon"),
        (&[], b"", "standard input: line 1: is empty"),
        (&[], &long, "standard input: the request head is longer than 64 KiB"),
        (&["--profile", OTHER], &good, "--profile: is not configured, so a request on a route"),
        (&["--metadata", "x-forwarded-for=1.2.3.4"], &good, "--metadata: only x-client-ip and x-peer-ip are read"),
    ] {
        let seen = command(&sentinel, &[&["--peer", OWNER], args].concat(), head);
        assert_eq!((seen.code, seen.out.as_str(), seen.err.lines().count()), (2, "", 1), "{seen:?}");
        assert!(seen.err.contains(said), "{seen:?}");
    }
    let mut api = client_of(&sentinel).await;
    for request in [
        ExplainRequest { head: long, ..Default::default() },
        ExplainRequest { head: good.clone(), peer: KEY.to_owned(), ..Default::default() },
        ExplainRequest { head: good.clone(), missing: KEY.to_owned(), ..Default::default() },
    ] {
        let shown = format!("{request:?}");
        let status = api.explain(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(!format!("{shown}{status:?}").contains("sk-"), "{status:?}");
    }
    // A pipe has no address, which takes precedence over the key.
    for key in [KEY, "short"] {
        assert_eq!(explain(&mut api, &head(key), "").await.reason, "client_ip_unknown");
    }
    let unreachable = run(&["explain", "--peer", OWNER, "--admin", "unix:/nonexistent/admin.sock"], &good);
    assert_eq!(unreachable.code, 3, "{unreachable:?}");
}

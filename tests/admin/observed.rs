//! What operators see of modes and of what observe mode saw.

use key_ip_sentinel::domain::{
    Reason,
    event::{EventKind, Record},
};
use serde_json::json;

use crate::{
    ATTACKER, KEY, OWNER, ago, append, ask, bind, client_of, common::sentinel, crafted, decide, denied, fingerprint,
    hours, id_of, json, observe, run::run, says, seeded,
};

fn explain(sentinel: &crate::Sentinel, args: &[&str]) -> serde_json::Value {
    let socket = format!("unix:{}", sentinel.home().admin_socket().display());
    let head = format!("GET / HTTP/1.1\nx-api-key: {KEY}\n\n");
    let seen = run(&[&["--admin", &socket, "--output", "json", "explain"], args].concat(), head.as_bytes());
    assert_eq!((seen.code, seen.err.as_str()), (0, ""), "{args:?}");
    serde_json::from_str(&seen.out).unwrap()
}

#[tokio::test]
async fn observed_keys_are_listed_with_their_networks_until_they_have_an_owner() {
    let sentinel = seeded(async |store| {
        observe(store, fingerprint(KEY), OWNER, ago(hours(3))).await;
        observe(store, fingerprint(KEY), ATTACKER, ago(hours(2))).await;
        bind(store, crafted(7 << 96), OWNER, ago(hours(1))).await;
    })
    .await;
    let id = id_of(KEY);
    assert_eq!(
        says(&sentinel, &["bindings", "list", "--observed"]),
        format!(
            "\
KEY                                 HINT       STATE     NETWORKS                         SINCE   USED  BAN  NOTE
{id}  sk-l…cdef  observed  203.0.113.7/32, 198.51.100.9/32  3h ago  -     -    -
"
        )
    );
    let table = ask(&sentinel, &["bindings", "list"]);
    assert_eq!((table.code, table.err.as_str()), (0, "1 more key was seen in observe mode: list it with --observed\n"));
    let hinted = |hint: &str| says(&sentinel, &["bindings", "list", "--observed", "--hint", hint]);
    assert!(hinted("cdef").contains(&id) && hinted("995y") == "No key matches.\n");
    let listed =
        |args: &[&str]| json(&sentinel, &[&["bindings", "list"], args].concat())["keys"].as_array().unwrap().len();
    assert_eq!((listed(&["--observed"]), listed(&[]), listed(&["--state", "provisional"])), (1, 1, 0));
    for other in [&["--state", "learned"][..], &["--banned"], &["--network", OWNER]] {
        let seen = ask(&sentinel, &[&["bindings", "list", "--observed"], other].concat());
        assert!(seen.code == 2 && seen.err.contains("cannot be used together"), "{seen:?}");
    }
    let request =
        key_ip_sentinel::admin::api::ListKeysRequest { observed_only: true, banned_only: true, ..Default::default() };
    let status = client_of(&sentinel).await.list_keys(request).await.unwrap_err();
    assert!(status.message().starts_with("observed_only: "), "{status:?}");
    decide(&sentinel, KEY, OWNER).await;
    assert_eq!(says(&sentinel, &["bindings", "list", "--observed"]), "No key matches.\n");
}

#[tokio::test]
async fn status_tells_the_mode_and_what_was_observed() {
    let sentinel = sentinel().set("mode", "\"observe\"").start().await;
    decide(&sentinel, KEY, OWNER).await;
    let document = json(&sentinel, &["status"]);
    assert_eq!(
        (&document["mode"], &document["observed"], &document["learned"]),
        (&json!("observe"), &json!(1), &json!(0))
    );
    assert!(says(&sentinel, &["status"]).contains("\nobserved     1\n"));
}

#[tokio::test]
async fn explain_uses_the_mode_of_the_route() {
    let sentinel = seeded(async |store| bind(store, fingerprint(KEY), OWNER, ago(hours(1))).await).await;
    for (mode, allowed, would_deny, reason) in [
        (&[][..], false, false, "ip_mismatch"),
        (&["--mode", "enforce"], false, false, "ip_mismatch"),
        (&["--mode", "observe"], true, true, "ip_mismatch"),
        (&["--mode", "off"], true, false, "mode_off"),
    ] {
        let document = explain(&sentinel, &[&["--peer", ATTACKER], mode].concat());
        let verdict = &document["verdict"];
        assert_eq!(verdict["allowed"], allowed, "{mode:?}: {document}");
        assert_eq!(verdict["would_deny"], would_deny, "{mode:?}: {document}");
        assert_eq!(verdict["reason"], reason, "{mode:?}: {document}");
        assert_eq!(document["mode"], *mode.last().unwrap_or(&"enforce"), "{document}");
    }
    // The mode also applies to a fault of the request itself.
    let socket = format!("unix:{}", sentinel.home().admin_socket().display());
    let two = format!("GET / HTTP/1.1\nx-api-key: {KEY}\nx-api-key: {KEY}\n\n");
    let seen = run(&["--admin", &socket, "explain", "--peer", OWNER, "--mode", "observe"], two.as_bytes());
    let verdict = "mode     observe\nverdict  allowed only because the mode is observe; with mode = \"enforce\" it would be denied, \
                   conflicting_keys: the request has more than one key, or one carrier has more than one value\n";
    assert!(seen.out.ends_with(verdict), "{}", seen.out);
}

#[tokio::test]
async fn show_counts_what_was_denied_apart_from_what_would_have_been() {
    let sentinel = seeded(async |store| {
        let key = fingerprint(KEY);
        bind(store, key.clone(), OWNER, ago(hours(9))).await;
        let denied = |kind, reason, count| Record { kind, reason: Some(reason), ..denied(&key, count, ago(hours(2))) };
        let records = vec![
            denied(EventKind::Denied, Reason::IpMismatch, 3),
            denied(EventKind::Denied, Reason::KeyBanned, 4),
            denied(EventKind::WouldDeny, Reason::IpMismatch, 5),
        ];
        append(store, records).await;
    })
    .await;
    let shown = says(&sentinel, &["bindings", "show", "--key-file", "-"]);
    assert!(
        shown.ends_with(
            "Networks that were denied this key in the last 24 hours:
  NETWORK          DENIED  WOULD-DENY  LAST
  198.51.100.9/32       7           5  2h ago\n"
        ),
        "{shown}"
    );
    let refused = &json(&sentinel, &["bindings", "show", "--key-file", "-"])["refused"];
    assert_eq!((&refused[0]["count"], &refused[0]["would_deny"]), (&json!(7), &json!(5)));
}

#[tokio::test]
async fn show_says_no_refusal_only_where_there_was_none() {
    let sentinel = seeded(async |store| bind(store, fingerprint(KEY), OWNER, ago(hours(90))).await).await;
    assert!(says(&sentinel, &["bindings", "show", "--key-file", "-"]).contains("No denials of this key"));
    let sentinel = sentinel.stop().await;
    let long_ago = sentinel.store().moment(&ago(hours(50)).as_millis().to_string());
    sentinel.store().query(&format!("UPDATE bindings SET refused_at = {long_ago}")).await;
    let sentinel = sentinel.start().await;
    let shown = says(&sentinel, &["bindings", "show", "--key-file", "-"]);
    assert!(!shown.contains("No denials") && shown.contains("has no network for its last denial, 2d ago"), "{shown}");
}

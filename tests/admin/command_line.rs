//! What people and scripts see.

use key_ip_sentinel::{
    domain::{Fingerprint, Pepper, Timestamp},
    store::Action,
};
use serde_json::{Value, json};

use crate::{
    ATTACKER, KEY, LATE, OWNER, Sentinel, ago, append, ask, ask_of, bind, change,
    common::{PEPPER, eventually, sentinel},
    crafted, decide, denied, hours, id_of, json, my_uid,
    run::Seen,
    says, seeded,
};

const ONE: &str = "k_0a1b2c3d000000000000000000000001";
const TWO: &str = "k_ffffffff000000000000000000000002";

fn one() -> Fingerprint {
    crafted(0x0a1b_2c3d_0000_0000_0000_0000_0000_0001)
}

fn two() -> Fingerprint {
    Fingerprint { hint: None, ..crafted(0xffff_ffff_0000_0000_0000_0000_0000_0002) }
}

/// `n` half hours ago: ages and durations in hours do not change while a test runs, those in minutes do.
fn half_hours(count: u64) -> Timestamp {
    ago(hours(count) / 2)
}

fn to_the_second(time: Timestamp) -> String {
    time.to_string().replace(".000Z", "Z")
}

fn banned_for(days: u64) -> Action {
    Action::Ban { lasting: Some(hours(24 * days)), reason: Some("leaked".to_owned()) }
}

#[tokio::test]
async fn bindings_are_listed_in_columns_and_shown_one_fact_a_line() {
    // After the ban; in hours too.
    let newest = ago(hours(5) / 4);
    let sentinel = seeded(async |store| {
        bind(store, two(), "2001:db8::/64", half_hours(7)).await;
        change(store, &two(), banned_for(2), half_hours(3)).await;
        bind(store, one(), OWNER, newest).await;
    })
    .await;
    assert_eq!(
        says(&sentinel, &["bindings", "list"]),
        "\
KEY                                 HINT       STATE    NETWORKS        SINCE   USED  BAN          NOTE
k_0a1b2c3d000000000000000000000001  sk-l…cdef  learned  203.0.113.7/32  1h ago  -     -            -
k_ffffffff000000000000000000000002  -          learned  2001:db8::/64   3h ago  -     1d 22h left  -
"
    );
    let (since, banned) = (to_the_second(half_hours(7)), to_the_second(half_hours(3)));
    let until = to_the_second(half_hours(3).after(hours(48)));
    assert_eq!(
        says(&sentinel, &["bindings", "show", "ffffffff"]),
        format!(
            "\
key       {TWO}
hint      -
state     learned
networks  2001:db8::/64
since     {since} (3h ago)
used      -
denied    -
note      -
ban       until {until} (1d 22h left)
banned    {banned} (1h ago) by uid:0
reason    leaked
No denials of this key in the last 24 hours. (A denial appears in the audit within 2 s.)
"
        )
    );
    let mut document = json(&sentinel, &["bindings", "list"]);
    assert!(document["now"].take().as_str().unwrap().ends_with('Z'));
    let binding = |network: &str, time: Timestamp| {
        json!({
            "state": "learned",
            "networks": [network],
            "created_at": time.to_string(),
            "open_until": null,
            "expires_at": null,
        })
    };
    let ban = json!({
        "until": half_hours(3).after(hours(48)).to_string(),
        "reason": "leaked",
        "actor": "uid:0",
        "created_at": half_hours(3).to_string(),
        "in_force": true,
    });
    let life = || json!({ "used_at": null, "refused_at": null, "note": null });
    let second = json!({ "key_id": TWO, "hint": null, "binding": binding("2001:db8::/64", half_hours(7)), "ban": ban,
        "life": life(), "candidates": [] });
    let first = json!({ "key_id": ONE, "hint": "sk-l…cdef", "binding": binding("203.0.113.7/32", newest), "ban": null,
        "life": life(), "candidates": [] });
    assert_eq!(document, json!({ "keys": [first, second], "now": null }));
    assert_eq!(json(&sentinel, &["bindings", "show", TWO])["key"], second);
}

#[tokio::test]
async fn nothing_to_list_is_said_in_words_and_a_full_page_names_the_next() {
    let sentinel = sentinel().start().await;
    assert_eq!(says(&sentinel, &["bindings", "list"]), "No bindings yet.\n");
    assert_eq!(says(&sentinel, &["bindings", "list", "--banned"]), "No key matches.\n");
    assert_eq!(says(&sentinel, &["audit", "list"]), "No audit records yet.\n");
    assert_eq!(says(&sentinel, &["audit", "list", "--kind", "ban"]), "No audit record matches.\n");
    assert_eq!(json(&sentinel, &["bindings", "list"])["keys"], json!([]));

    decide(&sentinel, KEY, OWNER).await;
    let keys = ask(&sentinel, &["bindings", "list", "--limit", "1"]);
    assert!(keys.code == 0 && keys.err.starts_with("There may be more: use --offset 1, "), "{keys:?}");
    let records = ask(&sentinel, &["audit", "list", "--limit", "1"]);
    assert!(records.code == 0 && records.err.starts_with("There may be more: use a --limit "), "{records:?}");
    assert_eq!(ask(&sentinel, &["bindings", "list", "--limit", "1", "--output", "json"]).err, "");
}

#[tokio::test]
async fn unbind_shows_what_changed_and_who_was_refused() {
    let sentinel = seeded(async |store| {
        bind(store, one(), OWNER, half_hours(7)).await;
        append(store, vec![denied(&one(), 12, half_hours(3))]).await;
    })
    .await;
    assert_eq!(
        says(&sentinel, &["unbind", ONE]),
        "\
k_0a1b2c3d000000000000000000000001 is reserved: every client is denied.
  before  learned, 203.0.113.7/32
  now     reserved, no network
Networks that were denied this key in the last 24 hours:
  NETWORK          DENIED  WOULD-DENY  LAST
  198.51.100.9/32      12           0  1h ago
Next: sentinel unbind k_0a1b2c3d000000000000000000000001 --to CIDR
Undo: sentinel undo 3
"
    );
    let document = json(&sentinel, &["unbind", "0a1b2c3d", "--to", "10.2.0.0/16"]);
    assert_eq!(document["before"]["binding"]["networks"], json!([]));
    assert_eq!(document["key"]["binding"]["networks"], json!(["10.2.0.0/16"]));
    assert!(document["revision"] == 2 && document["in_effect"].is_boolean(), "{document}");
    let refused =
        json!([{ "network": "198.51.100.9/32", "count": 12, "would_deny": 0, "last_at": half_hours(3).to_string() }]);
    assert_eq!(document["refused"], refused);

    let Seen { code, out, err } = ask(&sentinel, &["unbind", "0a1b2c3d", "--open"]);
    assert!(
        out.starts_with(&format!(
            "{ONE} has no owner now: the next network that uses it owns it.\n  before  pinned, 10.2."
        )),
        "{out}"
    );
    assert!(
        code == 0 && err.starts_with("warning: the next network that uses this key owns it, even an attacker's"),
        "{err}"
    );
}

#[tokio::test]
async fn each_command_binds_before_it_ends() {
    let sentinel = sentinel().start().await;
    assert_eq!(decide(&sentinel, KEY, OWNER).await, "first_use");
    let key = ["--key-file", "-"];
    for (command, owner, attacker) in [
        (&["ban"][..], "key_banned", "key_banned"),
        (&["unban"], "bound", "ip_mismatch"),
        (&["unbind"], "not_claimed", "not_claimed"),
        (&["unbind", "--to", ATTACKER], "ip_mismatch", "bound"),
        (&["unbind", "--open"], "first_use", "ip_mismatch"),
    ] {
        let seen = ask(&sentinel, &[command, &key].concat());
        assert_eq!(seen.code, 0, "{command:?}: {seen:?}");
        assert_eq!(decide(&sentinel, KEY, OWNER).await, owner, "{command:?}");
        assert_eq!(decide(&sentinel, KEY, ATTACKER).await, attacker, "{command:?}");
    }
}

/// Each kind of change to a new key; nothing if a busy server was too slow to read one back.
async fn each_is_in_effect(sentinel: &Sentinel, key: &str, peppers: &[String]) -> Option<()> {
    let by_key = ["--key-file", "-"];
    let ask = |args: &[&str]| {
        let seen = ask_of(sentinel, key, args);
        assert_eq!(seen.code, 0, "{args:?}: {seen:?}");
        (!seen.err.contains(LATE)).then_some(seen.out)
    };
    decide(sentinel, &format!("{key}-observed"), OWNER).await;
    ask(&["bindings", "promote", "--yes"])?;
    ask(&[&["bindings", "claim", OWNER][..], &by_key].concat())?;
    ask(&[&["bindings", "set", ATTACKER][..], &by_key].concat())?;
    ask(&[&["bindings", "note", "a note"][..], &by_key].concat())?;
    ask(&[&["ban"], &by_key[..]].concat())?;
    ask(&[&["unban"], &by_key[..]].concat())?;
    let unbound = ask(&[&["unbind", "--yes"][..], &by_key].concat())?;
    ask(&["undo", unbound.trim_end().rsplit(' ').next().unwrap(), "--yes"])?;
    for pepper in peppers {
        ask(&["pepper", "activate", pepper])?;
    }
    Some(())
}

/// What [`ask`] forgives a busy server is not how it always is.
#[tokio::test]
async fn each_kind_of_change_is_in_effect_when_it_is_answered() {
    let secrets = [PEPPER, "another-pepper-for-tests-0123456789-abcd"];
    let home = sentinel().set("pepper.secrets", &format!("{secrets:?}")).set("mode", "\"observe\"");
    let sentinel = home.start().await;
    let [old, new] = secrets.map(|secret| Pepper::new(secret.as_bytes()).unwrap().id().to_string());
    let mut tries = 0;
    eventually("each is", async || {
        tries += 1;
        each_is_in_effect(&sentinel, &format!("{KEY}-{tries}"), &[new.clone(), old.clone()]).await
    })
    .await;
}

#[tokio::test]
async fn a_key_by_file_is_read_by_the_profile_that_is_named() {
    let generic = "sk-a.b~c-0123456789";
    let home = sentinel()
        .set("credentials.profile", "\"openai\"")
        .set("credentials.route_profiles", "[\"generic\", \"anthropic\"]");
    let sentinel = home.start().await;
    let file = sentinel.home().path().join("key.txt");
    std::fs::write(&file, generic).unwrap();
    let file = file.to_str().unwrap();
    let by_file =
        |command: &[&str], profile: &[&str]| ask(&sentinel, &[command, &["--key-file", file], profile].concat());
    let refused = [
        (&[][..], "--key-file: not a key of profile openai; see --profile"),
        (&["--profile", "anthropic"], "--key-file: not a key of profile anthropic; see --profile"),
        (&["--profile", "one-api"], "credentials.route_profiles, which are openai, generic, anthropic"),
        (&["--profile", "Generic"], "--profile: is neither"),
    ];
    for command in [&["ban"][..], &["unban"], &["unbind"], &["bindings", "show"], &["audit", "list"]] {
        for (profile, said) in refused {
            let Seen { code, err, .. } = by_file(command, profile);
            assert!(code == 2 && err.contains(said) && !err.contains(generic), "{command:?} {profile:?}: {code} {err}");
        }
    }
    let profile = ["--profile", "generic"];
    for command in [&["ban"][..], &["bindings", "show"], &["audit", "list"], &["unban"]] {
        let seen = by_file(command, &profile);
        assert_eq!(seen.code, 0, "{command:?}: {seen:?}");
    }
    assert_eq!(by_file(&["ban"], &profile).code, 0);
    let routed = sentinel.check().extension("sentinel.profile", "generic").header("x-api-key", generic).from(OWNER);
    assert_eq!(routed.send().await.reason(), "key_banned", "it is the key of a route's request");
}

#[tokio::test]
async fn a_key_never_seen_is_banned_by_file_shown_and_unbanned() {
    let sentinel = sentinel().start().await;
    let id = id_of(KEY);
    let file = sentinel.home().path().join("leaked.txt");
    std::fs::write(&file, format!("{KEY}\r\n")).unwrap();
    let banned = says(&sentinel, &["ban", "--key-file", file.to_str().unwrap(), "--for", "2h", "--reason", "leaked"]);
    assert!(banned.starts_with(&format!("{id} is banned until ")), "{banned}");
    assert!(banned.ends_with(" (2h left).\n  owner   none\nUndo: sentinel undo 1\n"), "{banned}");
    assert_eq!(decide(&sentinel, KEY, OWNER).await, "key_banned");

    let shown = json(&sentinel, &["bindings", "show", "--key-file", "-"]);
    assert_eq!((&shown["key"]["ban"]["reason"], &shown["key"]["binding"]), (&json!("leaked"), &Value::Null));
    assert_eq!(shown["key"]["ban"]["actor"], my_uid());
    let again = says(&sentinel, &["ban", "--key-file", "-"]);
    assert!(again.starts_with(&format!("{id} is banned indefinitely. An earlier ban was replaced.\n")), "{again}");
    assert_eq!(
        says(&sentinel, &["unban", &id[..10]]),
        format!("{id} is no longer banned.\n  owner   none\nUndo: sentinel undo 3\n")
    );
    let audit = says(&sentinel, &["audit", "list", "--key-file", "-"]);
    assert_eq!(audit.lines().count(), 4, "two bans and an unban, though no row has the key now: {audit}");
    assert_eq!(decide(&sentinel, KEY, OWNER).await, "first_use");
    assert!(!sentinel.log().contains(KEY) && !sentinel.stdout().contains(KEY));
}

#[tokio::test]
async fn what_is_refused_exits_1_and_says_what_to_do() {
    let other = crafted(0x0a1b_2c3d_0000_0000_0000_0000_0000_0002);
    let sentinel = seeded(async |store| {
        bind(store, one(), OWNER, half_hours(2)).await;
        bind(store, other.clone(), OWNER, half_hours(1)).await;
    })
    .await;
    let other = other.digest.new_id();
    for (args, said) in [
        (&["unban", "ffffffff"][..], "no such key; `sentinel bindings list` shows the keys".to_owned()),
        (&["unban", ONE], format!("{ONE} is not banned")),
        (
            &["unbind", "0a1b2c3d"],
            format!("ambiguous: more than one key has this prefix; give more digits: {ONE}, {other}"),
        ),
    ] {
        let expected = Seen { code: 1, out: String::new(), err: format!("error: {said}\n") };
        assert_eq!(ask(&sentinel, args), expected, "{args:?}");
    }
    let far = ask(&sentinel, &["ban", ONE, "--for", "1000y"]);
    assert_eq!((far.code, far.err.as_str()), (2, "error: --for: at most 100 years\n"));
}

#[tokio::test]
async fn the_audit_is_readable() {
    let sentinel = seeded(async |store| {
        bind(store, one(), OWNER, half_hours(9)).await;
        bind(store, two(), OWNER, half_hours(9)).await;
        append(store, vec![denied(&one(), 1234, half_hours(5))]).await;
        change(store, &one(), Action::Reserve, half_hours(4)).await;
        change(store, &one(), Action::HandOver("10.0.0.0/8".parse().unwrap()), half_hours(3)).await;
        change(store, &two(), Action::Open, half_hours(2)).await;
        change(store, &two(), banned_for(2), half_hours(1)).await;
    })
    .await;
    let [fifth, fourth, third, second, first] = [5, 4, 3, 2, 1].map(|count| to_the_second(half_hours(count)));
    let until = half_hours(1).after(hours(48));
    assert_eq!(
        says(&sentinel, &["audit", "list", "--since", "4h"]),
        format!(
            "\
RECORD  TIME                  KIND    KEY                                 NETWORK          TIMES  BY     UNDO             WHAT
     7  {first}  ban     {TWO}  -                    1  uid:0  sentinel undo 7  until {until} (leaked), was not banned
     6  {second}  unbind  {TWO}  -                    1  uid:0  sentinel undo 6  networks 203.0.113.7/32 -> open to the next first use
     5  {third}  unbind  {ONE}  -                    1  uid:0  sentinel undo 5  networks reserved -> 10.0.0.0/8
     4  {fourth}  unbind  {ONE}  -                    1  uid:0  sentinel undo 4  networks 203.0.113.7/32 -> reserved
     3  {fifth}  denied  {ONE}  198.51.100.9/32   1234  -      -                ip_mismatch
"
        )
    );
    let refused = ask(&sentinel, &["unbind", TWO, "--to", OWNER]);
    assert_eq!((refused.code, refused.err), (1, format!("error: {TWO} has no binding\n")));
    let document = json(&sentinel, &["audit", "list", "--kind", "denied"]);
    let time = half_hours(5).to_string();
    let record = json!({
        "record": 3,
        "kind": "denied",
        "reason": "ip_mismatch",
        "key_id": ONE,
        "network": "198.51.100.9/32",
        "count": 1234,
        "first_at": time,
        "last_at": time,
        "actor": null,
        "decision_id": "a-decision",
        "detail": null,
        "undo": null,
    });
    assert_eq!(document["records"], json!([record]));
}

#[tokio::test]
async fn status_tells_the_process_and_how_full_the_store_is() {
    let sentinel = seeded(async |store| {
        bind(store, one(), OWNER, half_hours(3)).await;
        bind(store, two(), OWNER, half_hours(3)).await;
        change(store, &two(), Action::Reserve, half_hours(2)).await;
        change(store, &two(), banned_for(2), half_hours(1)).await;
    })
    .await;
    let mut document = json(&sentinel, &["status"]);
    assert!(document["uptime_ms"].take().is_i64() && document["since_poll_ms"].take().is_i64());
    let (pid, pepper) = (sentinel.pid(), crate::pepper().id());
    let store = sentinel.home().store().place();
    let expected = json!({
        "version": env!("CARGO_PKG_VERSION"), "pid": pid, "uptime_ms": null, "serving": true, "mode": "enforce",
        "store": store, "applied_revision": 2, "since_poll_ms": null, "pepper_id": pepper.as_str(),
        "realm": "default", "learned": 1, "pinned": 0, "reserved": 1, "banned": 1, "provisional": 0, "observed": 0,
        "unwritable": null, "archive_waits": null,
    });
    assert_eq!(document, expected);

    let table = says(&sentinel, &["status"]);
    let lines: Vec<_> = table.lines().map(|line| line.split_once(' ').unwrap()).collect();
    let value = |name| lines.iter().find(|(found, _)| *found == name).unwrap().1.trim().to_owned();
    assert_eq!((value("serving").as_str(), value("store"), value("pepper")), ("yes", store, pepper.to_string()));
    assert!(value("process").starts_with(&format!("{pid}, up ")), "{table}");
    assert_eq!(["revision", "learned", "reserved", "banned"].map(value), ["2", "1", "1", "1"]);
}

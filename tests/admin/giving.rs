//! An operator says whose a key is, and what there is to know of it.

use serde_json::json;

use crate::{
    ATTACKER, KEY, OWNER, ago, ask, ask_of, audit, bind, client_of, common::sentinel, decide, fingerprint, hours,
    id_of, json, observe, run::Seen, says, seeded,
};

fn refused(seen: &Seen, code: i32, said: &str) {
    assert_eq!((seen.code, seen.out.as_str(), seen.err.as_str()), (code, "", format!("error: {said}\n").as_str()));
}

#[tokio::test]
async fn set_gives_a_key_exactly_these_networks() {
    let sentinel = seeded(async |store| bind(store, fingerprint(KEY), OWNER, ago(hours(1))).await).await;
    let id = id_of(KEY);
    assert_eq!(
        says(&sentinel, &["bindings", "set", &id[..10], "2001:db8:1::/48", "198.51.100.9", "198.51.100.9"]),
        format!(
            "{id} belongs to 198.51.100.9/32, 2001:db8:1::/48.\n  before  learned, 203.0.113.7/32\n  \
             now     pinned, 198.51.100.9/32, 2001:db8:1::/48\nUndo: sentinel undo 2\n"
        )
    );
    for (from, reason) in [(ATTACKER, "bound"), ("2001:db8:1:9::9", "bound"), (OWNER, "ip_mismatch")] {
        assert_eq!(decide(&sentinel, KEY, from).await, reason, "{from}");
    }
    let document = json(&sentinel, &["bindings", "set", &id, "0.0.0.0/0", "::/0"]);
    assert_eq!(document["key"]["binding"]["networks"], json!(["0.0.0.0/0", "::/0"]));
    assert_eq!((&document["record"], &document["undo"]), (&json!(3), &json!("sentinel undo 3")));
    assert_eq!(document["detail"], "networks 198.51.100.9/32, 2001:db8:1::/48 -> 0.0.0.0/0, ::/0");
    for from in [OWNER, ATTACKER, "2001:db8:9::9"] {
        assert_eq!(decide(&sentinel, KEY, from).await, "bound", "the key roams: {from}");
    }
    says(&sentinel, &["bindings", "set", &id, "--reserve", "--yes"]);
    assert_eq!(decide(&sentinel, KEY, OWNER).await, "not_claimed");
}

#[tokio::test]
async fn a_key_never_seen_is_given_its_networks_and_nobody_else_is_first() {
    let sentinel = sentinel().start().await;
    let id = id_of(KEY);
    let given = says(&sentinel, &["bindings", "claim", "--key-file", "-", OWNER]);
    assert!(given.starts_with(&format!("{id} belongs to 203.0.113.7/32.\n  before  none\n")), "{given}");
    assert_eq!(decide(&sentinel, KEY, ATTACKER).await, "ip_mismatch");
    assert_eq!(decide(&sentinel, KEY, OWNER).await, "bound");
    let again = ask(&sentinel, &["bindings", "claim", "--key-file", "-", ATTACKER]);
    refused(&again, 1, &format!("{id} already has a binding"));
    assert_eq!(decide(&sentinel, KEY, ATTACKER).await, "ip_mismatch", "nothing was changed");
    says(&sentinel, &["bindings", "set", "--key-file", "-", "10.0.0.0/8"]);
    assert_eq!(decide(&sentinel, KEY, "10.9.9.9").await, "bound");
    assert!(!sentinel.log().contains(KEY));
}

#[tokio::test]
async fn a_key_in_a_file_may_be_as_long_as_one_in_a_request() {
    let sentinel = sentinel().start().await;
    for length in [4_097, 16_385, 61_440] {
        let given = ask_of(&sentinel, &"a".repeat(length), &["bindings", "claim", "--key-file", "-", OWNER]);
        assert_eq!((given.code, given.err.as_str()), (0, ""), "{length}");
    }
    let long = ask_of(&sentinel, &"a".repeat(61_441), &["bindings", "claim", "--key-file", "-", OWNER]);
    assert!(long.code != 0 && long.err.contains("not a key of profile generic"), "{long:?}");
    let longer = ask_of(&sentinel, &"a".repeat(70_000), &["bindings", "claim", "--key-file", "-", OWNER]);
    assert!(longer.code == 2 && longer.err.contains("is too long for a key"), "{longer:?}");
}

#[tokio::test]
async fn a_placeholder_is_given_nothing() {
    let sentinel = sentinel().start().await;
    let said = "is a placeholder, which clients send when they have no key";
    for placeholder in ["not-needed", "YOUR_API_KEY", "sk-no-key-required", "$OPENAI_API_KEY", "undefined"] {
        for command in [
            &["bindings", "claim", "--key-file", "-", OWNER][..],
            &["bindings", "set", "--key-file", "-", OWNER],
            &["bindings", "show", "--key-file", "-"],
            &["ban", "--key-file", "-"],
        ] {
            let seen = ask_of(&sentinel, placeholder, command);
            assert!(seen.code != 0 && seen.err.contains(said), "{placeholder} {command:?}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn what_is_no_network_or_no_key_is_refused_before_anything_is_asked() {
    let sentinel = sentinel().start().await;
    let mut api = client_of(&sentinel).await;
    let many: Vec<String> = (0..257).map(|number| format!("10.{}.{}.0/24", number / 256, number % 256)).collect();
    let mut too_many = vec!["bindings", "set", "--key-file", "-"];
    too_many.extend(many.iter().map(String::as_str));
    refused(&ask(&sentinel, &too_many), 2, "CIDR: at most 256; use a wider CIDR");
    let host_bits = "<CIDR>...: 10.0.0.1/8 has host bits set; did you mean 10.0.0.0/8?; --help shows how";
    let none = "<CIDR>...: name at least one network, or --reserve the key; --help shows how";
    let both = "--reserve: a reserved key has no networks; leave one of them out; --help shows how";
    let text = "<TEXT>: is missing; give the note, or --remove; --help shows how";
    for (args, said) in [
        (&["bindings", "set", "0a1b2c3d"][..], none),
        (&["bindings", "set", "0a1b2c3d", "10.0.0.1/8"], host_bits),
        (&["bindings", "set", "0a1b2c3d", "10.0.0.0/8", "--reserve", "--yes"], both),
        (&["bindings", "set"], "missing <REF|--key-file <PATH>>; --help shows how"),
        (&["bindings", "note", "0a1b2c3d"], text),
        (
            &["bindings", "note", "0a1b2c3d", "two", "words"],
            "<TEXT>: is more than one argument; put quotes around it; --help shows how",
        ),
        (
            &["bindings", "note", "0a1b2c3d", "x", "--remove"],
            "--remove: a text is given as well; leave one of them out; --help shows how",
        ),
        (&["bindings", "note"], "missing <REF|--key-file <PATH>>; --help shows how"),
    ] {
        refused(&ask(&sentinel, args), 2, said);
    }
    // The helper's own check: what was typed is in none of the answers.
    for args in [
        &["bindings", "set", KEY, "10.0.0.0/8"][..],
        &["bindings", "set", "0a1b2c3d", KEY],
        &["bindings", "note", KEY, "a note"],
        &["bindings", "claim", "--key-file", "-", KEY],
        &["undo", KEY],
        &["bindings", "list", "--state", KEY],
        &["ban", "0a1b2c3d", "--until", KEY],
        &["explain", "--peer", OWNER, "--mode", KEY],
        &["completions", KEY],
        &["man", KEY],
    ] {
        assert_eq!(ask(&sentinel, args).code, 2, "{args:?}");
    }
    assert_eq!(audit(&mut api, "").await, []);
}

#[tokio::test]
async fn a_note_is_written_shown_and_removed() {
    let sentinel = sentinel().start().await;
    decide(&sentinel, KEY, OWNER).await;
    let id = id_of(KEY);
    assert_eq!(
        says(&sentinel, &["bindings", "note", &id, "CI of team blue, ask in #blue on weekdays"]),
        format!("{id}: note none -> \"CI of team blue, ask in #blue on weekdays\".\nUndo: sentinel undo 2\n")
    );
    let shown = says(&sentinel, &["bindings", "show", &id]);
    assert!(shown.contains("\nnote      CI of team blue, ask in #blue on weekdays\n"), "{shown}");
    let listed = says(&sentinel, &["bindings", "list"]);
    assert!(listed.ends_with("  CI of team blue, ask in #blue …\n"), "{listed}");
    assert_eq!(
        json(&sentinel, &["bindings", "list"])["keys"][0]["life"]["note"],
        "CI of team blue, ask in #blue on weekdays"
    );
    says(&sentinel, &["bindings", "note", "--key-file", "-", "--remove"]);
    assert_eq!(json(&sentinel, &["bindings", "show", &id])["key"]["life"]["note"], json!(null));

    refused(&ask(&sentinel, &["bindings", "note", &id, &"x".repeat(201)]), 2, "TEXT: must have at most 200 characters");
    refused(&ask(&sentinel, &["bindings", "note", &id, "a\u{1b}[2Jb"]), 2, "TEXT: must not contain control characters");
    refused(
        &ask(&sentinel, &["bindings", "note", &id, ""]),
        2,
        "<TEXT>: is empty; --remove removes the note; --help shows how",
    );
    let unseen = ask(&sentinel, &["bindings", "note", "ffffffff", "x"]);
    refused(&unseen, 1, "no such key; `sentinel bindings list` shows the keys");
}

#[tokio::test]
async fn a_note_needs_a_binding() {
    let sentinel = sentinel().start().await;
    says(&sentinel, &["ban", "--key-file", "-"]);
    let seen = ask(&sentinel, &["bindings", "note", "--key-file", "-", "x"]);
    refused(&seen, 1, &format!("{} has no binding", id_of(KEY)));
}

#[tokio::test]
async fn a_ban_ends_at_the_very_moment_that_was_asked_for() {
    let sentinel = sentinel().start().await;
    let until = ["--until", "2099-12-01T09:00:00.250+01:00"];
    let document = json(&sentinel, &[&["ban", "--key-file", "-"][..], &until].concat());
    assert_eq!(document["key"]["ban"]["until"], "2099-12-01T08:00:00.250Z");
    let past = ask(&sentinel, &["ban", "--key-file", "-", "--until", "2020-01-01T00:00:00Z"]);
    refused(&past, 2, "--until: must be in the future");
    let far = ask(&sentinel, &["ban", "--key-file", "-", "--until", "2300-01-01T00:00:00Z"]);
    refused(&far, 2, "--until: must be at most 100 years from now");
    let both = ask(&sentinel, &["ban", "--key-file", "-", "--until", "2099-12-01T08:00:00Z", "--for", "2h"]);
    assert!(both.code == 2 && both.err.contains("cannot be used together"), "{both:?}");
    assert_eq!(
        json(&sentinel, &["bindings", "show", "--key-file", "-"])["key"]["ban"]["until"],
        "2099-12-01T08:00:00.250Z"
    );
}

#[tokio::test]
async fn show_tells_everything_that_is_known_of_a_key() {
    let sentinel = seeded(async |store| {
        observe(store, fingerprint(KEY), OWNER, ago(hours(3))).await;
        observe(store, fingerprint(KEY), ATTACKER, ago(hours(2))).await;
        crate::append(store, vec![crate::denied(&fingerprint(KEY), 7, ago(hours(3) / 2))]).await;
    })
    .await;
    let (first, second) = [ago(hours(3)), ago(hours(2))].map(|time| time.to_string().replace(".000Z", "Z")).into();
    let shown = says(&sentinel, &["bindings", "show", "--key-file", "-"]);
    let expected = format!(
        "\
key        {}
hint       sk-l…cdef
state      observed
candidate  203.0.113.7/32 since {first} (3h ago)
candidate  198.51.100.9/32 since {second} (2h ago)
ban        -
Networks that were denied this key in the last 24 hours:
  NETWORK          DENIED  WOULD-DENY  LAST
  198.51.100.9/32       7           0  1h ago
",
        id_of(KEY)
    );
    assert_eq!(shown, expected);
    let document = json(&sentinel, &["bindings", "show", "--key-file", "-"]);
    assert_eq!(document["refused"][0]["count"], 7);
    assert_eq!(document["key"]["candidates"][1]["network"], "198.51.100.9/32");
}

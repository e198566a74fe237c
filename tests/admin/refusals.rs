//! Every error of the server, in full.

use std::collections::BTreeMap;

use key_ip_sentinel::store::Action;

use crate::{
    ATTACKER, KEY, OWNER, ago, ask, bind, change, common::snapshot::assert_snapshots, crafted, hours, run::Seen, seeded,
};

/// Keys whose ids have these bits: two that begin alike, a banned one.
const TWINS: [u128; 2] = [0x0a1b_2c3d << 96 | 1, 0x0a1b_2c3d << 96 | 2];
const BANNED: u128 = 0xbbbb_bbbb << 96;

#[tokio::test]
async fn every_error() {
    let sentinel = seeded(async |store| {
        for id in TWINS {
            bind(store, crafted(id), OWNER, ago(hours(2))).await;
        }
        let ban = Action::Ban { lasting: None, reason: None };
        change(store, &crafted(BANNED), ban, ago(hours(1))).await;
        change(store, &crafted(TWINS[0]), Action::Reserve, ago(hours(1))).await;
        change(store, &crafted(TWINS[0]), Action::Open, ago(hours(1))).await;
    })
    .await;
    let one = "0a1b2c3d000000000000000000000002";
    let (long, many) = ("x".repeat(201), "10.0.0.0/8 ".repeat(257));
    let many: Vec<_> = ["bindings", "set", one].into_iter().chain(many.split_whitespace()).collect();
    let cases: &[&[&str]] = &[
        &["bindings", "show", "ffffffff"],
        &["bindings", "show", "--key-file", "-"],
        &["bindings", "set", "ffffffff", OWNER],
        &["bindings", "note", "ffffffff", "x"],
        &["bindings", "note", "bbbbbbbb", "x"],
        &["bindings", "note", one, &long],
        &["bindings", "note", one, "a\u{7}b"],
        &["bindings", "note", one, ""],
        &["unbind", "bbbbbbbb"],
        &["unbind", "bbbbbbbb", "--to", ATTACKER],
        &["unban", one],
        &["unban", "ffffffff"],
        &["ban", "ffffffff"],
        &["ban", one, "--for", "1000y"],
        &["ban", one, "--until", "2020-01-01T00:00:00Z"],
        &["ban", one, "--until", "2300-01-01T00:00:00Z"],
        &["ban", one, "--reason", &long],
        &["ban", one, "--reason", "a\u{7}b"],
        &["undo", "1", "--yes"],
        &["undo", "4", "--yes"],
        &["undo", "99", "--yes"],
    ];
    let mut shown: Vec<String> = Vec::new();
    for args in cases {
        let Seen { code, out, err } = ask(&sentinel, args);
        assert!(out.is_empty() && err.lines().count() == 1 && (code == 1 || code == 2), "{args:?}: {code} {err}");
        let word = |word: &&str| {
            if word.is_empty() { "''".to_owned() } else { word.escape_debug().to_string().replace(&long, "xxx…") }
        };
        let args: Vec<_> = args.iter().map(word).collect();
        shown.push(format!("$ sentinel {}\n{err}exit code {code}\n", args.join(" ")));
    }
    let Seen { code, err, .. } = ask(&sentinel, &many);
    shown.push(format!("$ sentinel bindings set {one} CIDR... (257 of them)\n{err}exit code {code}\n"));
    // A prefix of two keys.
    change_twin(&sentinel);
    for args in [&["ban", "0a1b2c3d"][..], &["bindings", "set", "0a1b2c3d", OWNER], &["unbind", "0a1b2c3d", "--open"]] {
        let Seen { code, err, .. } = ask(&sentinel, args);
        shown.push(format!("$ sentinel {}\n{err}exit code {code}\n", args.join(" ")));
    }
    assert!(!shown.concat().contains(KEY));
    assert_snapshots("refusals", &BTreeMap::from([("errors.txt".to_owned(), shown.join("\n"))]));
}

/// The first twin was opened, so its row is gone; undoing brings it back.
fn change_twin(sentinel: &crate::Sentinel) {
    let Seen { code, err, .. } = ask(sentinel, &["undo", "5", "--yes"]);
    assert_eq!((code, err.as_str()), (0, ""));
}

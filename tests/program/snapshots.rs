//! Snapshots of every help text and usage error, in tests/snapshots/.
//!
//! `SENTINEL_UPDATE_SNAPSHOTS=1 cargo test --test program snapshots` updates them; read the diff. The errors of a server are
//! in the tests of the admin API.

use std::collections::BTreeMap;

use crate::common::snapshot::assert_snapshots;
use crate::run::{Seen, run};

const NOWHERE: &str = "unix:/nonexistent/admin.sock";

/// Collects the help of this command and of its subcommands.
fn helps(command: &[&str], found: &mut BTreeMap<String, String>) {
    let Seen { code, out, err } = run(&[command, &["--help"]].concat(), b"");
    assert_eq!((code, err.as_str()), (0, ""), "{command:?}");
    assert!(out.lines().all(|line| line.chars().count() <= 100 && line.trim_end() == line), "{command:?}: {out}");
    let below = out.split("\nCommands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
    // A continuation line is indented further.
    let names = below.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    for name in names.filter(|name| !name.is_empty() && *name != "help") {
        helps(&[command, &[name]].concat(), found);
    }
    if below.is_empty() {
        assert!(out.contains("\nExamples:\n"), "{command:?}: {out}");
        assert!(out.contains("Changes: "), "{command:?} has no line about its changes: {out}");
    }
    let name = [&["sentinel"], command].concat().join("-");
    found.insert(format!("{name}.txt"), out);
}

#[test]
fn every_help_text() {
    let mut found = BTreeMap::new();
    helps(&[], &mut found);
    assert!(found.len() > 15, "{:?}", found.keys());
    assert_snapshots("help", &found);
}

#[test]
fn every_usage_error() {
    let key = "0a1b2c3d";
    let cases: &[&[&str]] = &[
        &["no-such"],
        &["unbna", key],
        &["move", key],
        &["bindings", "move", key],
        &["mode", "enforce"],
        &["promote"],
        &["rotate"],
        &["pepper", "rotate"],
        &["bindings", "list", "--hint", "ab"],
        &["bindings", "list", "--hint", "012345678"],
        &["status", "--no-such"],
        &["status", "--output", "xml"],
        &["status", "--output", "csv"],
        &["status", "--color", "sometimes"],
        &["status", "--admin", "127.0.0.1:1"],
        &["status", "--admin", "unix:"],
        &["status", "--admin", NOWHERE],
        &["unban"],
        &["unban", "short"],
        &["unban", key, "--key-file", "-"],
        &["unban", "--key-file", "/nonexistent/key"],
        &["unban", "--key-file", "/dev/null"],
        &["unbind", key, "--to", "here"],
        &["unbind", key, "--to", "10.0.0.1/8"],
        &["unbind", key, "--to", "::ffff:10.0.0.0/104"],
        &["unbind", key, "--to", "10.0.0.0/8", "--open"],
        &["ban", key, "--for", "soon"],
        &["ban", key, "--for", "0s"],
        &["ban", key, "--for", "1h", "--for", "2h"],
        &["ban", key, "--until", "tomorrow"],
        &["ban", key, "--until", "2030-01-01T00:00:00Z", "--for", "1h"],
        &["undo"],
        &["undo", "x", "--yes"],
        &["undo", "1"],
        &["bindings", "list", "--limit", "0"],
        &["bindings", "list", "--offset", "x"],
        &["bindings", "list", "--state", "x"],
        &["bindings", "list", "--observed", "--banned"],
        &["bindings", "set"],
        &["bindings", "set", "short", "10.0.0.0/8"],
        &["bindings", "set", key],
        &["bindings", "set", key, "here"],
        &["bindings", "set", key, "10.0.0.0/8", "--reserve", "--yes"],
        &["bindings", "set", key, "--reserve"],
        &["bindings", "claim"],
        &["bindings", "claim", "10.0.0.0/8"],
        &["bindings", "claim", "--key-file", "-"],
        &["bindings", "note"],
        &["bindings", "note", key],
        &["bindings", "note", key, "two", "words"],
        &["bindings", "note", key, "x", "--remove"],
        &["bindings", "promote"],
        &["audit", "list", "--kind", "x"],
        &["audit", "list", "--decision", "x"],
        &["audit", "export", "--since", "yesterday"],
        &["audit", "export", "--format", "xml"],
        &["pepper", "list", "--output", "csv"],
        &["pepper", "activate", "x"],
        &["pepper", "retire", "0a1b2c3d", "--yes"],
        &["pepper", "retire", "0a1b2c3d", "--forget"],
        &["bindings", "set", "0a1b2c3d", "10.0.0.0/8", "--profile", "generic"],
        &["doctor", "--output", "csv"],
        &["doctor", "--envoy", "/nonexistent/envoy.yaml"],
        &["audit", "list", "--since", "0s"],
        &["audit", "list", "--key", key, "--key-file", "-"],
        &["explain"],
        &["explain", "--peer", "203.0.113.7:80"],
        &["explain", "--peer", "::1", "--metadata", "x"],
        &["explain", "--peer", "::1", "--missing", "x"],
        &["explain", "--peer", "::1", "--mode", "x"],
        &["completions"],
        &["completions", "x"],
        &["man", "x"],
    ];
    let shown = cases.iter().map(|args| {
        let Seen { code, out, err } = run(args, b"");
        assert!(out.is_empty() && err.lines().count() == 1 && code > 0, "{args:?}: {code} {err}");
        format!("$ sentinel {}\n{err}exit code {code}\n", args.join(" "))
    });
    let shown = shown.collect::<Vec<_>>().join("\n");
    assert_snapshots("usage", &BTreeMap::from([("errors.txt".to_owned(), shown)]));
}

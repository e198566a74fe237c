//! Taking changes back from the command line.

use key_ip_sentinel::admin::api::UndoRequest;
use serde_json::Value;
use tonic::Code;

use crate::{
    ATTACKER, KEY, OWNER, ago, ask, client_of, common::sentinel, decide, fingerprint, hours, id_of, json, observe,
    says, seeded,
};

/// The key as operators see it, without what an undo cannot restore.
fn essence(sentinel: &crate::Sentinel) -> String {
    let seen = ask(sentinel, &["bindings", "show", "--key-file", "-", "--output", "json"]);
    let key: Value = serde_json::from_str(&seen.out).unwrap_or_default();
    format!("{} {} {}", key["key"]["binding"], key["key"]["ban"], key["key"]["life"]["note"])
}

fn last_record(sentinel: &crate::Sentinel) -> String {
    json(sentinel, &["audit", "list", "--limit", "1"])["records"][0]["undo"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_command_that_the_audit_names_takes_each_change_back() {
    let sentinel = sentinel().start().await;
    decide(&sentinel, KEY, OWNER).await;
    says(&sentinel, &["bindings", "note", "--key-file", "-", "the first note"]);
    says(&sentinel, &["ban", "--key-file", "-", "--for", "9h", "--reason", "before"]);
    let key = ["--key-file", "-"];
    for command in [
        &["bindings", "set", "10.0.0.0/8", "2001:db8::/32"][..],
        &["bindings", "set", "--reserve", "--yes"],
        &["bindings", "note", "another"],
        &["bindings", "note", "--remove"],
        &["unbind"],
        &["unbind", "--to", ATTACKER],
        &["ban"],
        &["ban", "--for", "3h", "--reason", "after"],
        &["unban"],
    ] {
        let before = essence(&sentinel);
        let said = says(&sentinel, &[command, &key].concat());
        let undo = last_record(&sentinel);
        assert!(said.ends_with(&format!("\nUndo: {undo}\n")), "{command:?}: {said}");
        let after = essence(&sentinel);
        assert_ne!(before, after, "{command:?}");
        let number = undo.strip_prefix("sentinel undo ").unwrap();
        let undone = says(&sentinel, &["undo", number, "--yes"]);
        assert!(undone.starts_with(&id_of(KEY)), "{command:?}: {undone}");
        assert!(undone.contains(&format!("\n  undone  record {number}: ")), "{command:?}: {undone}");
        assert_eq!(essence(&sentinel), before, "{command:?}");
        let again = last_record(&sentinel);
        says(&sentinel, &["undo", again.strip_prefix("sentinel undo ").unwrap(), "--yes"]);
        assert_eq!(essence(&sentinel), after, "an undoing can be undone: {command:?}");
        let thrice = last_record(&sentinel);
        says(&sentinel, &["undo", thrice.strip_prefix("sentinel undo ").unwrap(), "--yes"]);
    }
}

#[tokio::test]
async fn an_undo_binds_before_it_ends_and_opens_what_was_claimed_or_promoted() {
    let other = "sk-observed-0123456789";
    let sentinel = seeded(async |store| observe(store, fingerprint(other), OWNER, ago(hours(1))).await).await;
    says(&sentinel, &["bindings", "claim", "--key-file", "-", OWNER]);
    assert_eq!(decide(&sentinel, KEY, ATTACKER).await, "ip_mismatch");
    says(&sentinel, &["undo", "1", "--yes"]);
    assert_eq!(decide(&sentinel, KEY, ATTACKER).await, "first_use");
    says(&sentinel, &["bindings", "promote", "--yes"]);
    assert_eq!(decide(&sentinel, other, ATTACKER).await, "ip_mismatch");
    let promoted = last_record(&sentinel);
    let document = json(&sentinel, &["undo", promoted.strip_prefix("sentinel undo ").unwrap(), "--yes"]);
    assert_eq!(document["key"]["binding"], Value::Null);
    assert_eq!(decide(&sentinel, other, ATTACKER).await, "first_use");
}

#[tokio::test]
async fn what_was_changed_since_or_changed_nothing_is_refused_in_the_stores_words() {
    let sentinel = sentinel().start().await;
    decide(&sentinel, KEY, OWNER).await;
    says(&sentinel, &["unbind", "--key-file", "-", "--to", ATTACKER]);
    says(&sentinel, &["unbind", "--key-file", "-", "--to", "10.0.0.0/8"]);
    let id = id_of(KEY);
    let before = (essence(&sentinel), says(&sentinel, &["audit", "list"]));
    for (record, said) in [
        ("2", format!("{id} has been changed since, by record 3; undo the later changes first")),
        ("1", "record 1 changed nothing that could be undone".to_owned()),
        ("99", "there is no record 99".to_owned()),
    ] {
        let seen = ask(&sentinel, &["undo", record, "--yes"]);
        assert_eq!((seen.code, seen.out.as_str(), seen.err), (1, "", format!("error: {said}\n")), "{record}");
    }
    assert_eq!((essence(&sentinel), says(&sentinel, &["audit", "list"])), before, "nothing was changed");
    for record in ["0", "-1", "x", "9223372036854775808", ""] {
        let seen = ask(&sentinel, &["undo", "--yes", "--", record]);
        assert!(seen.code == 2 && seen.err.contains("must be the number of an audit record"), "{record}: {seen:?}");
    }
    let mut api = client_of(&sentinel).await;
    for record in [0, -1] {
        let status = api.undo(UndoRequest { record }).await.unwrap_err();
        assert!(status.code() == Code::InvalidArgument && status.message().starts_with("record: "), "{status:?}");
    }
    says(&sentinel, &["undo", "3", "--yes"]);
    says(&sentinel, &["undo", "2", "--yes"]);
    assert_eq!(decide(&sentinel, KEY, OWNER).await, "bound");
}

#[tokio::test]
async fn an_undo_says_what_is_so_now() {
    let sentinel = sentinel().start().await;
    let id = id_of(KEY);
    decide(&sentinel, KEY, OWNER).await;
    for (command, now) in [
        (&["ban"][..], "is no longer banned"),
        (&["ban", "--for", "9h"], "is no longer banned"),
        (&["bindings", "set", "10.0.0.0/8"], "belongs to 203.0.113.7/32"),
        (&["bindings", "note", "whose"], "has its previous note"),
    ] {
        says(&sentinel, &[command, &["--key-file", "-"]].concat());
        let undo = last_record(&sentinel);
        let said = says(&sentinel, &["undo", undo.strip_prefix("sentinel undo ").unwrap(), "--yes"]);
        assert!(said.starts_with(&format!("{id} {now}.\n  undone  record ")), "{command:?}: {said}");
    }
    // A later change to another part is none of this one's.
    says(&sentinel, &["unbind", "--key-file", "-", "--to", ATTACKER]);
    let first = last_record(&sentinel);
    says(&sentinel, &["ban", "--key-file", "-"]);
    says(&sentinel, &["unbind", "--key-file", "-", "--to", OWNER]);
    says(&sentinel, &["unbind", "--key-file", "-"]);
    let number: i64 = first.strip_prefix("sentinel undo ").unwrap().parse().unwrap();
    let seen = ask(&sentinel, &["undo", &number.to_string(), "--yes"]);
    let by = format!("{id} has been changed since, by records {}, {}; undo the later", number + 2, number + 3);
    assert!(seen.code == 1 && seen.err.contains(&by), "{seen:?}");
}

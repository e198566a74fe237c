//! From the decision that a refused client reports to its record.

use serde_json::json;

use crate::{
    ATTACKER, KEY, OWNER, Seen, ask,
    common::{eventually, sentinel},
    decide, id_of, json, says,
};

const MISS: &str = "no record has that decision id: denials of one key, network and reason within a second are one \
                    record with the id of the first; search with --key and --since\n";

#[tokio::test]
async fn a_decision_finds_its_record_and_a_miss_says_how_to_search() {
    let sentinel = sentinel().start().await;
    assert_eq!(decide(&sentinel, KEY, OWNER).await, "first_use");
    let denied = sentinel.check().key(KEY).from(ATTACKER).send().await;
    let id = denied.decision_id().to_owned();
    let list = ["audit", "list", "--decision", &id];
    let seen = eventually("the denial is recorded", async || {
        let seen = ask(&sentinel, &[&list[..], &["--output", "json"]].concat());
        seen.err.is_empty().then_some(seen)
    })
    .await;
    let document: serde_json::Value = serde_json::from_str(&seen.out).unwrap();
    let record = &document["records"][0];
    assert_eq!(document["records"].as_array().unwrap().len(), 1);
    assert_eq!((&record["decision_id"], &record["reason"]), (&json!(id), &json!("ip_mismatch")));
    assert_eq!(record["key_id"], json!(id_of(KEY)));
    assert_eq!(json(&sentinel, &["audit", "list", "--decision", &id.to_uppercase()])["records"], document["records"]);
    assert!(says(&sentinel, &list).contains(" denied "), "a table has it too");
    let lines = says(&sentinel, &["audit", "export", "--decision", &id, "--format", "jsonl"]);
    assert!(lines.lines().count() == 1 && lines.contains(&id), "{lines}");

    let other = "0".repeat(32);
    for (args, out) in [
        (&["audit", "list", "--decision", &other][..], "No audit record matches.\n"),
        (&["audit", "export", "--decision", &other, "--format", "jsonl"], ""),
        (&["audit", "list", "--decision", &id, "--kind", "ban"], "No audit record matches.\n"),
    ] {
        assert_eq!(ask(&sentinel, args), Seen { code: 0, out: out.to_owned(), err: MISS.to_owned() }, "{args:?}");
    }
}

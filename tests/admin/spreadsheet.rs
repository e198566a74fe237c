//! CSV for spreadsheets.

use crate::{
    KEY, OWNER, ago, ask, audit, bind, client_of, common::sentinel, crafted, decide, fingerprint, hours, id_of, json,
    observe, says, seeded,
};

/// RFC 4180, read by its own grammar: the rows, each of cells.
fn read(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, quoted) {
            ('"', true) if characters.peek() == Some(&'"') => cell.push(characters.next().unwrap()),
            ('"', _) => quoted = !quoted,
            (',', false) => row.push(std::mem::take(&mut cell)),
            ('\r', false) => {
                assert_eq!(characters.next(), Some('\n'));
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            _ => cell.push(character),
        }
    }
    assert!(row.is_empty() && cell.is_empty() && !quoted, "the last line has its end too");
    rows
}

#[tokio::test]
async fn keys_are_rows_with_times_in_rfc_3339() {
    let observed = crafted(2 << 96);
    let sentinel = seeded(async |store| {
        bind(store, fingerprint(KEY), OWNER, ago(hours(2))).await;
        observe(store, observed.clone(), OWNER, ago(hours(1))).await;
    })
    .await;
    let until = "2099-12-01T08:00:00.000Z";
    says(&sentinel, &["bindings", "note", "--key-file", "-", "blue, \"CI\""]);
    says(&sentinel, &["ban", "--key-file", "-", "--until", until, "--reason", "leaked"]);
    let banned_at = json(&sentinel, &["bindings", "list"])["keys"][0]["ban"]["created_at"].as_str().unwrap().to_owned();
    let header = "key_id,hint,state,networks,created_at,open_until,expires_at,used_at,refused_at,note,candidates,banned,\
                  ban_until,ban_reason,ban_actor,banned_at\r\n";
    let (id, created, uid) = (id_of(KEY), ago(hours(2)), crate::my_uid());
    let row = format!(
        "{id},sk-l…cdef,learned,203.0.113.7/32,{created},,,,,\"blue, \"\"CI\"\"\",,true,{until},leaked,{uid},{banned_at}\r\n"
    );
    assert_eq!(says(&sentinel, &["bindings", "list", "--output", "csv"]), format!("{header}{row}"));
    let rows = read(&says(&sentinel, &["bindings", "list", "--observed", "--output", "csv"]));
    assert_eq!(
        (rows[1][2].as_str(), rows[1][10].as_str(), rows[1][11].as_str()),
        ("observed", "203.0.113.7/32", "false")
    );
    let dry = says(&sentinel, &["bindings", "promote", "--dry-run", "--output", "csv"]);
    let id = observed.digest.new_id();
    assert_eq!(
        dry,
        format!("key_id,hint,outcome,networks,undo,refused,count\r\n{id},sk-l…cdef,bound,203.0.113.7/32,,,\r\n")
    );
    let page = ask(&sentinel, &["bindings", "list", "--limit", "1", "--output", "csv"]);
    assert!(page.err.starts_with("There may be more: use --offset 1"), "{page:?}");
}

#[tokio::test]
async fn audit_records_are_rows_with_the_command_that_takes_them_back() {
    let sentinel = sentinel().start().await;
    decide(&sentinel, KEY, OWNER).await;
    says(&sentinel, &["unbind", "--key-file", "-"]);
    let rows = read(&says(&sentinel, &["audit", "list", "--output", "csv"]));
    let header = "record kind reason key_id network count first_at last_at actor decision_id detail undo";
    assert_eq!(rows[0], header.split(' ').collect::<Vec<_>>());
    assert_eq!((rows[1][0].as_str(), rows[1][1].as_str(), rows[1][11].as_str()), ("2", "unbind", "sentinel undo 2"));
    assert_eq!((rows[2][0].as_str(), rows[2][1].as_str(), rows[2][11].as_str()), ("1", "first_use", ""));
    assert!(rows[1][6].ends_with('Z') && rows.iter().all(|row| row.len() == 12));
    let oldest_first = [rows[0].clone(), rows[2].clone(), rows[1].clone()];
    for args in [&["--format", "csv"][..], &["--output", "csv"], &[]] {
        assert_eq!(read(&says(&sentinel, &[&["audit", "export"], args].concat())), oldest_first);
    }
}

#[tokio::test]
async fn a_note_that_looks_like_a_formula_runs_nowhere() {
    let sentinel = sentinel().start().await;
    decide(&sentinel, KEY, OWNER).await;
    for note in ["=HYPERLINK(\"http://evil.example\",\"x\")", "+1", "-1+2", "@SUM(1)", "=cmd|' /C calc'!A0"] {
        says(&sentinel, &["bindings", "note", "--key-file", "-", "--", note]);
        let rows = read(&says(&sentinel, &["bindings", "list", "--output", "csv"]));
        assert_eq!(rows[1][9], format!("'{note}"));
        says(&sentinel, &["ban", "--key-file", "-", &format!("--reason={note}")]);
        let rows = read(&says(&sentinel, &["bindings", "list", "--output", "csv"]));
        assert_eq!(rows[1][13], format!("'{note}"));
        let rows = read(&says(&sentinel, &["audit", "list", "--output", "csv"]));
        let formula = rows.iter().flatten().find(|cell| cell.starts_with(['=', '+', '-', '@', '\t', '\r']));
        assert_eq!(formula, None);
    }
}

#[tokio::test]
async fn what_is_no_listing_is_refused_before_it_changes_anything() {
    let sentinel = sentinel().start().await;
    for args in [&["ban", "--key-file", "-"][..], &["status"], &["bindings", "claim", "--key-file", "-", OWNER]] {
        let seen = ask(&sentinel, &[args, &["--output", "csv"]].concat());
        assert!(seen.code == 2 && seen.err.contains("csv is for listings"), "{seen:?}");
    }
    assert_eq!(audit(&mut client_of(&sentinel).await, "").await, []);
}

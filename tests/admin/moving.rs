//! Keys from one server to another, by a file.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use key_ip_sentinel::store::Action;
use serde_json::Value;

use crate::{
    ATTACKER, KEY, OWNER, Sentinel, ago, ask, bind, change, common::PEPPER, common::postgres::Postgres,
    common::sentinel, decide, fingerprint, hours, id_of, json, observe, run, run::Seen, says, seeded, together,
};

const BANNED: &str = "sk-banned-0123456789abcdef";
const SEEN: &str = "sk-seen-0123456789abcdef";
const OTHER_PEPPER: &str = "another-pepper-for-tests-0123456789-abcd";

fn key(number: usize) -> String {
    format!("sk-moved-{number:011}")
}

/// This number of learned keys of the owner.
async fn full(count: usize) -> Sentinel {
    seeded(async |store| {
        let keys: Vec<_> = (0..count).map(|number| fingerprint(&key(number))).collect();
        together(keys.into_iter().map(|key| bind(store, key, OWNER, ago(hours(3))))).await;
    })
    .await
}

async fn exported(sentinel: &Sentinel) -> String {
    says(sentinel, &["bindings", "export"])
}

fn import(sentinel: &Sentinel, file: &str) -> Seen {
    let socket = format!("unix:{}", sentinel.home().admin_socket().display());
    run(&["--admin", &socket, "bindings", "import", "-"], file.as_bytes())
}

fn learned(sentinel: &Sentinel) -> u64 {
    json(sentinel, &["status"])["learned"].as_u64().unwrap()
}

fn path(dir: &tempfile::TempDir, name: &str) -> (std::path::PathBuf, String) {
    let path = dir.path().join(name);
    let text = path.to_str().unwrap().to_owned();
    (path, text)
}

#[tokio::test]
async fn imported_keys_allow_the_owner_deny_an_attacker_and_keep_bans() {
    let from = seeded(async |store| {
        bind(store, fingerprint(KEY), OWNER, ago(hours(3))).await;
        change(store, &fingerprint(KEY), Action::Note(Some("the laptop".to_owned())), ago(hours(2))).await;
        change(store, &fingerprint(BANNED), Action::Ban { lasting: None, reason: None }, ago(hours(1))).await;
        observe(store, fingerprint(SEEN), OWNER, ago(hours(1))).await;
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let (file, name) = path(&dir, "keys.jsonl");
    fs::write(&file, "what was there before").unwrap();
    assert_eq!(says(&from, &["bindings", "export", &name]), format!("Exported 3 keys to {name}.\n"));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing unfinished stays");

    let text = fs::read_to_string(&file).unwrap();
    for secret in [KEY, BANNED, SEEN, PEPPER] {
        assert!(!text.contains(secret), "{text}");
    }
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let pepper = key_ip_sentinel::domain::Pepper::new(PEPPER.as_bytes()).unwrap().id().to_string();
    assert_eq!((&lines[0]["version"], &lines[0]["peppers"][0]["id"]), (&Value::from(1), &Value::from(pepper)));
    assert_eq!(lines[0]["peppers"][0]["active"], true);
    assert_eq!(lines[4], serde_json::json!({ "keys": 3 }));
    let owned = lines.iter().find(|line| line["key_id"] == id_of(KEY)).unwrap();
    assert_eq!((&owned["binding"]["note"], &owned["hint"]), (&Value::from("the laptop"), &Value::from("sk-l…cdef")));

    let to = sentinel().start().await;
    assert_eq!(says(&to, &["bindings", "import", &name]), "Imported 3 keys.\n");
    assert_eq!(decide(&to, KEY, OWNER).await, "bound");
    assert_eq!(decide(&to, KEY, ATTACKER).await, "ip_mismatch");
    assert_eq!(decide(&to, BANNED, OWNER).await, "key_banned");
    assert_eq!(json(&to, &["bindings", "list", "--observed"])["keys"][0]["key_id"], id_of(SEEN));
    let records = json(&to, &["audit", "list", "--kind", "imported"])["records"].clone();
    assert_eq!(records.as_array().unwrap().len(), 1);
    assert_eq!(records[0]["actor"], crate::my_uid());
    assert!(records[0]["detail"].as_str().unwrap().starts_with("3 keys: 1 binding, 1 ban, 1 observed"), "{records}");

    assert_eq!(says(&to, &["bindings", "import", &name]), "Imported 0 keys; 3 were already stored.\n");
    let again = json(&to, &["bindings", "import", &name]);
    let expected = serde_json::json!({ "keys": 3, "imported": 0, "identical": 3, "skipped": 0, "skipped_key_ids": [],
        "other_realm": 0 });
    assert_eq!(again, expected);
    assert_eq!(json(&to, &["audit", "list", "--kind", "imported"])["records"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_one_store_wrote_another_writes_the_same() {
    let from = full(1203).await;
    let file = exported(&from).await;
    assert_eq!(file.lines().count(), 1205);
    let to = sentinel().start().await;
    let seen = import(&to, &file);
    assert_eq!((seen.code, seen.out.as_str(), seen.err.as_str()), (0, "Imported 1203 keys.\n", ""));
    let without_header = |file: &str| file.split_once('\n').unwrap().1.to_owned();
    assert_eq!(without_header(&exported(&to).await), without_header(&file));
    let records = json(&to, &["audit", "list", "--kind", "imported"])["records"].clone();
    assert_eq!(records.as_array().unwrap().len(), 3, "500, 500 and the rest");
}

#[tokio::test]
async fn a_key_that_has_an_owner_stays_its_owners() {
    let file = exported(&full(3).await).await;
    let to = seeded(async |store| bind(store, fingerprint(&key(1)), ATTACKER, ago(hours(1))).await).await;
    let seen = import(&to, &file);
    assert_eq!((seen.code, seen.err.as_str()), (0, ""));
    assert_eq!(
        seen.out,
        format!(
            "Imported 2 keys.\nSkipped 1 key, because the store has different data for the same key: {}.\n",
            id_of(&key(1))
        )
    );
    assert_eq!(decide(&to, &key(1), ATTACKER).await, "bound");
    assert_eq!(decide(&to, &key(1), OWNER).await, "ip_mismatch");
    assert_eq!(decide(&to, &key(2), OWNER).await, "bound");
}

#[tokio::test]
async fn a_truncated_file_is_an_error_and_importing_the_whole_file_completes_it() {
    let file = exported(&full(700).await).await;
    let to = sentinel().start().await;
    let border = file.match_indices('\n').nth(600).unwrap().0 + 1;
    for (cut, lines, imported) in [(border + 30, 601, "600 keys"), (border, 601, "0 keys; 600 were already stored")] {
        let seen = import(&to, &file[..cut]);
        assert_eq!((seen.code, seen.out.as_str()), (1, ""), "{seen:?}");
        let said =
            format!("Imported {imported}.\nerror: the file ends after line {lines}, before the line that counts");
        assert!(seen.err.starts_with(&said), "{seen:?}");
        assert_eq!(learned(&to), 600);
    }
    let lost = file.lines().enumerate().filter(|(nth, _)| *nth != 650).map(|(_, line)| format!("{line}\n"));
    let seen = import(&to, &lost.collect::<String>());
    assert!(seen.code == 2 && seen.err.contains("line 701: keys: is 700, but the file has 699 keys"), "{seen:?}");
    let seen = import(&to, file.trim_end());
    assert_eq!((seen.code, seen.out.as_str()), (0, "Imported 1 key; 699 were already stored.\n"));
    let twice = import(&to, &format!("{file}{file}"));
    assert!(twice.code == 2 && twice.err.contains("line 703: comes after the last line"), "{twice:?}");
    let no_header = "error: the file has no complete first line, so nothing was imported; import the whole file\n";
    for cut in ["", &file[..40]] {
        let seen = import(&to, cut);
        assert_eq!((seen.code, seen.out.as_str(), seen.err.as_str()), (1, "", no_header));
    }
    assert_eq!(learned(&to), 700);
}

#[tokio::test]
async fn an_error_names_line_and_field_and_its_batch_is_not_written() {
    let file = exported(&full(510).await).await;
    let to = sentinel().start().await;
    let lines: Vec<&str> = file.lines().collect();
    let with = |nth: usize, line: &str| {
        let mut lines = lines.clone();
        lines[nth - 1] = line;
        lines.join("\n")
    };
    let changed = |from: &str, to: &str| lines[8].replacen(from, to, 1);
    let (digest, owner) = (serde_json::from_str::<Value>(lines[8]).unwrap(), format!("[\"{OWNER}/32\"]"));
    let digest = digest["digest"].as_str().unwrap();
    for (line, said) in [
        (KEY.to_owned(), "line 9: is not valid JSON (column 1)"),
        (format!("\"{KEY}\""), "line 9: must be an object"),
        (changed(digest, KEY), "line 9: digest: must be 64 lower-case hex digits"),
        (changed(&id_of(&key(0))[..2], "sk"), "line 9: key_id: must be k_ and 32 lower-case hex digits"),
        (
            changed("\"learned\"", &format!("\"{KEY}\"")),
            "line 9: binding.state: must be provisional, learned or pinned",
        ),
        (changed(&owner, &format!("[\"{KEY}\"]")), "line 9: binding.networks[0]: not an IP address or CIDR"),
        (changed(&owner, "[\"10.0.0.0/8\",\"10.0.0.0/8\"]"), "line 9: binding.networks[1]: is a duplicate"),
        (changed(&owner, "[]"), "line 9: binding.networks: is empty, which is allowed only if"),
        (
            changed("\"state\":\"learned\"", "\"state\":\"pinned\",\"open_until_ms\":1"),
            "line 9: binding.open_until_ms: is not allowed if state is pinned",
        ),
        (changed("\"created_at_ms\":", "\"created_at\":"), "line 9: binding.created_at_ms: is missing"),
        (changed("\"created_at_ms\":", "\"created_at_ms\":-"), "line 9: binding.created_at_ms: must be a non-negative"),
        (changed("\"realm\":", &format!("\"{KEY}\":1,\"realm\":")), "line 9: has an unknown field"),
        (changed("sk-m…", &KEY[..5]), "line 9: hint: must be 4 characters, … and 4 more"),
        (changed("\"realm\":\"default\"", "\"realm\":\"a\\nb\""), "line 9: realm: must not contain control characters"),
        (changed("\"pepper\":\"", "\"pepper\":\"0"), "line 9: pepper: must be 8 lower-case hex digits"),
        (format!("{}x", lines[8]), "line 9: is not valid JSON"),
        (String::new(), "line 9: is not valid JSON"),
    ] {
        let seen = import(&to, &with(9, &line));
        assert_eq!((seen.code, seen.out.as_str()), (2, ""), "{line}: {seen:?}");
        assert!(seen.err.starts_with(&format!("error: {said}")), "{line}: {seen:?}");
        assert!(!seen.err.contains(KEY) && !seen.err.contains("sk-live"), "{seen:?}");
        assert_eq!(learned(&to), 0, "{line}");
    }
    let seen = import(&to, &with(505, "{}"));
    assert_eq!(seen.err, "Imported 500 keys.\nerror: line 505: key_id: is missing\n");
    assert_eq!((seen.code, learned(&to)), (2, 500), "the batch before it is stored");

    for (first, said) in [
        (KEY.to_owned(), "line 1: this is not a file of `sentinel bindings export`"),
        (lines[8].to_owned(), "line 1: format: this is not a file of `sentinel bindings export`"),
        (lines[0].replace("\"version\":1", "\"version\":2"), "line 1: version: is 2, but this server reads version 1"),
        (lines[0].replace("\"check_value\":\"", "\"check_value\":\"0"), "line 1: peppers[0].check_value: must be 64"),
    ] {
        let seen = import(&to, &with(1, &first));
        assert!(seen.code == 2 && seen.err.starts_with(&format!("error: {said}")), "{seen:?}");
    }
    to.assert_no_panic();
}

#[tokio::test]
async fn a_file_with_a_pepper_that_is_not_listed_is_rejected() {
    let file = exported(&full(2).await).await;
    let both = format!("[\"{OTHER_PEPPER}\", \"{PEPPER}\"]");
    let other = sentinel().set("pepper.secrets", &format!("[\"{OTHER_PEPPER}\"]")).start().await;
    let [of_file, here] = [PEPPER, OTHER_PEPPER]
        .map(|secret| key_ip_sentinel::domain::Pepper::new(secret.as_bytes()).unwrap().id().to_string());
    let seen = import(&other, &file);
    let said = format!(
        "error: line 1: peppers: this file's keys are under pepper {of_file}, but this server lists {here}; add the \
         secret of {of_file} to pepper.secrets of every server, restart them, and import again. Nothing was imported\n"
    );
    assert_eq!((seen.code, seen.out.as_str(), seen.err), (1, "", said));
    let first = file.split_inclusive('\n').next().unwrap();
    let check = serde_json::from_str::<Value>(first).unwrap()["peppers"][0]["check_value"].as_str().unwrap().to_owned();
    let other = other.stop().await.set("pepper.secrets", &both).start().await;
    let forged = file.replace(&check, &check.chars().rev().collect::<String>());
    let seen = import(&other, &forged);
    assert!(seen.code == 1 && seen.err.contains("is the id of another secret on this server"), "{seen:?}");
    assert_eq!(learned(&other), 0);

    assert_eq!(import(&other, &file).out, "Imported 2 keys.\n");
    assert_eq!(decide(&other, &key(0), ATTACKER).await, "ip_mismatch");
    assert_eq!(decide(&other, &key(0), OWNER).await, "bound");
    let peppers = json(&other, &["pepper", "list"])["peppers"].clone();
    assert_eq!((&peppers[0]["id"], &peppers[0]["state"]), (&Value::from(here), &Value::from("active")));
    assert_eq!((&peppers[1]["id"], &peppers[1]["state"]), (&Value::from(of_file), &Value::from("verify-only")));
}

#[tokio::test]
async fn keys_of_another_realm_are_taken_in_and_said() {
    let file = exported(&full(2).await).await.replace("\"realm\":\"default\"", "\"realm\":\"other\"");
    let to = sentinel().start().await;
    let seen = import(&to, &file);
    assert_eq!((seen.code, seen.out.as_str()), (0, "Imported 2 keys.\n"));
    assert!(seen.err.starts_with("warning: 2 of these keys have another credentials.realm"), "{seen:?}");
}

#[tokio::test]
async fn a_failed_export_leaves_what_was_there_and_a_failed_read_is_said() {
    let server = full(2).await;
    let dir = tempfile::tempdir().unwrap();
    let (file, name) = path(&dir, "keys.jsonl");
    fs::write(&file, "the previous file").unwrap();
    let lock = server.lock_store().await;
    let said = ask(&server, &["bindings", "export", "/dev/null"]);
    assert!(said.code == 2 && said.err.contains("not a regular file"), "{said:?}");
    drop(lock);
    let nowhere = run(&["--admin", "unix:/nonexistent/admin.sock", "bindings", "export", &name], b"");
    assert_eq!((nowhere.code, fs::read_to_string(&file).unwrap()), (3, "the previous file".to_owned()));
    assert!(Path::new("/dev/null").metadata().is_ok());
    let missing = ask(&server, &["bindings", "import", "/nonexistent/keys.jsonl"]);
    assert!(missing.code == 2, "{missing:?}");
    assert!(missing.err.starts_with("error: /nonexistent/keys.jsonl: cannot be read"), "{missing:?}");
    let directory = ask(&server, &["bindings", "import", dir.path().to_str().unwrap()]);
    assert!(directory.code == 1 && directory.err.contains("cannot read the file to its end"), "{directory:?}");
    let csv = ask(&server, &["bindings", "export", "--output", "csv"]);
    assert!(csv.code == 2, "{csv:?}");
}

#[tokio::test]
async fn a_store_that_is_lost_ends_the_import_and_what_was_stored_is_said() {
    let file = exported(&full(3).await).await;
    let to = sentinel().start().await;
    let lock = to.lock_store().await;
    let seen = import(&to, &file);
    assert!(seen.code == 3 && seen.err.starts_with("error: the store did not answer"), "{seen:?}");
    drop(lock);
    assert_eq!(import(&to, &file).out, "Imported 3 keys.\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_becomes_a_database_of_two_replicas_and_a_file_again() {
    let from = full(3).await;
    says(&from, &["ban", &id_of(&key(0))]);
    let file = exported(&from).await;
    let url = format!("\"{}\"", Postgres::shared().await.database().await);
    let replicas = [sentinel().set("store.url", &url).start().await, sentinel().set("store.url", &url).start().await];
    // Known to the second one before anything is imported.
    assert_eq!(decide(&replicas[1], &key(2), ATTACKER).await, "first_use");
    let seen = import(&replicas[0], &file);
    assert_eq!((seen.code, seen.err.as_str()), (0, ""), "{seen:?}");
    assert!(
        seen.out
            .starts_with("Imported 2 keys.\nSkipped 1 key, because the store has different data for the same key: k_"),
        "{seen:?}"
    );
    for replica in &replicas {
        assert_eq!(decide(replica, &key(1), OWNER).await, "bound");
        assert_eq!(decide(replica, &key(1), ATTACKER).await, "ip_mismatch");
        assert_eq!(decide(replica, &key(0), OWNER).await, "key_banned");
        assert_eq!(decide(replica, &key(2), ATTACKER).await, "bound");
    }
    let file = exported(&replicas[0]).await;
    let back = sentinel().start().await;
    assert_eq!(import(&back, &file).out, "Imported 3 keys.\n");
    assert_eq!(exported(&back).await.split_once('\n').unwrap().1, file.split_once('\n').unwrap().1);
    assert_eq!(decide(&back, &key(0), OWNER).await, "key_banned");
    assert_eq!(decide(&back, &key(2), OWNER).await, "ip_mismatch");
}

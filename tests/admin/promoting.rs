//! From observing to enforcing, with many keys.

use std::{
    collections::HashMap,
    process::{Command, Stdio},
    time::Duration,
};

use futures_util::future::join_all;
use key_ip_sentinel::{
    admin::api::{AuditRecord, GetStatusRequest, ListAuditRequest},
    domain::{
        Fingerprint, Timestamp,
        event::{EventKind, Record},
    },
    store::{Action, Store},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    ATTACKER, Client, LATE, OWNER, Sentinel, ago, append, ask, bind, change, client_of, common::eventually,
    common::sentinel, crafted, decide, denied, fingerprint, hours, json, observe, says, seeded, slow_down, speed_up,
    together,
};

const THEN: &str = "Then set mode = \"enforce\": in the configuration file it needs no restart (docs/configuration.md), by \
                    SENTINEL_MODE it does.\n";

const MANY: usize = 2000;

fn key(number: usize) -> String {
    format!("sk-observed-{number:05}")
}

/// Every twentieth key roams.
fn roams(number: usize) -> bool {
    number.is_multiple_of(20)
}

async fn see(store: &dyn Store, key: Fingerprint, networks: &[&str], at: Timestamp) {
    for network in networks {
        observe(store, key.clone(), network, at).await;
    }
}

async fn many_observed() -> Sentinel {
    seeded(async |store| {
        let seen = (0..MANY).map(|number| {
            let networks: &[&str] = if roams(number) { &[OWNER, "192.0.2.1"] } else { &[OWNER] };
            see(store, fingerprint(&key(number)), networks, ago(hours(1)))
        });
        together(seen).await;
    })
    .await
}

async fn observed(api: &mut Client) -> u64 {
    api.get_status(GetStatusRequest {}).await.unwrap().into_inner().observed.unwrap()
}

/// All records of this kind, by key; the API gives a thousand at once.
async fn records(api: &mut Client, sentinel: &Sentinel, kind: &str) -> HashMap<String, u32> {
    let sql = format!("SELECT key_id, count(*) FROM audit WHERE kind = '{kind}' GROUP BY key_id");
    let rows = sentinel.home().store().query(&sql).await;
    let found: HashMap<_, _> = rows.into_iter().map(|row| (row[0].clone(), row[1].parse().unwrap())).collect();
    let request = ListAuditRequest { kind: kind.to_owned(), limit: 1, ..Default::default() };
    let listed: Vec<AuditRecord> = api.list_audit(request).await.unwrap().into_inner().records;
    assert_eq!(listed.is_empty(), found.is_empty());
    found
}

#[tokio::test]
async fn promote_binds_who_was_alone_and_reserves_who_was_not() {
    let [alone, roaming] = [1_u128 << 96, 2 << 96].map(crafted);
    let sentinel = seeded(async |store| {
        see(store, alone.clone(), &[OWNER], ago(hours(2))).await;
        see(store, roaming.clone(), &[OWNER, ATTACKER], ago(hours(1))).await;
    })
    .await;
    let [alone, roaming] = [alone, roaming].map(|key| key.digest.new_id().to_string());
    let before =
        (json(&sentinel, &["bindings", "list", "--observed"])["keys"].clone(), says(&sentinel, &["audit", "list"]));
    assert_eq!(
        says(&sentinel, &["bindings", "promote", "--dry-run"]),
        format!(
            "\
Would bind 1 key that only one network used:
KEY                                 HINT       NETWORKS
{alone}  sk-l…cdef  203.0.113.7/32
Would reserve 1 key that several networks used; every client is denied until you name the owner:
KEY                                 HINT       NETWORKS
{roaming}  sk-l…cdef  203.0.113.7/32, 198.51.100.9/32
No other network was allowed a key with an owner in the last 24 hours.
1 to bind, 1 to reserve. Nothing was changed.
For these keys: sentinel bindings set REF CIDR...
{THEN}"
        )
    );
    let after =
        (json(&sentinel, &["bindings", "list", "--observed"])["keys"].clone(), says(&sentinel, &["audit", "list"]));
    assert_eq!(before, after, "a dry run changes nothing");

    let mut document = json(&sentinel, &["bindings", "promote", "--yes"]);
    assert!(document["now"].take().is_string() && document["in_effect"].take().is_boolean());
    let row = |id: &str, outcome: &str, networks: Value, record: u32| {
        json!({ "key_id": id, "hint": "sk-l…cdef", "outcome": outcome, "networks": networks,
            "undo": format!("sentinel undo {record}") })
    };
    let mut keys = document["keys"].take();
    keys.as_array_mut().unwrap().sort_by_key(|key| key["key_id"].to_string());
    for key in keys.as_array_mut().unwrap() {
        // Both are promoted concurrently, so the order of the records is not defined.
        assert!(["sentinel undo 1", "sentinel undo 2"].contains(&key["undo"].take().as_str().unwrap()));
    }
    let mut expected = [
        row(&alone, "bound", json!([format!("{OWNER}/32")]), 1),
        row(&roaming, "reserved", json!(["203.0.113.7/32", "198.51.100.9/32"]), 2),
    ];
    expected.iter_mut().for_each(|row| drop(row["undo"].take()));
    assert_eq!(keys, json!(expected));
    assert_eq!(
        document,
        json!({ "dry_run": false, "keys": null, "bound": 1, "reserved": 1, "skipped": 0, "let_through": [],
            "let_through_cut": false, "in_effect": null, "now": null })
    );
    assert_eq!(says(&sentinel, &["bindings", "promote", "--yes"]), "There are no observed keys to promote.\n");
    let csv = says(&sentinel, &["bindings", "promote", "--yes", "--output", "csv"]);
    assert_eq!(csv, "key_id,hint,outcome,networks,undo,refused,count\r\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_of_two_thousand_keys_races_with_claims_and_each_key_gets_one_owner() {
    let sentinel = many_observed().await;
    let mut api = client_of(&sentinel).await;
    let plan = json(&sentinel, &["bindings", "promote", "--dry-run"]);
    assert_eq!((&plan["bound"], &plan["reserved"]), (&json!(MANY - MANY / 20), &json!(MANY / 20)));
    assert_eq!(observed(&mut api).await, MANY as u64);

    let socket = format!("unix:{}", sentinel.home().admin_socket().display());
    let promote = tokio::task::spawn_blocking(move || {
        crate::run::run(&["--admin", &socket, "bindings", "promote", "--yes", "--output", "json"], b"")
    });
    // An attacker races for every third key, the last first, so that each side wins some keys.
    let mut reasons: HashMap<String, String> = HashMap::new();
    for chunk in (0..MANY).rev().step_by(3).collect::<Vec<_>>().chunks(32) {
        let checks = chunk.iter().map(async |number| (key(*number), decide(&sentinel, &key(*number), ATTACKER).await));
        reasons.extend(join_all(checks).await);
    }
    let seen = promote.await.unwrap();
    assert!(seen.code == 0 && (seen.err.is_empty() || seen.err.ends_with(LATE)), "{seen:?}");
    sentinel.catches_up().await;
    let document: Value = serde_json::from_str(&seen.out).unwrap();

    let (promoted, claimed) =
        (records(&mut api, &sentinel, "promote").await, records(&mut api, &sentinel, "first_use").await);
    let count = |outcome: &str| document[outcome].as_u64().unwrap() as usize;
    assert_eq!(count("bound") + count("reserved"), promoted.len());
    assert!(promoted.values().chain(claimed.values()).all(|count| *count == 1), "a key got an owner twice");
    assert!(claimed.keys().all(|id| !promoted.contains_key(id)), "a key was claimed and promoted");
    assert_eq!(promoted.len() + claimed.len(), MANY);
    assert!(!promoted.is_empty() && !claimed.is_empty(), "there was no race");
    for number in 0..MANY {
        let (key, id) = (key(number), crate::id_of(&key(number)));
        let stole = claimed.contains_key(&id);
        let (attacker, owner) = match (stole, roams(number)) {
            (true, _) => ("bound", "ip_mismatch"),
            (false, true) => ("not_claimed", "not_claimed"),
            (false, false) => ("ip_mismatch", "bound"),
        };
        if let Some(reason) = reasons.get(&key) {
            assert_eq!(reason == "first_use", stole, "{key}: {reason}");
            assert!(stole || reason == attacker, "{key}: {reason}");
        }
        if number % 40 < 3 {
            assert_eq!(decide(&sentinel, &key, ATTACKER).await, attacker, "{key}");
            assert_eq!(decide(&sentinel, &key, OWNER).await, owner, "{key}");
        }
    }
    assert_eq!(observed(&mut api).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_that_is_killed_continues_when_it_is_run_again() {
    let sentinel = many_observed().await;
    let mut api = client_of(&sentinel).await;
    // Makes the promotion take about ten seconds, so that it can be killed in the middle.
    slow_down(&sentinel.home().store(), "promote", 5).await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel"));
    let socket = format!("unix:{}", sentinel.home().admin_socket().display());
    command.env_clear().args(["--admin", &socket, "bindings", "promote", "--yes"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());

    let mut client = command.spawn().unwrap();
    eventually("the walk is under way", async || (observed(&mut api).await < MANY as u64).then_some(())).await;
    client.kill().unwrap();
    client.wait().unwrap();
    let left = eventually("the walk has ended with its client", async || {
        // A walk under way changes hundreds of keys between the two questions.
        let before = observed(&mut api).await;
        sleep(Duration::from_secs(2)).await;
        (observed(&mut api).await == before).then_some(before)
    })
    .await;
    assert!(0 < left && left < MANY as u64, "{left} left: not in the middle");

    let client = command.spawn().unwrap();
    eventually("the walk goes on", async || (observed(&mut api).await < left).then_some(())).await;
    sentinel.kill_now();
    let output = tokio::task::spawn_blocking(move || client.wait_with_output().unwrap()).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(3), Vec::new()), "{said}");
    assert!(said.contains("these changes are stored; run the command again to promote the remaining keys"), "{said}");

    let sentinel = sentinel.kill().start().await;
    speed_up(&sentinel.home().store()).await;
    let mut api = client_of(&sentinel).await;
    let left = observed(&mut api).await;
    assert!(0 < left, "not in the middle");
    let document = json(&sentinel, &["bindings", "promote", "--yes"]);
    assert_eq!(document["bound"].as_u64().unwrap() + document["reserved"].as_u64().unwrap(), left);
    assert_eq!(observed(&mut api).await, 0);
    let promoted = records(&mut api, &sentinel, "promote").await;
    assert!(promoted.len() == MANY && promoted.values().all(|count| *count == 1), "each key once");
}

#[tokio::test]
async fn a_store_that_is_lost_ends_the_walk_and_says_so() {
    let sentinel = seeded(async |store| see(store, crafted(1 << 96), &[OWNER], ago(hours(2))).await).await;
    let lock = sentinel.lock_store().await;
    let seen = ask(&sentinel, &["bindings", "promote", "--yes"]);
    assert!(seen.code == 3 && seen.err.starts_with("error: the store did not answer"), "{seen:?}");
    drop(lock);
    assert!(says(&sentinel, &["bindings", "promote", "--yes"]).contains("\n1 bound, 0 reserved, 0 skipped.\n"));
}

#[tokio::test]
async fn what_was_observed_is_enforced_after_promoting() {
    let sentinel = sentinel().set("mode", "\"observe\"").start().await;
    for (key, from) in
        [("sk-alone-0123456789", OWNER), ("sk-roams-0123456789", OWNER), ("sk-roams-0123456789", ATTACKER)]
    {
        let answer = sentinel.check().key(key).from(from).send().await;
        assert!(answer.is_allow(), "{answer:?}");
    }
    says(&sentinel, &["bindings", "promote", "--yes"]);
    let sentinel = sentinel.stop().await.set("mode", "\"enforce\"").start().await;
    assert_eq!(decide(&sentinel, "sk-alone-0123456789", OWNER).await, "bound");
    assert_eq!(decide(&sentinel, "sk-alone-0123456789", ATTACKER).await, "ip_mismatch");
    assert_eq!(decide(&sentinel, "sk-roams-0123456789", OWNER).await, "not_claimed");
}

#[tokio::test]
async fn a_dry_run_names_the_keys_with_an_owner_that_only_the_mode_lets_through() {
    let [owned, given, banned, old] = [1_u128 << 96, 2 << 96, 3 << 96, 4 << 96].map(crafted);
    let sentinel = seeded(async |store| {
        let would_deny = |key: &Fingerprint, count, at| Record { kind: EventKind::WouldDeny, ..denied(key, count, at) };
        for key in [&owned, &given, &banned, &old] {
            bind(store, key.clone(), OWNER, ago(hours(40))).await;
        }
        let elsewhere =
            Record { network: Some("192.0.2.1".parse().unwrap()), ..would_deny(&owned, 2, ago(hours(7) / 2)) };
        let records = vec![
            would_deny(&owned, 5, ago(hours(5) / 2)),
            elsewhere,
            denied(&owned, 100, ago(hours(3) / 2)),
            would_deny(&given, 7, ago(hours(2))),
            would_deny(&banned, 9, ago(hours(2))),
            would_deny(&old, 11, ago(hours(30))),
            would_deny(&crafted(9 << 96), 13, ago(hours(1))),
        ];
        append(store, records).await;
        change(store, &given, Action::Set(vec!["198.51.100.0/24".parse().unwrap()]), ago(hours(1))).await;
        change(store, &banned, Action::Ban { lasting: None, reason: None }, ago(hours(1))).await;
    })
    .await;
    let id = owned.digest.new_id();
    assert_eq!(
        says(&sentinel, &["bindings", "promote", "--dry-run"]),
        format!(
            "\
There are no observed keys to promote.
Other networks used 1 key with an owner in the last 24 hours; mode = \"enforce\" would deny these networks:
KEY                                 HINT       OWNER           DENIED           TIMES  LAST
{id}  sk-l…cdef  203.0.113.7/32  198.51.100.9/32      5  1h ago
{id}  sk-l…cdef  203.0.113.7/32  192.0.2.1/32         2  3h ago
For these keys: sentinel bindings set REF CIDR...
{THEN}"
        )
    );
    let document = json(&sentinel, &["bindings", "promote", "--dry-run"]);
    let refused = document["let_through"][0]["refused"].as_array().unwrap();
    assert_eq!((refused.len(), &refused[0]["would_deny"], &refused[0]["count"]), (2, &json!(5), &json!(100)));
    assert_eq!(document["let_through_cut"], json!(false));
    let csv = says(&sentinel, &["bindings", "promote", "--dry-run", "--output", "csv"]);
    assert!(csv.ends_with(&format!("{id},sk-l…cdef,let_through,203.0.113.7/32,,192.0.2.1/32,2\r\n")), "{csv}");
    says(&sentinel, &["bindings", "set", &id.to_string(), "0.0.0.0/0"]);
    assert_eq!(json(&sentinel, &["bindings", "promote", "--dry-run"])["let_through"], json!([]), "it is mended");
}

#[tokio::test]
async fn no_more_than_a_thousand_of_them_are_told_and_the_rest_is_said() {
    let sentinel = seeded(async |store| {
        let keys: Vec<_> = (1..=1001_u128).map(|number| crafted(number << 96)).collect();
        together(keys.iter().map(|key| bind(store, key.clone(), OWNER, ago(hours(9))))).await;
        let record = |key| Record { kind: EventKind::WouldDeny, ..denied(key, 1, ago(hours(1))) };
        append(store, keys.iter().map(record).collect()).await;
    })
    .await;
    let document = json(&sentinel, &["bindings", "promote", "--dry-run"]);
    assert_eq!((document["let_through"].as_array().unwrap().len(), &document["let_through_cut"]), (1000, &json!(true)));
    let shown = says(&sentinel, &["bindings", "promote", "--dry-run"]);
    assert!(shown.contains("\nOther networks used more than 1000 keys with an owner "), "{}", &shown[..200]);
}

//! What is listed: filters, order, pages.

use key_ip_sentinel::{
    admin::api::{ListAuditRequest, ListKeysRequest},
    domain::Timestamp,
    store::Action,
};

use crate::{
    Client, OWNER, ago, append, ask, bind, by_id, change, client_of, crafted, denied, fingerprint, hours, json, seeded,
};

const BAN: Action = Action::Ban { lasting: None, reason: None };

/// The first bytes of the listed ids, in their order.
async fn listed(api: &mut Client, request: ListKeysRequest) -> Vec<String> {
    let keys = api.list_keys(request).await.unwrap().into_inner().keys;
    keys.into_iter().map(|key| key.key_id[2..4].to_owned()).collect()
}

#[tokio::test]
async fn keys_are_listed_newest_first_and_by_every_filter() {
    let [a, b, c, d, e] = [0xa1_u128, 0xb2, 0xc3, 0xd4, 0xe5].map(|byte| crafted(byte << 120));
    let sentinel = seeded(async |store| {
        bind(store, a.clone(), OWNER, ago(hours(9))).await;
        bind(store, b.clone(), "2001:db8::/64", ago(hours(8))).await;
        bind(store, c.clone(), OWNER, ago(hours(7))).await;
        change(store, &b, Action::HandOver("10.0.0.0/8".parse().unwrap()), ago(hours(6))).await;
        change(store, &c, Action::Reserve, ago(hours(6))).await;
        change(store, &d, BAN, ago(hours(5))).await;
        change(store, &a, BAN, ago(hours(4))).await;
        let ended = Action::Ban { lasting: Some(hours(1)), reason: None };
        change(store, &e, ended, ago(hours(3))).await;
    })
    .await;
    let mut api = client_of(&sentinel).await;
    let all = ListKeysRequest::default;
    let state = |word: &str| ListKeysRequest { state: word.to_owned(), ..all() };
    let hint = |text: &str| ListKeysRequest { hint: text.to_owned(), ..all() };
    let network = |text: &str| ListKeysRequest { network: text.to_owned(), ..all() };
    for (request, ids) in [
        (all(), &["e5", "a1", "d4", "c3", "b2"][..]),
        (state("learned"), &["a1"]),
        (state("pinned"), &["c3", "b2"]),
        (ListKeysRequest { banned_only: true, ..all() }, &["a1", "d4"]),
        (ListKeysRequest { banned_only: true, ..state("pinned") }, &[]),
        (state("reserved"), &["c3"]),
        (hint("cdef"), &["e5", "a1", "d4", "c3", "b2"]),
        (ListKeysRequest { banned_only: true, ..hint("sk-l") }, &["a1", "d4"]),
        (hint("995y"), &[]),
        (hint("%%%"), &[]),
        (network(OWNER), &["a1"]),
        (network("10.0.0.0/8"), &["b2"]),
        (network("10.0.0.1"), &[]),
        (ListKeysRequest { limit: 2, ..all() }, &["e5", "a1"]),
        (ListKeysRequest { limit: 2, offset: 4, ..all() }, &["b2"]),
    ] {
        assert_eq!(listed(&mut api, request.clone()).await, ids, "{request:?}");
    }
    for (args, ids) in [
        (&["--state", "pinned"][..], &["c3", "b2"][..]),
        (&["--banned", "--network", OWNER], &["a1"]),
        (&["--state", "reserved", "--hint", "cdef"], &["c3"]),
        (&["--limit", "1", "--offset", "2"], &["d4"]),
    ] {
        let document = json(&sentinel, &[&["bindings", "list"], args].concat());
        let keys = document["keys"].as_array().unwrap();
        let seen: Vec<_> = keys.iter().map(|key| &key["key_id"].as_str().unwrap()[2..4]).collect();
        assert_eq!(seen, ids, "{args:?}");
        let states = keys.iter().map(|key| key["binding"]["state"].as_str().unwrap_or_default());
        let csv = ask(&sentinel, &[&["bindings", "list"], args, &["--output", "csv"]].concat()).out;
        assert!(csv.lines().skip(1).map(|row| row.split(',').nth(2).unwrap()).eq(states), "{args:?}: {csv}");
    }
}

#[tokio::test]
async fn audit_records_are_listed_newest_first_and_by_every_filter() {
    let (one, two) = (crafted(1 << 120), crafted(2 << 120));
    let sentinel = seeded(async |store| {
        bind(store, one.clone(), OWNER, ago(hours(9))).await;
        append(store, vec![denied(&one, 5, ago(hours(8))), denied(&two, 7, ago(hours(7)))]).await;
        change(store, &one, Action::Reserve, ago(hours(6))).await;
        change(store, &two, BAN, ago(hours(5))).await;
        change(store, &two, Action::Unban, ago(hours(4))).await;
    })
    .await;
    let mut api = client_of(&sentinel).await;
    let all = ListAuditRequest::default;
    let kind = |word: &str| ListAuditRequest { kind: word.to_owned(), ..all() };
    let key = |prefix: &str| ListAuditRequest { key: by_id(prefix), ..all() };
    let since = |time: Timestamp, within_ms| ListAuditRequest { since_ms: time.as_millis(), within_ms, ..all() };
    let half_past = |hour: i64| (2 * hour + 1) * 1_800_000;
    for (request, kinds) in [
        (all(), &["unban", "ban", "unbind", "denied", "denied", "first_use"][..]),
        (kind("denied"), &["denied", "denied"]),
        (kind("first_use"), &["first_use"]),
        (key("01000000"), &["unbind", "denied", "first_use"]),
        (key("k_020000000"), &["unban", "ban", "denied"]),
        (key("030000000"), &[]),
        (ListAuditRequest { kind: "ban".to_owned(), ..key("02000000") }, &["ban"]),
        (ListAuditRequest { limit: 2, ..all() }, &["unban", "ban"]),
        (since(ago(hours(5)), 0), &["unban", "ban"]),
        (ListAuditRequest { within_ms: half_past(6), ..all() }, &["unban", "ban", "unbind"]),
        (since(ago(hours(5)), half_past(6)), &["unban", "ban"]),
        (since(ago(hours(8)), half_past(6)), &["unban", "ban", "unbind"]),
    ] {
        let records = api.list_audit(request.clone()).await.unwrap().into_inner().records;
        let seen: Vec<_> = records.iter().map(|record| record.kind.as_str()).collect();
        assert_eq!(seen, kinds, "{request:?}");
    }
    for (args, kinds) in [
        (&["--kind", "denied", "--key", "02000000"][..], &["denied"][..]),
        (&["--since", "6h 30m", "--limit", "3"], &["unban", "ban", "unbind"]),
    ] {
        let document = json(&sentinel, &[&["audit", "list"], args].concat());
        let records = document["records"].as_array().unwrap();
        let seen: Vec<_> = records.iter().map(|record| record["kind"].as_str().unwrap()).collect();
        assert_eq!(seen, kinds, "{args:?}");
    }
}

#[tokio::test]
async fn the_audit_of_a_key_is_found_by_the_key_itself() {
    let sentinel = seeded(async |store| {
        change(store, &fingerprint(crate::KEY), BAN, ago(hours(2))).await;
        change(store, &crafted(7), BAN, ago(hours(1))).await;
    })
    .await;
    let document = json(&sentinel, &["audit", "list", "--key-file", "-"]);
    let records = document["records"].as_array().unwrap();
    assert_eq!((records.len(), records[0]["key_id"].as_str().unwrap()), (1, crate::id_of(crate::KEY).as_str()));
}

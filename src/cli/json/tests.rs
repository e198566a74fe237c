//! Snapshots of the JSON of every answer: once with all optional values, once without.

#[path = "../../../tests/common/snapshot.rs"]
mod snapshot;

use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::{
    admin::api::{
        AuditRecord, Ban, Binding, Candidate, ExplainedAddress, ExplainedCarrier, GetKeyResponse, GetStatusResponse,
        ImportKeysResponse, Key, Life, ListAuditResponse, ListKeysResponse, ListPeppersResponse, Pepper, PepperRows,
        PromoteEnd, RefusedNetwork, RotationResponse,
    },
    config,
    doctor::{Denials, Diagnosis, Setup},
};

const ID: &str = "k_0a1b2c3d000000000000000000000001";

fn text(text: &str) -> String {
    text.to_owned()
}

fn full_key() -> Key {
    Key {
        key_id: text(ID),
        hint: text("sk-l…cdef"),
        binding: Some(Binding {
            state: text("learned"),
            networks: vec![text("203.0.113.7/32"), text("2001:db8::/64")],
            created_at_ms: 1_767_225_600_123,
            open_until_ms: Some(1_767_225_600_000),
            expires_at_ms: Some(0),
        }),
        ban: Some(Ban {
            until_ms: Some(i64::MAX),
            reason: text("leaked \"in a log\""),
            actor: text("uid:0"),
            created_at_ms: -1,
            in_force: true,
        }),
        life: Some(Life { used_at_ms: Some(1), refused_at_ms: Some(2), note: text("日本") }),
        candidates: vec![Candidate { network: text("203.0.113.9/32"), first_at_ms: 3 }],
    }
}

/// A reserved key whose parts are all present and empty.
fn bare_key() -> Key {
    let binding = Some(Binding { state: text("pinned"), ..Binding::default() });
    let (ban, life) = (Some(Ban { actor: text("uid:0"), ..Ban::default() }), Some(Life::default()));
    Key { key_id: text(ID), binding, ban, life, ..Key::default() }
}

fn denied_network() -> RefusedNetwork {
    RefusedNetwork { network: text("198.51.100.1/32"), count: 4, last_at_ms: 5, would_deny: 6 }
}

fn full_record() -> AuditRecord {
    AuditRecord {
        kind: text("denied"),
        reason: text("ip_mismatch"),
        key_id: text(ID),
        network: text("198.51.100.1/32"),
        count: u64::MAX,
        first_at_ms: 1,
        last_at_ms: 2,
        actor: text("uid:0"),
        decision_id: text("00000000000000000000000000000001"),
        detail: text("networks 203.0.113.7/32 -> reserved"),
        record: 17,
        undoable: true,
    }
}

fn keys() -> [(&'static str, Vec<Value>); 3] {
    let unknown = Key { key_id: text(ID), ..Key::default() };
    let seen = Key { candidates: full_key().candidates, ..unknown.clone() };
    let change = ChangeResponse {
        key: Some(full_key()),
        before: Some(seen.clone()),
        revision: 9,
        refused: vec![denied_network()],
        now_ms: 10,
        in_effect: true,
        record: 17,
        detail: text("changed"),
    };
    let listed = ListKeysResponse { keys: vec![full_key(), bare_key(), seen, unknown], now_ms: 7 };
    let one_key = GetKeyResponse { key: Some(full_key()), now_ms: 7, refused: vec![denied_network()] };
    [
        ("bindings_list", vec![message(&listed), message(&ListKeysResponse::default())]),
        ("bindings_show", vec![message(&one_key), message(&GetKeyResponse::default())]),
        ("change", vec![self::change(&change), self::change(&ChangeResponse::default())]),
    ]
}

fn moved() -> [(&'static str, Vec<Value>); 3] {
    let some = ImportKeysResponse {
        keys: 5,
        imported: 1,
        identical: 2,
        skipped: 2,
        skipped_key_ids: vec![text(ID)],
        other_realm: 3,
    };
    let end = PromoteEnd { bound: 1, reserved: 2, skipped: 3, in_effect: true, now_ms: 4, let_through_cut: true };
    let promoted_key = PromotedKey {
        key_id: text(ID),
        hint: text("sk-l…cdef"),
        outcome: text("bound"),
        networks: vec![text("203.0.113.7/32")],
        record: 18,
    };
    let bare = PromotedKey { key_id: text(ID), outcome: text("skipped"), ..PromotedKey::default() };
    let promotion = Promotion {
        dry_run: false,
        keys: vec![promoted_key, bare],
        let_through: vec![
            LetThroughKey { key: Some(full_key()), refused: vec![denied_network()] },
            LetThroughKey { key: Some(bare_key()), refused: Vec::new() },
        ],
        end,
    };
    let dry = Promotion { dry_run: true, keys: Vec::new(), let_through: Vec::new(), end: PromoteEnd::default() };
    [
        ("bindings_export", vec![exported(3, Path::new("keys.jsonl"))]),
        ("bindings_import", vec![message(&some), message(&ImportKeysResponse::default())]),
        ("bindings_promote", vec![promoted(&promotion), promoted(&dry)]),
    ]
}

fn server() -> [(&'static str, Vec<Value>); 5] {
    let count = Some(1);
    let full_status = GetStatusResponse {
        version: text("0.1.0"),
        pid: 7,
        uptime_ms: 61_000,
        serving: true,
        mode: text("enforce"),
        store: text("sqlite:sentinel.db"),
        applied_revision: 12,
        since_poll_ms: Some(13),
        pepper_id: text("0a1b2c3d"),
        realm: text("default"),
        learned: count,
        pinned: count,
        reserved: count,
        banned: count,
        provisional: count,
        observed: count,
        unwritable: text("its disk is full; free space on the disk that holds it"),
        archive_waits: text("the times of last use of this server are not written"),
    };
    let left = Some(PepperRows { bindings: 1, bans: 2, observed: 3, archived: 4 });
    let full_pepper =
        Pepper { id: text("0a1b2c3d"), state: text("retired"), listed: true, left, retired_at_ms: Some(5) };
    let bare_pepper = Pepper { id: text("ffffffff"), state: text("active"), ..Pepper::default() };
    let all = ListPeppersResponse { peppers: vec![full_pepper, bare_pepper], now_ms: 6 };
    let step = RotationResponse { revision: 1, in_effect: true, done: true, forgotten: 2, left, now_ms: 3 };
    let gap = AuditRecord { kind: text("gap"), ..AuditRecord::default() };
    let found = ListAuditResponse { records: vec![full_record(), gap.clone()], now_ms: 7 };
    let bare_status = GetStatusResponse {
        since_poll_ms: None,
        learned: None,
        pinned: None,
        reserved: None,
        banned: None,
        provisional: None,
        observed: None,
        unwritable: String::new(),
        archive_waits: String::new(),
        ..full_status.clone()
    };
    [
        ("status", vec![message(&full_status), message(&bare_status)]),
        ("pepper_list", vec![message(&all), message(&ListPeppersResponse::default())]),
        ("pepper_rotation", vec![message(&step), message(&RotationResponse::default())]),
        ("audit_list", vec![message(&found), message(&ListAuditResponse::default())]),
        ("audit_record", vec![message(&full_record()), message(&gap)]),
    ]
}

fn judged() -> [(&'static str, Vec<Value>); 2] {
    let address = ExplainedAddress {
        source: text("peer"),
        client: text("203.0.113.7"),
        written: text("::ffff:203.0.113.7"),
        how: text("the peer's address"),
    };
    let carrier = |form| ExplainedCarrier { carrier: text("authorization"), form, holds: text("key") };
    let allowed = ExplainResponse {
        address: Some(address.clone()),
        profile: text("generic"),
        carriers: vec![carrier(text("bearer")), carrier(String::new())],
        key: Some(full_key()),
        looked_up: true,
        allowed: true,
        reason: text("bound"),
        would_own: text("203.0.113.7/32"),
        now_ms: 8,
        mode: text("observe"),
        would_deny: true,
    };
    let unknown = ExplainedAddress { client: String::new(), written: String::new(), ..address };
    let denied = ExplainResponse {
        address: Some(unknown),
        profile: text("generic"),
        reason: text("client_ip_unknown"),
        mode: text("enforce"),
        ..ExplainResponse::default()
    };
    let config = config::load(None, []).unwrap();
    let (client_ip, credentials, callers) = (config.client_ip, config.credentials, config.listen.callers);
    let setup = Setup { client_ip, credentials, callers, check_deadline: config.settings.check_deadline };
    let denials = Denials { reason: text("client_ip_unknown"), count: 3, ago: Duration::from_secs(4) };
    let diagnosis = Diagnosis {
        source: text("peer"),
        header: String::new(),
        trusted_proxies: Vec::new(),
        trusted_hops: Vec::new(),
        profiles: setup.credentials.profiles().map(|profile| profile.name.to_string()).collect(),
        callers: text(setup.callers.as_str()),
        learned: 0,
        crowded: Vec::new(),
        denied: vec![denials],
    };
    let mut findings = Report::default();
    diagnosis.check(&setup, &mut findings);
    [
        ("explain", vec![explained(&allowed), explained(&denied)]),
        ("doctor", vec![report(&findings), report(&Report::default())]),
    ]
}

#[test]
fn the_json_of_every_answer() {
    let documents = keys().into_iter().chain(moved()).chain(server()).chain(judged());
    let text = |values: Vec<Value>| values.iter().map(|value| format!("{value:#}\n")).collect::<String>();
    let found: BTreeMap<_, _> = documents.map(|(name, values)| (format!("{name}.json"), text(values))).collect();
    snapshot::assert_snapshots("json", &found);
}

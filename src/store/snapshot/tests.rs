//! Rows that earlier versions stored are read, and the same bytes are written.

use super::*;
use crate::domain::{KeyDigest, PepperId};

/// Written by the version before the formats were derived from the domain's types.
const STORED: &str = include_str!("../../../tests/fixtures/format/audit_delta.jsonl");

const DIGEST: KeyDigest = KeyDigest::from_bytes([0xab; 32]);

fn key(hint: Option<&str>) -> Fingerprint {
    Fingerprint {
        digest: DIGEST,
        others: Vec::new(),
        pepper: PepperId::from_stored("0a1b2c3d".to_owned()),
        realm: "default".to_owned(),
        hint: hint.map(|hint| Hint::from_stored(hint.to_owned())),
    }
}

fn binding(hint: Option<&str>, state: State, networks: &[&str], times: [Option<i64>; 2]) -> Binding {
    let [open_until, expires_at] = times.map(|time| time.map(Timestamp::from_millis));
    Binding {
        id: DIGEST.new_id(),
        hint: key(hint).hint,
        state,
        networks: networks.iter().map(|network| network.parse().unwrap()).collect(),
        created_at: Timestamp::from_millis(1_767_225_600_123),
        open_until,
        expires_at,
    }
}

fn ban(hint: Option<&str>, until: Option<i64>, reason: Option<&str>) -> Ban {
    Ban {
        id: DIGEST.new_id(),
        hint: key(hint).hint,
        until: until.map(Timestamp::from_millis),
        reason: reason.map(str::to_owned),
        actor: "uid:0".to_owned(),
        created_at: Timestamp::from_millis(5),
    }
}

/// Every part, with and without what may be absent, in the order of the file.
fn deltas() -> Vec<Delta> {
    let hint = Some("sk-l…cdef");
    let learned = binding(hint, State::Learned, &["203.0.113.7/32"], [Some(7), None]);
    let provisional = binding(None, State::Provisional, &["2001:db8::/64"], [None, Some(-9)]);
    let pinned = binding(hint, State::Pinned, &["10.0.0.0/8", "2001:db8::/32"], [None, None]);
    let reserved = binding(hint, State::Pinned, &[], [None, None]);
    let bans = [ban(hint, Some(9), Some("leaked \"in a log\"\n")), ban(None, None, None)];
    let delta = |hint, part| Delta { key: key(hint), part };
    vec![
        delta(hint, Part::Binding(Transition { before: Some(learned), after: Some(reserved) })),
        delta(None, Part::Binding(Transition { before: Some(provisional), after: None })),
        delta(hint, Part::Binding(Transition { before: None, after: Some(pinned) })),
        delta(hint, Part::Ban(Transition { before: None, after: Some(bans[0].clone()) })),
        delta(None, Part::Ban(Transition { before: Some(bans[1].clone()), after: None })),
        delta(None, Part::Note(Transition { before: Some("the laptop".to_owned()), after: None })),
        delta(None, Part::Note(Transition { before: None, after: Some("日本".to_owned()) })),
    ]
}

#[test]
fn what_was_stored_is_read_and_written_again() {
    let written = deltas().iter().map(|delta| to_json(DIGEST.new_id(), delta).unwrap() + "\n").collect::<String>();
    assert_eq!(written, STORED);
    assert_eq!(STORED.lines().map(|line| from_json(line).unwrap()).collect::<Vec<_>>(), deltas());
}

#[test]
fn a_row_with_more_than_this_version_knows_is_read_and_one_that_is_damaged_is_not() {
    let row = STORED.lines().next().unwrap();
    let more = row.replace("{\"state\"", "{\"later\":1,\"state\"").replace("{\"digest\"", "{\"later\":1,\"digest\"");
    assert_eq!(from_json(&more).unwrap(), deltas()[0]);
    for (from, to) in
        [("ab\"", "\""), ("ab\"", "xx\""), ("learned", "lent"), ("113.7/32", "113.7/24"), ("k_", ""), ("}", "")]
    {
        assert!(matches!(from_json(&row.replacen(from, to, 1)), Err(StoreError::Corrupt(_))), "{from} {to}");
    }
}

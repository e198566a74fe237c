//! Values survive a round trip, and every other input is rejected.

use proptest::prelude::*;

use super::*;
use crate::domain::{Ban, Binding, Candidate, Hint, Network, Pepper, Peppers, State, Timestamp};

const DIGEST: KeyDigest = KeyDigest::from_bytes([9; 32]);
const HISTORY: HistoryId = HistoryId(7);

fn ring(peppers: &[u8], realm: &str) -> KeyRing {
    let peppers = peppers.iter().map(|byte| Pepper::new(&[*byte; 32]).unwrap()).collect();
    KeyRing::new(Peppers::new(peppers).unwrap(), realm, true)
}

fn written(ring: &KeyRing, reading: &Reading) -> Vec<u8> {
    Codec::new(ring).encode(&ring.active(), HISTORY, reading).unwrap()
}

fn reading() -> Reading {
    let binding = Binding {
        id: DIGEST.new_id(),
        hint: None,
        state: State::Learned,
        networks: vec!["203.0.113.7".parse().unwrap()],
        created_at: Timestamp::from_millis(5),
        open_until: None,
        expires_at: None,
    };
    Reading { facts: KeyFacts { binding: Some(binding), ..KeyFacts::default() }, as_of: Revision(3), digest: DIGEST }
}

/// The field names are a format: other processes read what this one writes.
#[test]
fn a_value_has_the_documented_layout() {
    let value = written(&ring(&[1], "default"), &reading());
    let id = Pepper::new(&[1; 32]).unwrap().id();
    assert_eq!(value[0], 1);
    assert_eq!(&value[1..9], id.as_str().as_bytes());
    assert_eq!(&value[9..17], 3_i64.to_be_bytes());
    let body = r#"{"binding":["k_09090909090909090909090909090909",{"state":"learned","networks":["203.0.113.7/32"],"created_at":5}]}"#;
    assert_eq!(std::str::from_utf8(&value[49..]).unwrap(), body);
}

/// Values of the version before the body was derived from the domain's types: with a binding, a ban, and both.
const CACHED: [&[u8]; 3] = [
    include_bytes!("../../../../tests/fixtures/format/redis_binding.bin"),
    include_bytes!("../../../../tests/fixtures/format/redis_ban.bin"),
    include_bytes!("../../../../tests/fixtures/format/redis_both.bin"),
];

#[test]
fn what_an_earlier_version_cached_is_read_and_written_again() {
    let times = |times: [i64; 2]| times.map(|time| Some(Timestamp::from_millis(time)));
    let [open_until, expires_at] = times([7, -9]);
    let binding = reading().facts.binding.unwrap();
    let wide = Binding {
        state: State::Provisional,
        networks: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/64".parse().unwrap()],
        open_until,
        expires_at,
        ..binding.clone()
    };
    let ban = Ban {
        id: DIGEST.new_id(),
        hint: None,
        until: None,
        reason: None,
        actor: "uid:0".to_owned(),
        created_at: Timestamp::from_millis(5),
    };
    let [until, _] = times([9, 0]);
    let reasoned = Ban { until, reason: Some("leaked \"in a log\"\n".to_owned()), ..ban.clone() };
    let facts = [(Some(binding), None), (None, Some(ban)), (Some(wide), Some(reasoned))];
    let ours = ring(&[1], "default");
    for ((binding, ban), cached) in facts.into_iter().zip(CACHED) {
        let reading = Reading { facts: KeyFacts { binding, ban, candidates: Vec::new() }, ..reading() };
        assert_eq!(written(&ours, &reading), cached);
        assert_eq!(Codec::new(&ours).decode(HISTORY, DIGEST, cached), Ok(reading));
    }
}

#[test]
fn only_the_key_it_was_written_for_reads_it() {
    let ours = ring(&[1], "default");
    let (codec, value) = (Codec::new(&ours), written(&ours, &reading()));
    assert_eq!(codec.decode(HISTORY, DIGEST, &value), Ok(reading()));
    assert_eq!(
        codec.decode(HISTORY, KeyDigest::from_bytes([8; 32]), &value),
        Err(DecodeError::Forged),
        "another key's"
    );
    assert_eq!(codec.decode(HistoryId(8), DIGEST, &value), Err(DecodeError::Forged), "another history's");
    let realm = Codec::new(&ring(&[1], "defaul"));
    assert_eq!(realm.decode(HISTORY, DIGEST, &value), Err(DecodeError::Forged), "another realm's");
    assert_eq!(Codec::new(&ring(&[2], "default")).decode(HISTORY, DIGEST, &value), Err(DecodeError::Foreign));
    assert_eq!(
        Codec::new(&ring(&[2, 1], "default")).decode(HISTORY, DIGEST, &value),
        Ok(reading()),
        "while both are listed"
    );
    // As if the pepper that is not listed had made it with the name of the listed one.
    let mut renamed = written(&ring(&[2], "default"), &reading());
    renamed[1..9].copy_from_slice(&value[1..9]);
    assert_eq!(codec.decode(HISTORY, DIGEST, &renamed), Err(DecodeError::Forged));
    assert_eq!(
        codec.decode(HISTORY, DIGEST, &[&[2], &value[1..]].concat()),
        Err(DecodeError::Foreign),
        "another version's"
    );
    assert_eq!(codec.decode(HISTORY, DIGEST, b""), Err(DecodeError::Forged));
}

#[test]
fn a_body_with_more_than_this_version_knows_is_not_read() {
    let ours = ring(&[1], "default");
    let codec = Codec::new(&ours);
    let body = |body: &str| {
        let (id, keyed) = &codec.keyed[0];
        let as_of = 3_i64.to_be_bytes();
        let mac = codec.input(keyed, HISTORY, &DIGEST, as_of, body.as_bytes()).finalize().into_bytes();
        let value = [&[1], id.as_str().as_bytes(), &as_of, &mac, body.as_bytes()].concat();
        codec.decode(HISTORY, DIGEST, &value).map(|reading| reading.facts)
    };
    let known = r#"{"ban":["k_09090909090909090909090909090909",{"actor":"uid:0","created_at":5}]}"#;
    assert!(body(known).unwrap().ban.is_some());
    for other in [
        known.replace(r#""actor""#, r#""but_not_in":"night","actor""#),
        known.replace(r#"{"ban""#, r#"{"more":1,"ban""#),
        known.replace("k_09", "k_"),
        known.replace(r#":5"#, r#":5.5"#),
        format!("{known} "),
        "[]".to_owned(),
        String::new(),
    ] {
        assert_eq!(body(&other), Err(DecodeError::Foreign), "{other}");
    }
}

#[test]
fn what_the_next_claim_could_change_is_not_shared() {
    let ours = ring(&[1], "default");
    let write = |facts: KeyFacts| Codec::new(&ours).encode(&ours.active(), HISTORY, &Reading { facts, ..reading() });
    assert_eq!(write(KeyFacts::default()), None);
    let candidate = Candidate { network: "203.0.113.7".parse().unwrap(), first_at: Timestamp::from_millis(1) };
    assert_eq!(write(KeyFacts { candidates: vec![candidate], ..KeyFacts::default() }), None);
    assert_eq!(write(KeyFacts { candidates: vec![candidate], ..reading().facts }), None);
}

fn facts() -> impl Strategy<Value = KeyFacts> {
    let millis = || any::<i64>().prop_map(Timestamp::from_millis);
    let v4 =
        (any::<u32>(), 0..=32_u8).prop_map(|(bits, length)| format!("{}/{length}", std::net::Ipv4Addr::from(bits)));
    let v6 =
        (any::<u128>(), 0..=128_u8).prop_map(|(bits, length)| format!("{}/{length}", std::net::Ipv6Addr::from(bits)));
    let network = prop_oneof![v4, v6].prop_filter_map("host bits", |text| text.parse::<Network>().ok());
    let id = || any::<[u8; 32]>().prop_map(|bytes| KeyDigest::from_bytes(bytes).new_id());
    let state = prop::sample::select(State::ALL.to_vec());
    let networks = prop::collection::vec(network, 0..4);
    let [open, expires] = [(); 2].map(|()| prop::option::of(millis()));
    let binding = (id(), state, networks, millis(), open, expires);
    let binding = binding.prop_map(|(id, state, networks, created_at, open_until, expires_at)| Binding {
        id,
        hint: Some(Hint::from_stored("sk-a…wxyz".to_owned())),
        state,
        networks,
        created_at,
        open_until,
        expires_at,
    });
    let ban = (id(), prop::option::of(millis()), prop::option::of(any::<String>()), any::<String>(), millis());
    let ban =
        ban.prop_map(|(id, until, reason, actor, created_at)| Ban { id, hint: None, until, reason, actor, created_at });
    (prop::option::of(binding), prop::option::of(ban))
        .prop_filter("shared", |(binding, ban)| binding.is_some() || ban.is_some())
        .prop_map(|(binding, ban)| KeyFacts { binding, ban, candidates: Vec::new() })
}

proptest! {
    /// Everything but the hint survives a round trip, and every flipped bit is detected.
    #[test]
    fn only_the_exact_value_is_decoded(
        facts in facts(), as_of: i64, history: u128, digest: [u8; 32], at: prop::sample::Index, bit in 0..8_u8, cut: prop::sample::Index,
    ) {
        let ours = ring(&[1, 2], "default");
        let (codec, history, digest) = (Codec::new(&ours), HistoryId(history), KeyDigest::from_bytes(digest));
        let mut reading = Reading { facts, as_of: Revision(as_of), digest };
        let mut value = codec.encode(&ours.active(), history, &reading).unwrap();
        prop_assert!(!value.windows(4).any(|found| found == b"wxyz"));
        if let Some(binding) = &mut reading.facts.binding {
            binding.hint = None;
        }
        prop_assert_eq!(codec.decode(history, digest, &value), Ok(reading));
        prop_assert!(codec.decode(history, digest, &value[..cut.index(value.len())]).is_err(), "cut off");
        let at = at.index(value.len());
        value[at] ^= 1 << bit;
        prop_assert!(codec.decode(history, digest, &value).is_err(), "bit {bit} of byte {at}");
    }

    #[test]
    fn arbitrary_bytes_are_rejected(value: Vec<u8>, version in 0..3_u8) {
        let ours = ring(&[1], "default");
        prop_assert!(Codec::new(&ours).decode(HISTORY, DIGEST, &value).is_err());
        let named = [&[version], ours.active().as_str().as_bytes(), &value].concat();
        prop_assert!(Codec::new(&ours).decode(HISTORY, DIGEST, &named).is_err());
    }
}

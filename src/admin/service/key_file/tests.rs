//! Reads files of earlier versions, and writes the same bytes.

use super::*;

/// Written by an earlier version, before the lines were derived with serde.
const EXPORTED: &str = include_str!("../../../../tests/fixtures/format/keys.jsonl");

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn peppers() -> Vec<(KnownPepper, bool)> {
    let pepper = |id: &str, byte| KnownPepper { id: id.parse().unwrap(), check_value: [byte; 32] };
    vec![(pepper("0a1b2c3d", 0x0a), true), (pepper("ffffffff", 0xff), false)]
}

fn exported(byte: u8, hint: Option<&str>, pepper: &str, realm: &str) -> ExportedKey {
    let digest = KeyDigest::from_bytes([byte; 32]);
    let hint = hint.map(|hint| Hint::from_stored(hint.to_owned()));
    let (pepper, realm) = (pepper.parse().unwrap(), realm.to_owned());
    let key = Fingerprint { digest, others: Vec::new(), pepper, realm, hint };
    let (facts, archive) = (KeyFacts::default(), Vec::new());
    let (used_at, refused_at, restored_at, note) = (None, None, None, None);
    ExportedKey { id: digest.new_id(), key, facts, used_at, refused_at, restored_at, note, archive }
}

fn networks(texts: &[&str]) -> Vec<Network> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn bound(key: ExportedKey, state: State, owners: &[&str], open: Option<i64>, expires: Option<i64>) -> ExportedKey {
    let binding = Binding {
        id: key.id,
        hint: key.key.hint.clone(),
        state,
        networks: networks(owners),
        created_at: at(1_767_225_600_123),
        open_until: open.map(at),
        expires_at: expires.map(at),
    };
    ExportedKey { facts: KeyFacts { binding: Some(binding), ..key.facts }, ..key }
}

fn banned(key: ExportedKey, until: Option<i64>, reason: Option<&str>) -> ExportedKey {
    let (id, hint) = (key.id, key.key.hint.clone());
    let (until, reason, actor) = (until.map(at), reason.map(str::to_owned), "uid:0".to_owned());
    let ban = Ban { id, hint, until, reason, actor, created_at: at(5) };
    ExportedKey { facts: KeyFacts { ban: Some(ban), ..key.facts }, ..key }
}

/// A key with all fields, and keys with as few fields as possible.
fn keys() -> Vec<ExportedKey> {
    let full = bound(
        exported(0x01, Some("sk-l…cdef"), "0a1b2c3d", "default"),
        State::Learned,
        &["10.0.0.0/8", "2001:db8::/64"],
        Some(7),
        None,
    );
    let mut full = banned(full, Some(9), Some("leaked \"in a log\""));
    (full.used_at, full.refused_at, full.note) = (Some(at(10)), Some(at(11)), Some("日本".to_owned()));
    full.restored_at = Some(at(12));
    let candidate = |text: &str, millis| Candidate { network: text.parse().unwrap(), first_at: at(millis) };
    full.facts.candidates = vec![candidate("203.0.113.7/32", 13), candidate("2001:db8:1::/64", 14)];
    let archived = |texts: &[&str], millis| ArchivedBinding {
        networks: networks(texts),
        created_at: at(millis),
        archived_at: at(millis + 1),
    };
    full.archive = vec![archived(&["192.0.2.1/32"], 1), archived(&[], 3)];
    let mut observed = exported(0x05, None, "ffffffff", "other");
    observed.facts.candidates = vec![candidate("203.0.113.9/32", 0)];
    let mut archived_only = exported(0x06, None, "ffffffff", "other");
    archived_only.archive = vec![archived(&["192.0.2.2/32"], 5)];
    vec![
        full,
        bound(exported(0x02, None, "0a1b2c3d", "default"), State::Provisional, &["203.0.113.8/32"], None, Some(8)),
        bound(exported(0x03, None, "0a1b2c3d", "default"), State::Pinned, &[], None, None),
        banned(exported(0x04, None, "0a1b2c3d", "default"), None, None),
        observed,
        archived_only,
    ]
}

#[test]
fn an_exported_file_is_read_and_written_unchanged() {
    let keys = keys();
    let lines = [header(at(1_767_225_600_000), &peppers())].into_iter().chain(keys.iter().map(key));
    assert_eq!(lines.chain([trailer(6)]).collect::<String>(), EXPORTED);
    let mut lines = EXPORTED.lines().map(str::as_bytes);
    let known = read_header(lines.next().unwrap()).unwrap();
    assert_eq!(known, peppers().into_iter().map(|(pepper, _)| pepper).collect::<Vec<_>>());
    for key in keys {
        let Line::Key(found) = read(lines.next().unwrap(), &known).unwrap() else { panic!("no key") };
        assert_eq!(*found, key);
    }
    let Line::End(6) = read(lines.next().unwrap(), &known).unwrap() else { panic!("no end") };
    assert_eq!(lines.next(), None);
}

/// Lines that were written by hand are accepted if they are unambiguous, and every error names its field.
#[test]
fn the_lines_of_keys_are_read_strictly() {
    let peppers: Vec<_> = peppers().into_iter().map(|(pepper, _)| pepper).collect();
    let whole = EXPORTED.lines().nth(1).unwrap();
    let read_key = |line: &str| match read(line.as_bytes(), &peppers) {
        Ok(Line::Key(key)) => Ok(*key),
        Ok(Line::End(keys)) => panic!("{keys} keys"),
        Err(fault) => Err(fault.to_string()),
    };
    let with = |from: &str, to: &str| {
        assert!(whole.contains(from), "{from}");
        read_key(&whole.replacen(from, to, 1))
    };
    let full = keys().remove(0);
    assert_eq!(with("{\"key_id\"", "{\"later\":null,\"key_id\""), Ok(full.clone()), "a null field is absent");
    assert_eq!(with("\"until_ms\":9,", "\"until_ms\":null,").unwrap().facts.ban.unwrap().until, None);
    assert_eq!(with(",\"hint\":\"sk-l…cdef\"", ",\"hint\":null").unwrap().key.hint, None);
    let last = with("\"used_at_ms\":10", "\"used_at_ms\":18446744073709551615").unwrap().used_at;
    assert_eq!(last, Some(at(253_402_300_799_999)), "the last time that the stores accept");
    let sorted = with("[\"10.0.0.0/8\",\"2001:db8::/64\"]", "[\"2001:db8::/64\",\"10.0.0.0/8\"]");
    assert_eq!(sorted, Ok(full), "in the order of the stores");
    for (from, to, expected) in [
        ("\"digest\":\"01", "\"digest\":\"0A", "digest: must be 64 lower-case hex digits"),
        ("\"digest\":\"01", "\"digest\":1,\"x\":\"", "digest: must be a string"),
        ("\"digest\":", "\"digesd\":", "digest: is missing"),
        ("\"pepper\":\"0a1b2c3d\"", "\"pepper\":\"0a1b2c3e\"", "pepper: is not one of the peppers in the first"),
        ("\"realm\":\"default\"", "\"realm\":null", "realm: is missing"),
        ("\"realm\":\"default\"", "\"realm\":\"\"", "realm: is empty"),
        ("\"realm\":\"default\"", "\"realm\":[\"default\"]", "realm: must be a string"),
        ("\"realm\":", "\"later\":1,\"realm\":", "has an unknown field"),
        ("\"used_at_ms\":", "\"later\":1,\"used_at_ms\":", "binding: has an unknown field"),
        ("\"first_at_ms\":14", "\"first_at_ms\":14,\"later\":1", "candidates[1]: has an unknown field"),
        ("\"binding\":{", "\"binding\":[],\"x\":{", "binding: must be an object"),
        ("\"used_at_ms\":10", "\"used_at_ms\":1.5", "binding.used_at_ms: must be a non-negative integer"),
        ("\"used_at_ms\":10", "\"used_at_ms\":-1", "binding.used_at_ms: must be a non-negative integer"),
        ("\"used_at_ms\":10", "\"used_at_ms\":\"10\"", "binding.used_at_ms: must be a non-negative integer"),
        ("\"networks\":[\"10.0.0.0/8\",", "\"networks\":[1,", "binding.networks[0]: must be a string"),
        ("\"networks\":[\"10.0.0.0/8\",", "\"networks\":[null,", "binding.networks[0]: must be a string"),
        (
            "\"networks\":[\"10.0.0.0/8\",",
            "\"networks\":[\"10.0.0.1/8\",",
            "binding.networks[0]: 10.0.0.1/8 has host bits",
        ),
        (
            "\"networks\":[\"10.0.0.0/8\",\"2001:db8::/64\"]",
            "\"networks\":\"10.0.0.0/8\"",
            "binding.networks: must be an array",
        ),
        ("\"candidates\":[{", "\"candidates\":[7,{", "candidates[0]: must be an object"),
        ("\"network\":\"203.0.113.7/32\"", "\"network\":\"here\"", "candidates[0].network: not an IP address or CIDR"),
        ("2001:db8:1::/64", "203.0.113.7/32", "candidates[1].network: is a duplicate"),
        ("\"network\":\"203.0.113.7/32\",", "", "candidates[0].network: is missing"),
        ("\"archived_at_ms\":4", "\"archived_at_ms\":null", "archived[1].archived_at_ms: is missing"),
        ("\"actor\":\"uid:0\"", "\"actor\":\"a\\nb\"", "ban.actor: must not contain control characters"),
        (
            "\"note\":\"日本\"",
            &format!("\"note\":\"{}\"", "x".repeat(201)),
            "binding.note: must have at most 200 characters",
        ),
        (
            "\"state\":\"learned\"",
            "\"state\":\"provisional\"",
            "binding.expires_at_ms: is required if state is provisional",
        ),
    ] {
        let error = with(from, to).unwrap_err();
        assert!(error.starts_with(expected), "{to}: {error}");
    }
    let banned_key = EXPORTED.lines().nth(4).unwrap();
    let empty = format!("{}}}", banned_key.split_once(",\"ban\"").unwrap().0);
    assert!(read_key(&empty).unwrap_err().starts_with("has neither binding nor ban"), "{empty}");
    for (line, expected) in [
        ("[]", "must be an object"),
        ("{\"keys\":-1}", "keys: must be a non-negative integer"),
        ("{\"keys\":1,\"x\":1}", "has an unknown field"),
    ] {
        let Err(error) = read(line.as_bytes(), &peppers) else { panic!("{line} was read") };
        assert!(error.to_string().starts_with(expected), "{line}: {error}");
    }
}

#[test]
fn the_first_line_is_read_strictly() {
    let first = EXPORTED.lines().next().unwrap();
    for (from, to, expected) in [
        ("\"version\":1", "\"version\":\"1\"", "version: must be a non-negative integer"),
        ("\"version\":1,", "", "version: is missing"),
        ("\"active\":true", "\"active\":1", "peppers[0].active: must be true or false"),
        ("\"active\":true", "\"active\":true,\"later\":1", "peppers[0]: has an unknown field"),
        ("\"id\":\"ffffffff\"", "\"id\":\"fffffffg\"", "peppers[1].id: must be 8 lower-case hex digits"),
        ("\"exported_at_ms\":1767225600000", "\"exported_at_ms\":null", "exported_at_ms: is missing"),
        ("\"peppers\":[", "\"later\":0,\"peppers\":[", "has an unknown field"),
        ("\"format\":\"key", "\"format\":\"no", "format: this is not a file of `sentinel bindings export`"),
        ("{", "", "this is not a file of `sentinel bindings export`"),
    ] {
        assert!(first.contains(from), "{from}");
        let error = read_header(first.replacen(from, to, 1).as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{to}: {error}");
    }
}

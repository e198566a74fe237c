//! Reads `vectors.tsv`.

use std::collections::HashSet;

use crate::{oracle::base64, realms::Realm};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    Key,
    Other,
    Malformed,
    Placeholder,
    Conflicting,
    None,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Vector {
    pub(crate) line: usize,
    pub(crate) realm: &'static Realm,
    pub(crate) verdict: Verdict,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) path: Vec<u8>,
    pub(crate) in_process_only: bool,
    /// As written, for messages.
    pub(crate) text: String,
}

const TABLE: &str = include_str!("vectors.tsv");

pub(crate) fn all() -> Vec<Vector> {
    let lines = TABLE.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(nth, line)| parse(nth + 1, line)).collect()
}

fn parse(line: usize, text: &str) -> Vector {
    let columns: Vec<&str> = text.split('\t').collect();
    let (&[realm, verdict, request, _rules], rest) =
        columns.split_first_chunk::<4>().unwrap_or_else(|| panic!("line {line}"));
    let realm = Realm::named(realm);
    let verdict = match verdict {
        "key" => Verdict::Key,
        "other" => Verdict::Other,
        "malformed" => Verdict::Malformed,
        "placeholder" => Verdict::Placeholder,
        "conflicting" => Verdict::Conflicting,
        "none" => Verdict::None,
        _ => panic!("line {line}: {verdict}"),
    };
    let (mut headers, mut path) = (Vec::new(), b"/".to_vec());
    for part in request.split(" ;; ") {
        match part.split_once(": ") {
            _ if part.starts_with('/') => path = bytes(realm, part),
            Some((name, value)) => headers.push((name.to_owned(), bytes(realm, value))),
            None => panic!("line {line}: {part}"),
        }
    }
    assert!(matches!(rest, [] | ["in-process"]), "line {line}");
    Vector { line, realm, verdict, headers, path, in_process_only: !rest.is_empty(), text: text.to_owned() }
}

/// The text with its keys and escapes filled in.
fn bytes(realm: &Realm, text: &str) -> Vec<u8> {
    let mut text = text
        .replace("{K}", realm.k)
        .replace("{L}", realm.l)
        .replace("{k}", &realm.k.to_lowercase())
        .replace("{^K}", &realm.k.to_uppercase())
        .replace("{K<}", &realm.k[..realm.k.len() - 1]);
    while let Some((before, rest)) = text.split_once("{K-") {
        let (prefix, after) = rest.split_once('}').unwrap();
        text = format!("{before}{}{after}", realm.k.strip_prefix(prefix).unwrap());
    }
    while let Some((before, rest)) = text.split_once("{B64 ") {
        let (plain, after) = rest.split_once('}').unwrap();
        text = format!("{before}{}{after}", base64(plain.as_bytes()));
    }
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = match (first, after) {
            (b'\\', [b't', tail @ ..]) => {
                bytes.push(b'\t');
                tail
            }
            (b'\\', [b'x', high, low, tail @ ..]) => {
                let digits = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                tail
            }
            _ => {
                bytes.push(first);
                after
            }
        };
    }
    bytes
}

#[test]
fn the_table_is_large_and_names_its_rules() {
    let vectors = all();
    assert!(vectors.len() >= 150, "{}", vectors.len());
    let declared: HashSet<&str> =
        TABLE.lines().filter_map(|line| line.strip_prefix("# rule ")?.split(' ').next()).collect();
    let mut used = HashSet::new();
    for vector in &vectors {
        for rule in vector.text.split('\t').nth(3).unwrap().split(' ') {
            assert!(declared.contains(rule), "line {}: no rule {rule}", vector.line);
            used.insert(rule);
        }
    }
    assert_eq!(declared, used, "a rule without a vector");
    let mut seen = HashSet::new();
    for vector in &vectors {
        assert!(seen.insert((vector.realm.name, &vector.headers, &vector.path)), "line {} is there twice", vector.line);
    }
    for realm in crate::realms::REALMS {
        let verdicts: HashSet<_> =
            vectors.iter().filter(|it| it.realm.name == realm.name).map(|it| it.verdict).collect();
        assert!(!verdicts.is_empty(), "{} has no vectors", realm.name);
    }
}

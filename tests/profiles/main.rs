//! Every profile against its table of vectors: in-process, and through a real Envoy in all ways in which it speaks.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on panics")]

#[path = "../common/mod.rs"]
mod common;
mod oracle;
mod paths;
mod properties;
mod realms;
mod routes;
mod upstreams;
mod vectors;
mod wire;

use common::Encoding;
use key_ip_sentinel::{
    credential::{Credentials, Fault, Header},
    domain::ApiKey,
};
use vectors::{Vector, Verdict};

/// The request's key, as Envoy would show the request in this encoding.
fn read(credentials: &Credentials, vector: &Vector, encoding: Encoding) -> Result<Option<ApiKey>, Fault> {
    let mut lines: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, value) in &vector.headers {
        // `authorization` is an inline header of Envoy's: joined in either encoding.
        let joined = encoding == Encoding::Joined || name == "authorization";
        match lines.iter_mut().find(|(earlier, _)| joined && earlier == name) {
            Some((_, earlier)) if !earlier.is_empty() => {
                earlier.push(b',');
                earlier.extend_from_slice(value);
            }
            Some((_, earlier)) => earlier.extend_from_slice(value),
            None => lines.push((name.clone(), value.clone())),
        }
    }
    let clean = |bytes: &[u8]| match encoding {
        Encoding::Raw => bytes.to_vec(),
        Encoding::Joined => {
            let chunks = bytes.utf8_chunks();
            chunks
                .flat_map(|it| [it.valid().to_owned(), "!".repeat(it.invalid().len())])
                .collect::<String>()
                .into_bytes()
        }
    };
    let lines: Vec<_> = lines.iter().map(|(name, value)| (name.as_str(), clean(value))).collect();
    let headers = lines.iter().map(|(name, value)| Header { name, value });
    credentials.key(&credentials.profile, headers, &clean(&vector.path))
}

#[test]
fn every_vector_in_process() {
    let mut wrong = Vec::new();
    for vector in vectors::all() {
        let credentials = vector.realm.credentials();
        let k = credentials.bare_key(&credentials.profile, vector.realm.k).unwrap();
        let l = credentials.bare_key(&credentials.profile, vector.realm.l).unwrap();
        assert_ne!(k, l, "{}", vector.realm.name);
        for encoding in Encoding::BOTH {
            let found = match read(&credentials, &vector, encoding) {
                Ok(Some(key)) if key == k => Verdict::Key,
                Ok(Some(_)) => Verdict::Other,
                Ok(None) => Verdict::None,
                Err(Fault::Malformed) => Verdict::Malformed,
                Err(Fault::Placeholder) => Verdict::Placeholder,
                Err(Fault::Conflicting) => Verdict::Conflicting,
            };
            if found != vector.verdict {
                wrong.push(format!("line {} {encoding:?}: {found:?}: {}", vector.line, vector.text));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

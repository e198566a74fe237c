//! The vectors through a real Envoy: HTTP/1.1 and HTTP/2, both header encodings, and what the upstream then got.

use std::collections::BTreeSet;

use key_ip_sentinel::credential::{Place, same_name};

use crate::{
    common::{
        Sentinel,
        envoy::{Envoy, EnvoyConfig},
        http_client::{Call, Version},
        upstream::{Head, Upstream},
    },
    oracle::{self, Allowed, CREDENTIAL_HEADERS},
    realms::Realm,
    vectors::{self, Vector, Verdict},
};

const OWNER: &str = "127.0.0.1";
const STRANGER: &str = "127.0.0.2";

/// A realm's Sentinel behind one Envoy.
struct Edge<'a> {
    envoy: Envoy,
    upstream: &'a Upstream,
    encoding: &'static str,
    /// Path without query, and the reason that the access log must give for it.
    expected: Vec<(String, String, &'static [&'static str])>,
}

/// Runs all vectors of one realm: its K belongs to 127.0.0.1.
pub(crate) async fn through_envoy(realm: &str) {
    let realm = Realm::named(realm);
    let sentinel = realm.home().on_unix_socket().start().await;
    let upstream = Upstream::start().await;
    let config = || EnvoyConfig::shipped().patient();
    for (encoding, config) in [("raw", config()), ("joined", config().joined_headers())] {
        let envoy = config.start(&sentinel, &upstream).await;
        let mut edge = Edge { envoy, upstream: &upstream, encoding, expected: Vec::new() };
        edge.own(realm).await;
        for version in Version::BOTH {
            for vector in vectors::all().iter().filter(|it| it.realm.name == realm.name && !it.in_process_only) {
                edge.run(vector, version).await;
            }
            edge.removes_what_it_does_not_read(realm, version).await;
        }
        edge.assert_log().await;
    }
    sentinel.assert_no_panic();
    assert_no_key_in_log(&sentinel, realm);
}

impl Edge<'_> {
    /// Makes 127.0.0.1 the owner of K, by the realm's first vector that shows it.
    async fn own(&self, realm: &Realm) {
        let all = vectors::all();
        let first = all.iter().find(|it| it.realm.name == realm.name && it.verdict == Verdict::Key).unwrap();
        let reply = self.call(first, Version::Http1, OWNER, "/claim").0.send().await;
        assert_eq!(reply.status, 200, "{}: {}", realm.name, reply.text());
        self.upstream.take();
    }

    /// The vector's request; paths that the table does not name are numbered, so that the log can be asked about each.
    fn call(&self, vector: &Vector, version: Version, from: &str, otherwise: &str) -> (Call, String) {
        let path = String::from_utf8(vector.path.clone()).unwrap();
        let path = if path == "/" { otherwise.to_owned() } else { path };
        let call = self.envoy.call(version, &path).from(from);
        let call = vector.headers.iter().fold(call, |call, (name, value)| call.header(name, value));
        (call, path)
    }

    async fn run(&mut self, vector: &Vector, version: Version) {
        let what = format!("{} {version:?} line {}: {}", self.encoding, vector.line, vector.text);
        for from in [STRANGER, OWNER] {
            let numbered = format!("/{version:?}/{}/{from}", vector.line);
            let (call, path) = self.call(vector, version, from, &numbered);
            let reply = call.send().await;
            let (status, reasons): (u16, &'static [&'static str]) = match (vector.verdict, from) {
                (Verdict::Key, OWNER) => (200, &["bound"]),
                (Verdict::Key, _) => (403, &["ip_mismatch"]),
                // The first of the two owns another key, and the other one is denied.
                (Verdict::Other, STRANGER) => (200, &["first_use", "bound"]),
                (Verdict::Other, _) => (403, &["ip_mismatch"]),
                (Verdict::Malformed | Verdict::Placeholder, _) => (401, &["malformed_key"]),
                (Verdict::Conflicting, _) => (400, &["conflicting_keys"]),
                (Verdict::None, _) => (401, &["no_key"]),
            };
            assert_eq!(reply.status, status, "{what}: {}", reply.text());
            if path == numbered {
                self.expected.push((numbered, what.clone(), reasons));
            }
            // Whatever the dialect, a denial's body has the reason's word.
            assert!(
                status == 200 || reasons.iter().any(|word| reply.text().contains(word)),
                "{what}: {}",
                reply.text()
            );
            if status == 401 {
                let says = reply.text().contains("it sent a placeholder");
                assert_eq!(says, vector.verdict == Verdict::Placeholder, "{what}: {}", reply.text());
            }
            let heads = self.upstream.take();
            if status == 200 {
                assert_eq!(heads.len(), 1, "{what}");
                self.assert_forwarded(vector, &heads[0], &path, &what);
            } else {
                assert!(heads.is_empty(), "{what}: a denied request reached the upstream");
            }
        }
    }

    /// What the profile reads arrives as it was sent; of the other credential headers nothing does.
    fn assert_forwarded(&self, vector: &Vector, head: &Head, path: &str, what: &str) {
        assert_eq!(head.path, path, "{what}");
        let profile = vector.realm.credentials().profile;
        let allowed = Allowed { foreign: vector.realm.foreign(), ..Allowed::default() };
        let kept = match allowed.foreign {
            [] => Vec::new(),
            _ => oracle::kept(profile.name, &vector.headers, &vector.path, &allowed),
        };
        for (name, value) in &vector.headers {
            let lines = head.lines(name);
            if kept.contains(&name.as_str()) {
                assert_eq!(lines, [trim(value)], "{what}: {name} is not what was sent");
            } else if profile.unread.iter().any(|unread| same_name(name, unread))
                || profile.name == "litellm" && name.len() > "authorization".len() && name.starts_with("authorization")
            {
                assert!(lines.is_empty(), "{what}: {name} was forwarded");
            } else {
                let value = trim(value);
                assert!(lines.iter().any(|line| contains(line, value)), "{what}: {name} is {lines:?}");
            }
        }
    }

    /// With the right key, each credential header that the profile does not read, in every spelling.
    async fn removes_what_it_does_not_read(&self, realm: &Realm, version: Version) {
        let credentials = realm.credentials();
        let all = vectors::all();
        let first = all.iter().find(|it| it.realm.name == realm.name && it.verdict == Verdict::Key).unwrap();
        let (mut call, path) = self.call(first, version, OWNER, "/removed");
        let mut sent = Vec::new();
        for name in CREDENTIAL_HEADERS {
            let is_read = |place| matches!(place, Place::Header(read) if same_name(read, name));
            if !credentials.profile.carriers.iter().any(|carrier| is_read(carrier.place)) {
                for spelling in spellings(name) {
                    call = call.header(&spelling, "sk-stolen-0123456789abcdef");
                    sent.push(spelling);
                }
            }
        }
        let reply = call.send().await;
        assert_eq!(reply.status, 200, "{}: {}", realm.name, reply.text());
        let heads = self.upstream.take();
        assert_eq!((heads.len(), heads[0].path.as_str()), (1, path.as_str()));
        for name in &sent {
            assert!(heads[0].lines(name).is_empty(), "{} {version:?}: {name} was forwarded", realm.name);
        }
        let all = format!("{:?}", heads[0].headers);
        assert!(!all.contains("sk-stolen"), "{} {version:?}: {all}", realm.name);
    }

    /// Each numbered request was decided for the reason that its vector gives.
    async fn assert_log(&self) {
        if let Some((last, ..)) = self.expected.last() {
            self.envoy.entry(last).await;
        }
        let entries = self.envoy.entries();
        for (path, what, reasons) in &self.expected {
            let entry = match entries.iter().find(|entry| entry["path"] == path.as_str()) {
                Some(entry) => entry.clone(),
                // Envoy's workers write in no order.
                None => self.envoy.entry(path).await,
            };
            assert!(reasons.iter().any(|reason| entry["reason"] == *reason), "{what}: {entry}");
        }
    }
}

/// Some of those that an upstream may read as `name`; each once.
fn spellings(name: &str) -> BTreeSet<String> {
    let other =
        [name.replace('-', "_"), name.replacen('-', "_", 1), name.replace(['-', '_'], "."), name.replace('-', "!")];
    other.into_iter().chain([name.to_owned()]).collect()
}

fn trim(value: &[u8]) -> &[u8] {
    let text = value.iter().position(|byte| !b" \t".contains(byte));
    let Some(start) = text else { return b"" };
    let end = value.iter().rposition(|byte| !b" \t".contains(byte)).unwrap();
    &value[start..=end]
}

/// Envoy joins the lines of an inline header, and HTTP/2 splits cookies.
fn contains(line: &[u8], value: &[u8]) -> bool {
    value.is_empty() || line.windows(value.len()).any(|part| part == value)
}

fn assert_no_key_in_log(sentinel: &Sentinel, realm: &Realm) {
    let log = sentinel.log();
    assert!(!log.contains(realm.k) && !log.contains(realm.l), "{}: a key is in the log", realm.name);
}

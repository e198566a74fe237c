//! The requests of real clients through the shipped file, each with the profiles that fit it: the key is the one that the
//! client was given.

use std::{collections::BTreeMap, fs};

use http::Method;
use key_ip_sentinel::credential::PROFILES;

use crate::common::{
    edge::Edge,
    envoy::EnvoyConfig,
    http_client::{Call, Version},
    sentinel,
};

const TABLE: &str = include_str!("clients.tsv");

/// A row of the table.
struct Client {
    line: usize,
    name: &'static str,
    profiles: Vec<&'static str>,
    method: Method,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    source: &'static str,
}

fn clients() -> Vec<Client> {
    let rows = TABLE.lines().enumerate().filter(|(_, row)| !row.starts_with('#'));
    let read = |(line, row): (usize, &'static str)| {
        let [name, profiles, request, headers, source] = row.split('\t').collect::<Vec<_>>()[..] else {
            panic!("line {}: five columns", line + 1)
        };
        let (method, path) = request.split_once(' ').unwrap();
        let headers = headers.split(" ;; ").map(|header| header.split_once(':').unwrap());
        let headers = headers.map(|(name, value)| (name, value.trim_start())).collect();
        let profiles = profiles.split(' ').collect();
        Client { line: line + 1, name, profiles, method: method.parse().unwrap(), path, headers, source }
    };
    rows.map(read).collect()
}

/// A key of this profile that no other row has.
fn key(profile: &str, line: usize) -> String {
    match profile {
        "generic" => format!("key-of-a-client-{line:08}"),
        "openai" => format!("sk-proj-{line:032}"),
        "anthropic" => format!("sk-ant-api03-{line:032}"),
        "azure-openai" => format!("{line:032x}"),
        "gemini" => format!("AIzaSy{line:033}"),
        "one-api" | "new-api" => format!("sk-{line:048}"),
        "litellm" => format!("sk-{line:022}"),
        other => panic!("{other}: no key"),
    }
}

/// The carrier of `profile` that has nothing but the key.
fn plainly(call: Call, profile: &str, key: &str) -> Call {
    match profile {
        "azure-openai" => call.header("api-key", key),
        "gemini" => call.header("x-goog-api-key", key),
        _ => call.key(key),
    }
}

impl Client {
    fn call(&self, edge: &Edge, version: Version, key: &str) -> Call {
        let path = self.path.replace("{K}", key);
        let call = edge.envoy.call(version, &path).method(self.method.clone());
        self.headers.iter().fold(call, |call, (name, value)| call.header(name, value.replace("{K}", key)))
    }

    async fn check(&self, edge: &Edge, profile: &str) {
        let what = format!("line {}: {} with {profile}", self.line, self.name);
        let key = key(profile, self.line);
        let reply = self.call(edge, Version::Http1, &key).from("127.0.0.1").send().await;
        assert_eq!(reply.status, 200, "{what}: {}", reply.text());
        let [head] = &edge.upstream.take()[..] else { panic!("{what}: one request") };
        assert_eq!(
            (head.method.as_str(), &head.path),
            (self.method.as_str(), &self.path.replace("{K}", &key)),
            "{what}"
        );
        // The client's network owns the key that the client was given, and no other text.
        for (from, status, reason) in [("127.0.0.1", 200, "bound"), ("127.0.0.2", 403, "ip_mismatch")] {
            let plain = format!("/plain/{profile}/{}/{from}", self.line);
            let reply = plainly(edge.envoy.get(&plain).from(from), profile, &key).send().await;
            assert_eq!(reply.status, status, "{what}: {}", reply.text());
            assert_eq!(edge.envoy.entry(&plain).await["reason"], reason, "{what}");
        }
        edge.upstream.take();
        // WebSockets are HTTP/1.1's.
        let is_upgrade = self.headers.iter().any(|(name, _)| *name == "upgrade");
        for version in Version::BOTH.into_iter().filter(|version| !is_upgrade || *version == Version::Http1) {
            let reply = self.call(edge, version, &key).from("127.0.0.2").send().await;
            assert_eq!(reply.status, 403, "{what}: {}", reply.text());
            assert!(reply.text().to_ascii_lowercase().contains("ip_mismatch"), "{what}: {}", reply.text());
        }
        assert!(edge.upstream.take().is_empty(), "{what}: another network reached the upstream");
    }
}

#[tokio::test]
async fn real_clients_pass_with_their_profile_and_another_network_does_not() {
    let mut by_profile: BTreeMap<&str, Vec<Client>> = BTreeMap::new();
    for profile in PROFILES {
        let of_profile = clients().into_iter().filter(|client| client.profiles.contains(&profile.name));
        by_profile.insert(profile.name, of_profile.collect());
    }
    let named: usize = clients().iter().map(|client| client.profiles.len()).sum();
    assert_eq!(by_profile.values().map(Vec::len).sum::<usize>(), named, "a profile that does not exist");
    for (profile, clients) in by_profile {
        assert!(!clients.is_empty(), "{profile}: no client");
        let home = sentinel().set("credentials.profile", &format!("\"{profile}\""));
        let edge = Edge::start(home, EnvoyConfig::shipped().patient()).await;
        for client in clients {
            client.check(&edge, profile).await;
        }
    }
}

/// The manual has the same rows, so that neither can change alone.
#[test]
fn the_manual_has_the_same_clients() {
    let manual = fs::read_to_string("docs/clients.md").unwrap();
    let rows: Vec<_> = clients().iter().map(manual_row).collect();
    let found: Vec<_> =
        manual.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| client ")).collect();
    assert_eq!(found, rows, "docs/clients.md must have these rows:\n{}\n", rows.join("\n"));
}

fn manual_row(client: &Client) -> String {
    let profiles = client.profiles.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let carriers = client.headers.iter().filter(|(_, value)| value.contains("{K}"));
    let in_headers = carriers.map(|(name, value)| format!("`{name}: {}`", value.replace("{K}", "KEY")));
    let in_path = client.path.contains("{K}").then(|| "`?key=KEY`".to_owned());
    let carriers = in_headers.chain(in_path).collect::<Vec<_>>().join(", ");
    let path = client.path.split('?').next().unwrap();
    format!("| {} | {profiles} | `{} {path}` | {carriers} | {} |", client.name, client.method, client.source)
}

//! In whose words a denial is told: the route's profile decides, whatever the reason.

use crate::common::{Check, Home, sentinel};

const OWNER: &str = "203.0.113.7";
const STRANGER: &str = "198.51.100.9";
const TEXT: &str = "Ask the service desk \u{1f511}, or \"Key-Team\".";
const URL: &str = "https://help.example/keys?lang=de&a=1";

/// A profile, the dialect of its denials, a key of its grammar, and a second one.
const PROFILES: [(&str, &str, &str, &str); 8] = [
    ("generic", "generic", "a-generic-key-0123456789", "another-generic-key-01"),
    ("openai", "openai", "sk-proj-0123456789abcdefghij", "sk-proj-9876543210abcdefghij"),
    ("anthropic", "anthropic", "sk-ant-api03-0123456789abcdef", "sk-ant-api03-9876543210abcdef"),
    ("azure-openai", "openai", "0123456789abcdef0123456789abcdef", "f123456789abcdef0123456789abcdef"),
    ("gemini", "google", "AIzaSy0123456789abcdefghijklmnopqrstuvw", "AIzaSyX123456789abcdefghijklmnopqrstuvw"),
    (
        "one-api",
        "openai",
        "sk-0123456789abcdefghijklmnopqrstuvwxyzabcdefghijkl",
        "sk-X123456789abcdefghijklmnopqrstuvwxyzabcdefghijkl",
    ),
    (
        "new-api",
        "openai",
        "sk-0123456789abcdefghijklmnopqrstuvwxyzabcdefghijkl",
        "sk-X123456789abcdefghijklmnopqrstuvwxyzabcdefghijkl",
    ),
    ("litellm", "openai", "sk-0123456789abcdefghijkl", "sk-X123456789abcdefghijkl"),
];

fn helpful() -> Home {
    sentinel().set("answers.help.text", &format!("'{TEXT}'")).set("answers.help.url", &format!("'{URL}'"))
}

/// What every denial of this dialect has, whatever its reason. `Told` has read the rest.
async fn assert_told(check: Check<'_>, dialect: &str, reason: &str) {
    let answer = check.send().await;
    assert_eq!(answer.reason(), reason, "{dialect}");
    let told = answer.told();
    assert_eq!(told.dialect, dialect, "{reason}: {}", answer.body());
    assert!(told.message.contains(TEXT) && told.message.contains(URL), "{dialect}: {}", told.message);
    let realm = if dialect == "generic" { "api" } else { dialect };
    let challenge = match reason {
        "no_key" => Some(format!("Bearer realm=\"{realm}\"")),
        "malformed_key" => Some(format!("Bearer realm=\"{realm}\", error=\"invalid_token\"")),
        _ => None,
    };
    assert_eq!(answer.header("www-authenticate").map(str::to_owned), challenge, "{dialect} {reason}");
    assert_eq!(answer.header("retry-after"), reason.starts_with("store").then_some("1"), "{dialect} {reason}");
    assert_eq!(answer.header("request-id").is_some(), dialect == "anthropic", "{dialect} {reason}");
    let body = answer.body();
    let help = match dialect {
        "generic" => &body["help"],
        "openai" => &body["error"]["help"],
        "anthropic" => &body["error"]["details"]["help"],
        _ => body["error"]["details"].as_array().unwrap().last().map(|detail| &detail["links"][0]).unwrap(),
    };
    let name = if dialect == "google" { "description" } else { "text" };
    assert_eq!(help, &serde_json::json!({ name: TEXT, "url": URL }), "{dialect} {reason}");
    if reason == "ip_mismatch" {
        assert_eq!(told.client_ip.as_deref(), Some(STRANGER), "{dialect}");
        let all = String::from_utf8_lossy(&answer.bytes()).into_owned();
        assert!(!all.contains("203.0.113"), "{dialect}: the owner's network is in the answer");
    }
}

#[tokio::test]
async fn every_profile_denies_in_its_dialect() {
    for (profile, dialect, key, other) in PROFILES {
        let sentinel = helpful().set("credentials.profile", &format!("\"{profile}\"")).start().await;
        let check = || sentinel.check().from(STRANGER);
        assert_eq!(sentinel.check().key(key).from(OWNER).send().await.reason(), "first_use", "{profile}");
        assert_told(check().key(key), dialect, "ip_mismatch").await;
        assert_told(check(), dialect, "no_key").await;
        assert_told(check().header("authorization", "Basic dXNlcjpwYXNz"), dialect, "malformed_key").await;
        let protocol = format!("openai-insecure-api-key.{other}");
        assert_told(check().key(key).header("sec-websocket-protocol", protocol), dialect, "conflicting_keys").await;
        assert_told(check().key(key).on_pipe("/run/client.sock"), dialect, "client_ip_unknown").await;
        assert_told(check().key(key).extension("sentinel.x", "1"), dialect, "malformed_request").await;
        let _lock = sentinel.lock_store().await;
        assert_told(check().key(other), dialect, "store_unavailable").await;
    }
}

#[tokio::test]
async fn the_routes_profile_decides_and_the_configured_one_where_none_is_known() {
    let routes = "[\"openai\", \"anthropic\", \"gemini\"]";
    let home = helpful().set("credentials.profile", "\"generic\"").set("credentials.route_profiles", routes);
    let sentinel = home.start().await;
    for (profile, dialect, key, _) in PROFILES.into_iter().filter(|(name, ..)| routes.contains(name)) {
        let check = || sentinel.check().from(STRANGER).extension("sentinel.profile", profile);
        assert_eq!(check().key(key).from(OWNER).send().await.reason(), "first_use", "{profile}");
        assert_told(check().key(key), dialect, "ip_mismatch").await;
        assert_told(check(), dialect, "no_key").await;
        assert_told(check().on_pipe("/run/client.sock"), dialect, "client_ip_unknown").await;
        assert_told(check().extension("sentinel.x", "1"), "generic", "malformed_request").await;
    }
    let refused = sentinel.check().from(STRANGER).extension("sentinel.profile", "new-api");
    assert_told(refused, "generic", "malformed_request").await;
}

#[tokio::test]
async fn a_custom_profile_speaks_the_dialect_that_it_names() {
    for (named, dialect) in [("", "generic"), ("openai", "openai"), ("anthropic", "anthropic"), ("google", "google")] {
        let mut home = helpful()
            .set("credentials.profile", "\"acme\"")
            .set("credentials.custom.acme.carriers", "[\"header x-acme-key bare\"]");
        if !named.is_empty() {
            home = home.set("credentials.custom.acme.dialect", &format!("\"{named}\""));
        }
        let sentinel = home.start().await;
        assert_told(sentinel.check().from(STRANGER), dialect, "no_key").await;
        let answer = sentinel.check().from(STRANGER).header("x-acme-key", "short").send().await;
        assert!(!String::from_utf8_lossy(&answer.bytes()).contains("acme"), "the operator's own name for it is told");
    }
}

#[tokio::test]
async fn the_longest_help_is_told_whole() {
    for (profile, dialect, ..) in PROFILES {
        let (text, url) = ("\u{1f511}".repeat(500), format!("https://h.example/{}", "x".repeat(482)));
        let home = sentinel()
            .set("credentials.profile", &format!("\"{profile}\""))
            .set("answers.help.text", &format!("'{text}'"))
            .set("answers.help.url", &format!("'{url}'"));
        let told = home.start().await.check().from(STRANGER).send().await.told();
        assert_eq!(told.dialect, dialect);
        assert!(told.message.contains(&text) && told.message.contains(&url));
    }
}

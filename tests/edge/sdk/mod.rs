//! The vendors' own Python clients against a real Envoy and Sentinel: each raises its own typed error, and our words,
//! our code and the help are in it.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use crate::common::{Home, edge::Edge, envoy::EnvoyConfig, sentinel};
use serde_json::{Value as Json, json};

const OWNER: &str = "127.0.0.1";
const ATTACKER: &str = "127.0.0.2";
const TEXT: &str = "Ask the service desk for room \u{1f511} 7.";
const URL: &str = "https://help.example/keys?lang=de";

/// A vendor's client, a profile, two keys that it accepts and that no other test uses.
#[derive(Clone, Copy)]
struct Client {
    vendor: &'static str,
    profile: &'static str,
    key: &'static str,
    other: &'static str,
}

const OPENAI: Client = Client {
    vendor: "openai",
    profile: "openai",
    key: "sk-proj-0123456789abcdefghij",
    other: "sk-proj-9876543210abcdefghij",
};
const ANTHROPIC: Client = Client {
    vendor: "anthropic",
    profile: "anthropic",
    key: "sk-ant-api03-0123456789abcdef",
    other: "sk-ant-api03-9876543210abcdef",
};
const GOOGLE: Client = Client {
    vendor: "google",
    profile: "gemini",
    key: "AIzaSy0123456789abcdefghijklmnopqrstuvw",
    other: "AIzaSyX123456789abcdefghijklmnopqrstuvw",
};

impl Client {
    fn home(self) -> Home {
        sentinel()
            .set("credentials.profile", &format!("\"{}\"", self.profile))
            .set("answers.help.text", &format!("'{TEXT}'"))
            .set("answers.help.url", &format!("'{URL}'"))
    }

    async fn edge(self) -> Edge {
        let edge = Edge::start(self.home(), EnvoyConfig::shipped().patient()).await;
        edge.claim(self.key).await;
        edge
    }

    /// Lets the client make these calls, and returns what it raised for each.
    async fn call(self, edge: &Edge, calls: &[Json]) -> Vec<Json> {
        let order = json!({ "base_url": format!("http://{}", edge.envoy.address()), "calls": calls });
        let vendor = self.vendor;
        // The servers of the test run on this thread's runtime.
        tokio::task::spawn_blocking(move || run(vendor, &order)).await.unwrap()
    }
}

fn run(vendor: &str, order: &Json) -> Vec<Json> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".tools/sdk/bin/python");
    assert!(python.exists(), "no official clients in {}: run `make setup`", python.display());
    let mut command = Command::new(python);
    // No proxy, no base URL and no key of the machine's environment; `-I`: nor any of its packages.
    command.env_clear().arg("-I").arg(root.join("tests/edge/sdk/clients.py")).arg(vendor);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(order.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{vendor}: the client's program failed (is `make setup` done?):\n{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn call(key: &str, from: &str) -> Json {
    json!({ "key": key, "from": from, "second_key": null, "stream": false })
}

fn with(mut call: Json, name: &str, value: impl Into<Json>) -> Json {
    call[name] = value.into();
    call
}

/// A client's outcome in words that are common to the three.
struct Raised<'a> {
    /// The classes, by the package that exports them; the error is of each.
    classes: &'a [&'static str],
    status: u16,
    code: &'a str,
    /// The beginning of our sentence.
    sentence: &'a str,
    client_ip: &'a str,
}

/// What the user of any of the three sees, in the exception's own text.
fn assert_raised(outcome: &Json, expected: &Raised) {
    let classes: Vec<_> = outcome["raised"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    for class in expected.classes {
        assert!(classes.contains(class), "{class} is not among {classes:?}: {outcome:#}");
    }
    let text = outcome["text"].as_str().unwrap();
    for part in [expected.sentence, TEXT, URL, expected.code, expected.client_ip] {
        assert!(text.contains(part), "{part:?} is not in the exception's text: {text}");
    }
    let status = if outcome["status_code"].is_null() { &outcome["code"] } else { &outcome["status_code"] };
    assert_eq!(status, expected.status, "{outcome:#}");
}

const MISMATCH: &str = "This API key belongs to another network and does not work from this address.";
const NO_KEY_OF_OURS: &str = "The request's credentials are not an API key of this service.";
const TWO_KEYS: &str = "The request contains more than one API key";
const IN_TIME: &str = "The API key could not be checked in time.";

/// Calls that are answered 401, 403, 403 (streamed), 400 and, with the store lost, 503; each with code and sentence.
async fn outcomes(client: Client) -> Vec<(Json, u16, &'static str, &'static str)> {
    let edge = client.edge().await;
    let calls = [
        call("wrong-text", ATTACKER),
        call(client.key, ATTACKER),
        with(call(client.key, ATTACKER), "stream", true),
        with(call(client.key, ATTACKER), "second_key", client.other),
    ];
    let mut raised = client.call(&edge, &calls).await;
    let lost = {
        let _lock = edge.sentinel.lock_store().await;
        client.call(&edge, &[call(client.other, ATTACKER)]).await
    };
    raised.extend(lost);
    assert!(edge.upstream.take().is_empty(), "a denied request reached the upstream");
    let expected = [
        (401, "malformed_key", NO_KEY_OF_OURS),
        (403, "ip_mismatch", MISMATCH),
        (403, "ip_mismatch", MISMATCH),
        (400, "conflicting_keys", TWO_KEYS),
        (503, "store_unavailable", IN_TIME),
    ];
    assert_eq!(raised.len(), expected.len());
    // Retries are off, so each call was one request.
    crate::common::eventually("envoy logs one request a call", async || {
        let denied = edge.envoy.entries().into_iter().filter(|entry| entry["decision"] == "deny").count();
        assert!(denied <= expected.len(), "more requests than calls");
        (denied == expected.len()).then_some(())
    })
    .await;
    raised.into_iter().zip(expected).map(|(outcome, (status, code, said))| (outcome, status, code, said)).collect()
}

#[tokio::test]
async fn openai_raises_its_own_errors() {
    for (outcome, status, code, sentence) in outcomes(OPENAI).await {
        let (class, kind) = match status {
            400 => ("openai.BadRequestError", "invalid_request_error"),
            401 => ("openai.AuthenticationError", "authentication_error"),
            403 => ("openai.PermissionDeniedError", "permission_error"),
            _ => ("openai.InternalServerError", "server_error"),
        };
        let classes = &[class, "openai.APIStatusError"];
        assert_raised(&outcome, &Raised { classes, status, code, sentence, client_ip: ATTACKER });
        assert_eq!((&outcome["code"], &outcome["type"]), (&code.into(), &kind.into()), "{outcome:#}");
        assert_eq!(outcome["param"], Json::Null);
        assert_eq!(outcome["body"]["client_ip"], ATTACKER);
        assert_eq!(outcome["body"]["help"], json!({ "text": TEXT, "url": URL }));
    }
}

#[tokio::test]
async fn anthropic_raises_its_own_errors() {
    for (outcome, status, code, sentence) in outcomes(ANTHROPIC).await {
        let (class, kind) = match status {
            400 => ("anthropic.BadRequestError", "invalid_request_error"),
            401 => ("anthropic.AuthenticationError", "authentication_error"),
            403 => ("anthropic.PermissionDeniedError", "permission_error"),
            _ => ("anthropic.ServiceUnavailableError", "api_error"),
        };
        let classes = &[class, "anthropic.APIStatusError"];
        assert_raised(&outcome, &Raised { classes, status, code, sentence, client_ip: ATTACKER });
        assert_eq!((&outcome["error_code"], &outcome["type"]), (&code.into(), &kind.into()), "{outcome:#}");
        assert!(outcome["api_message"].as_str().unwrap().starts_with(sentence), "{outcome:#}");
        // The decision's id, which an operator finds in the audit.
        assert_eq!(outcome["request_id"], outcome["body"]["request_id"]);
        assert_eq!(outcome["request_id"].as_str().unwrap().len(), 32, "{outcome:#}");
    }
}

#[tokio::test]
async fn google_genai_raises_its_own_errors() {
    for (outcome, status, code, sentence) in outcomes(GOOGLE).await {
        let (class, word) = match status {
            400 => ("google.ClientError", "INVALID_ARGUMENT"),
            401 => ("google.ClientError", "UNAUTHENTICATED"),
            403 => ("google.ClientError", "PERMISSION_DENIED"),
            _ => ("google.ServerError", "UNAVAILABLE"),
        };
        let classes = &[class, "google.APIError"];
        assert_raised(&outcome, &Raised { classes, status, code, sentence, client_ip: ATTACKER });
        assert_eq!((&outcome["status"], &outcome["code"]), (&word.into(), &status.into()), "{outcome:#}");
        assert!(outcome["message"].as_str().unwrap().starts_with(sentence), "{outcome:#}");
        assert_eq!(outcome["details"]["error"]["details"][0]["reason"], code.to_uppercase());
    }
}

/// New API and LiteLLM serve all three vendors' clients under one profile, whose dialect is OpenAI's.
#[tokio::test]
async fn a_gateway_of_many_vendors_answers_every_client_with_a_typed_error_and_the_message() {
    const KEY: &str = "sk-0123456789abcdefghijklmnopqrstuvwxyzabcdefghijkl";
    let gateway = |client: Client| Client { profile: "new-api", key: KEY, ..client };
    let edge = gateway(OPENAI).edge().await;
    for (client, class) in [
        (OPENAI, "openai.PermissionDeniedError"),
        (ANTHROPIC, "anthropic.PermissionDeniedError"),
        (GOOGLE, "google.ClientError"),
    ] {
        let outcome = gateway(client).call(&edge, &[call(KEY, ATTACKER)]).await.remove(0);
        let (status, code, sentence) = (403, "ip_mismatch", MISMATCH);
        assert_raised(&outcome, &Raised { classes: &[class], status, code, sentence, client_ip: ATTACKER });
    }
    assert!(edge.upstream.take().is_empty());
}

/// The same clients with the same keys from the owner's address are allowed: the requests above were decided by their keys.
#[tokio::test]
async fn the_owners_calls_reach_the_upstream() {
    for client in [OPENAI, ANTHROPIC, GOOGLE] {
        let edge = client.edge().await;
        // The upstream's answer is no model's, whatever the client makes of that.
        client.call(&edge, &[call(client.key, OWNER)]).await;
        assert_eq!(edge.upstream.take().len(), 1, "{}", client.vendor);
    }
}

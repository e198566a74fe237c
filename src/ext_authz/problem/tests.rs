use serde_json::{Value, json};

use super::*;

const DIALECTS: [Dialect; 4] = [Dialect::Generic, Dialect::OpenAi, Dialect::Anthropic, Dialect::Google];

fn rendered(dialect: Dialect, status: i32, reason: Reason, ip: Option<&str>, help: &Help) -> Value {
    let status = DenialStatus::of(status);
    let problem = Problem {
        status,
        retry_after: status.retry_after,
        reason,
        detail: "What happened.",
        decision_id: ID,
        client_ip: ip,
        help,
    };
    let (body, media_type) = problem.render(dialect);
    assert_eq!(media_type == "application/problem+json", dialect == Dialect::Generic);
    serde_json::from_str(&body).unwrap()
}

fn help() -> Help {
    Help { text: Some("Ask the service desk.".into()), url: Some("https://help.example/keys".into()) }
}

const ID: &str = "00000000000000000000000000000007";

#[test]
fn every_dialect_in_full() {
    let all = |dialect| rendered(dialect, 403, Reason::IpMismatch, Some("2001:db8::7"), &help());
    let members = json!({ "text": "Ask the service desk.", "url": "https://help.example/keys" });
    let advice = "What happened. Ask the service desk. https://help.example/keys";
    let message = format!("{advice} (ip_mismatch, seen from 2001:db8::7, decision {ID})");
    assert_eq!(
        all(Dialect::Generic),
        json!({
            "type": "about:blank", "title": "Forbidden", "status": 403, "detail": advice, "code": "ip_mismatch",
            "decision_id": ID, "client_ip": "2001:db8::7", "help": members,
        })
    );
    assert_eq!(
        all(Dialect::OpenAi),
        json!({ "error": {
            "message": message, "type": "permission_error", "param": null, "code": "ip_mismatch",
            "decision_id": ID, "client_ip": "2001:db8::7", "help": members,
        } })
    );
    assert_eq!(
        all(Dialect::Anthropic),
        json!({
            "type": "error",
            "error": {
                "type": "permission_error", "message": message,
                "details": { "error_code": "ip_mismatch", "client_ip": "2001:db8::7", "help": members },
            },
            "request_id": ID,
        })
    );
    assert_eq!(
        all(Dialect::Google),
        json!({ "error": {
            "code": 403, "message": message, "status": "PERMISSION_DENIED",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "IP_MISMATCH",
                    "domain": "key-ip-sentinel",
                    "metadata": { "code": "ip_mismatch", "decision_id": ID, "client_ip": "2001:db8::7" },
                },
                { "@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": ID },
                {
                    "@type": "type.googleapis.com/google.rpc.Help",
                    "links": [{ "description": "Ask the service desk.", "url": "https://help.example/keys" }],
                },
            ],
        } })
    );
}

#[test]
fn unknown_and_unset_members_are_absent() {
    let none = Help::default();
    for dialect in DIALECTS {
        let text = rendered(dialect, 400, Reason::MalformedRequest, None, &none).to_string();
        for absent in ["client_ip", "seen from", "help", "Help", "links", "RetryInfo"] {
            assert!(!text.contains(absent), "{dialect:?}: {absent} in {text}");
        }
    }
    let only_text = Help { text: Some("Ask.".into()), url: None };
    let google = rendered(Dialect::Google, 503, Reason::StoreUnavailable, None, &only_text);
    assert_eq!(google["error"]["details"][2]["retryDelay"], "1s");
    assert_eq!(google["error"]["details"][3]["links"], json!([{ "description": "Ask." }]));
    assert_eq!(rendered(Dialect::Generic, 403, Reason::KeyBanned, None, &only_text)["help"], json!({ "text": "Ask." }));
}

#[test]
fn every_status_has_its_name_in_every_dialect() {
    for (status, title, openai, anthropic, google) in [
        (400, "Bad Request", "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
        (401, "Unauthorized", "authentication_error", "authentication_error", "UNAUTHENTICATED"),
        (403, "Forbidden", "permission_error", "permission_error", "PERMISSION_DENIED"),
        (429, "Too Many Requests", "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"),
        (503, "Service Unavailable", "server_error", "api_error", "UNAVAILABLE"),
    ] {
        let body = |dialect| rendered(dialect, status, Reason::KeyBanned, None, &Help::default());
        assert_eq!(
            (&body(Dialect::Generic)["title"], &body(Dialect::Generic)["status"]),
            (&json!(title), &json!(status))
        );
        assert_eq!(body(Dialect::OpenAi)["error"]["type"], openai);
        assert_eq!(body(Dialect::Anthropic)["error"]["type"], anthropic);
        assert_eq!(body(Dialect::Google)["error"]["status"], google);
        assert_eq!(body(Dialect::Google)["error"]["code"], status);
        assert_ne!(DenialStatus::of(status).grpc_code, 0);
    }
    assert_eq!(DenialStatus::of(200).status, 503, "a status that is not in the table still denies");
}

/// Envoy truncates a body that is longer than `max_denied_response_body_bytes` of the shipped files, which breaks JSON.
#[test]
fn the_longest_help_leaves_every_body_below_8_kib() {
    for character in ['\u{10ffff}', '"', '\\', 'é'] {
        let url = format!("https://h.example/{}", "&".repeat(482));
        let help = Help { text: Some(character.to_string().repeat(500)), url: Some(url) };
        for dialect in DIALECTS {
            for (status, reason) in [(503, Reason::DeadlineExceeded), (403, Reason::UnclaimableNetwork)] {
                let detail = "x".repeat(200);
                let client_ip = Some("2001:db8:1111:2222:3333:4444:5555:6666");
                let (status, retry_after, decision_id) = (DenialStatus::of(status), Some(u64::MAX), ID);
                let problem =
                    Problem { status, retry_after, reason, detail: &detail, decision_id, client_ip, help: &help };
                let (body, _) = problem.render(dialect);
                assert!(body.len() < 8192, "{dialect:?}: {} bytes", body.len());
                serde_json::from_str::<Value>(&body).unwrap();
            }
        }
    }
}

//! The only maker of `CheckResponse`.
//!
//! An empty message, a zero `status.code`, or a gRPC error under `failure_mode_allow` all mean *allow* to Envoy, so
//! nothing outside this file may build one: an allow needs a [`Permit`], everything else carries a non-zero status.

use std::net::IpAddr;

use envoy_types::pb::{
    envoy::{
        config::core::v3::{HeaderValue, HeaderValueOption, header_value_option::HeaderAppendAction},
        service::auth::v3::{CheckResponse, DeniedHttpResponse, OkHttpResponse, check_response::HttpResponse},
        r#type::v3::HttpStatus,
    },
    google::{
        protobuf::{BoolValue, Struct, Value, value::Kind},
        rpc::Status,
    },
};
use serde::Serialize;

use super::Answer;
use crate::{
    domain::{ClientIp, KeyId, Reason, event::DecisionId},
    engine::{Decision, Denial, Permit},
};

/// Request headers that only Sentinel may set. This version sets none; a client's own never reach the upstream.
const OWNED: [&str; 1] = ["x-sentinel-key-id"];

/// Envoy's answer for `answer`.
pub(super) fn response(answer: &Answer<'_>) -> CheckResponse {
    match &answer.decision {
        Decision::Allow(permit) => allowed(permit, answer),
        Decision::Deny(denial) => denied(denial, answer),
    }
}

fn allowed(permit: &Permit, answer: &Answer<'_>) -> CheckResponse {
    // Removed whether or not the request has them: with `allowed_headers` Envoy may not have shown them to us.
    let unread = answer.profile.unread.iter().map(|&name| name.to_owned());
    CheckResponse {
        status: Some(Status { code: 0, ..Status::default() }),
        dynamic_metadata: Some(metadata("allow", permit.reason(), permit.key_id(), answer.decision_id)),
        http_response: Some(HttpResponse::OkResponse(OkHttpResponse {
            headers_to_remove: unread.chain(answer.disguised.iter().cloned()).chain(OWNED.map(str::to_owned)).collect(),
            ..OkHttpResponse::default()
        })),
    }
}

fn denied(denial: &Denial, answer: &Answer<'_>) -> CheckResponse {
    let reason = denial.reason;
    let Refusal { status, grpc_code, title } = Refusal::of(reason);
    let mut headers = vec![header("content-type", "application/problem+json"), header("cache-control", "no-store")];
    match reason {
        // RFC 6750 §3: no error code when the request has no credentials at all.
        Reason::NoKey => headers.push(header("www-authenticate", "Bearer")),
        Reason::MalformedKey => headers.push(header("www-authenticate", r#"Bearer error="invalid_token""#)),
        Reason::StoreUnavailable | Reason::DeadlineExceeded | Reason::CallerRejected => {
            headers.push(header("retry-after", "1"))
        }
        _ => {}
    }
    let problem = Problem {
        r#type: "about:blank",
        title,
        status,
        detail: detail(reason),
        code: reason.as_str(),
        decision_id: answer.decision_id.to_string(),
        client_ip: answer.ip.map(ClientIp::ip),
    };
    // Writing plain texts and numbers to memory cannot fail; a denial without its body would still be a denial.
    let body = serde_json::to_string(&problem).unwrap_or_default();
    CheckResponse {
        status: Some(Status { code: grpc_code, message: reason.as_str().to_owned(), details: Vec::new() }),
        dynamic_metadata: Some(metadata("deny", reason, denial.key_id, answer.decision_id)),
        http_response: Some(HttpResponse::DeniedResponse(DeniedHttpResponse {
            status: Some(HttpStatus { code: status }),
            headers,
            body,
        })),
    }
}

/// How a reason is refused.
struct Refusal {
    /// HTTP status.
    status: i32,
    /// `google.rpc.Code`, never 0. Envoy looks only at whether it is 0; the code is for people who read the traffic.
    grpc_code: i32,
    /// The status's phrase, as RFC 9457 §4.2.1 wants it for `about:blank`.
    title: &'static str,
}

impl Refusal {
    fn of(reason: Reason) -> Self {
        match reason {
            Reason::ConflictingKeys | Reason::MalformedRequest => {
                Self { status: 400, grpc_code: 3, title: "Bad Request" }
            }
            Reason::NoKey | Reason::MalformedKey => Self { status: 401, grpc_code: 16, title: "Unauthorized" },
            Reason::IpMismatch
            | Reason::KeyBanned
            | Reason::UnclaimableNetwork
            | Reason::ClientIpUnknown
            | Reason::NotClaimed => Self { status: 403, grpc_code: 7, title: "Forbidden" },
            Reason::StoreUnavailable
            | Reason::DeadlineExceeded
            | Reason::CallerRejected
            // The engine does not deny for these; if it ever did, a 503 would still be a denial.
            | Reason::Bound
            | Reason::FirstUse
            | Reason::FailsafeOpen => Self { status: 503, grpc_code: 14, title: "Service Unavailable" },
        }
    }
}

/// RFC 9457 problem details. Says the address as seen, never the owner's networks.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'a str,
    title: &'a str,
    status: i32,
    detail: &'a str,
    code: &'a str,
    decision_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ip: Option<IpAddr>,
}

fn detail(reason: Reason) -> &'static str {
    match reason {
        Reason::ConflictingKeys => "The request shows more than one API key, or shows one twice. Send exactly one.",
        Reason::MalformedRequest => "The request could not be judged.",
        Reason::NoKey => "The request has no API key. Send it as Authorization: Bearer.",
        Reason::MalformedKey => "The request's credentials are not an API key of this service.",
        Reason::IpMismatch => "This API key belongs to another network and does not work from this address.",
        Reason::KeyBanned => "This API key is banned.",
        Reason::UnclaimableNetwork => "This API key has no owner yet, and an address like this one cannot become it.",
        Reason::ClientIpUnknown => "The client's address could not be established.",
        Reason::NotClaimed => "This API key is reserved until an operator gives it a network.",
        Reason::StoreUnavailable | Reason::DeadlineExceeded => "The API key could not be checked in time. Try again.",
        Reason::CallerRejected => "The gateway is not known to the service that checks API keys.",
        Reason::Bound | Reason::FirstUse | Reason::FailsafeOpen => "The request is allowed.",
    }
}

/// Namespace `envoy.filters.http.ext_authz`. Fields that say nothing are absent.
fn metadata(decision: &str, reason: Reason, key_id: Option<KeyId>, decision_id: DecisionId) -> Struct {
    let text = |name: &str, text: String| (name.to_owned(), Value { kind: Some(Kind::StringValue(text)) });
    let key_id = key_id.map(|id| text("key_id", id.to_string()));
    let fields = [
        text("decision", decision.to_owned()),
        text("reason", reason.as_str().to_owned()),
        text("mode", "enforce".to_owned()),
        text("decision_id", decision_id.to_string()),
    ];
    Struct { fields: fields.into_iter().chain(key_id).collect() }
}

/// Overwrites whatever is there. Envoy 1.40 reads the deprecated `append` in one place and `append_action` in
/// another, so both are set.
#[allow(deprecated)]
fn header(name: &str, value: &str) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue { key: name.to_owned(), value: value.to_owned(), ..HeaderValue::default() }),
        append: Some(BoolValue { value: false }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}

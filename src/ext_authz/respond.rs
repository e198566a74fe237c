//! The only maker of `CheckResponse`.
//!
//! An empty message, a zero `status.code`, or a gRPC error under `failure_mode_allow` all mean *allow* to Envoy, so
//! nothing outside this file may build one: an allow needs a [`Permit`], everything else carries a non-zero status.

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

use super::{
    context::CheckContext,
    problem::{Problem, Refusal},
};
use crate::{
    credential::Dialect,
    domain::{ClientIp, KeyId, Reason},
    engine::{Decision, Denial, Permit},
    settings::Help,
};

/// Request headers that only Sentinel may set. This version sets none; a client's own never reach the upstream.
const OWNED: [&str; 1] = ["x-sentinel-key-id"];

/// Envoy's answer for `decision`.
pub(super) fn response(decision: &Decision, context: &CheckContext<'_>, help: &Help) -> CheckResponse {
    match decision {
        Decision::Allow(permit) => allowed(permit, context),
        Decision::Deny(denial) => denied(denial, context, help),
    }
}

fn allowed(permit: &Permit, context: &CheckContext<'_>) -> CheckResponse {
    // Removed whether or not the request has them: with `allowed_headers` Envoy may not have shown them to us.
    let unread = context.profile.unread.iter().map(|&name| name.to_owned());
    CheckResponse {
        status: Some(Status { code: 0, ..Status::default() }),
        dynamic_metadata: Some(metadata("allow", permit.reason(), permit.key_id(), context, permit.would_deny())),
        http_response: Some(HttpResponse::OkResponse(OkHttpResponse {
            headers_to_remove: unread
                .chain(context.lookalikes.iter().cloned())
                .chain(OWNED.map(str::to_owned))
                .collect(),
            ..OkHttpResponse::default()
        })),
    }
}

fn denied(denial: &Denial, context: &CheckContext<'_>, help: &Help) -> CheckResponse {
    let (reason, dialect) = (denial.reason, context.profile.dialect);
    let refusal = Refusal::of(status(reason));
    let problem = Problem {
        refusal,
        reason,
        detail: detail(reason),
        decision_id: context.request.decision_id,
        client_ip: context.request.ip.map(ClientIp::ip),
        help,
    };
    let (body, media_type) = problem.told_in(dialect);
    let mut headers = vec![header("content-type", media_type), header("cache-control", "no-store")];
    if refusal.status == 401 {
        headers.push(header("www-authenticate", &challenge(reason, dialect)));
    }
    // Rounded up: who comes a moment too early is refused again.
    let known = denial.retry_after.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
    if let Some(seconds) = known.or(refusal.retry_after) {
        headers.push(header("retry-after", &seconds.max(1).to_string()));
    }
    if dialect == Dialect::Anthropic {
        // Its SDKs read the request's id here and nowhere else.
        headers.push(header("request-id", &context.request.decision_id.to_string()));
    }
    CheckResponse {
        status: Some(Status { code: refusal.grpc_code, message: reason.as_str().to_owned(), details: Vec::new() }),
        dynamic_metadata: Some(metadata("deny", reason, denial.key_id, context, false)),
        http_response: Some(HttpResponse::DeniedResponse(DeniedHttpResponse {
            status: Some(HttpStatus { code: refusal.status }),
            headers,
            body,
        })),
    }
}

/// RFC 6750 §3: at least one parameter, and no error code when the request has no credentials at all.
///
/// The realm says whose keys are meant, no more than the body's shape says already: a custom profile's name is its
/// operator's.
fn challenge(reason: Reason, dialect: Dialect) -> String {
    let realm = match dialect {
        Dialect::Generic => "api",
        Dialect::OpenAi => "openai",
        Dialect::Anthropic => "anthropic",
        Dialect::Google => "google",
    };
    let error = if reason == Reason::NoKey { "" } else { r#", error="invalid_token""# };
    format!(r#"Bearer realm="{realm}"{error}"#)
}

/// The HTTP status of a denial.
fn status(reason: Reason) -> i32 {
    match reason {
        Reason::ConflictingKeys | Reason::MalformedRequest => 400,
        Reason::NoKey | Reason::MalformedKey => 401,
        Reason::IpMismatch
        | Reason::KeyBanned
        | Reason::UnclaimableNetwork
        | Reason::ClientIpUnknown
        | Reason::NotClaimed => 403,
        Reason::ClaimLimited => 429,
        Reason::StoreUnavailable
        | Reason::DeadlineExceeded
        | Reason::CallerRejected
        // The engine does not deny for these; if it ever did, a 503 would still be a denial.
        | Reason::Bound
        | Reason::FirstUse
        | Reason::NetworkAdded
        | Reason::FailsafeOpen
        | Reason::ModeOff => 503,
    }
}

fn detail(reason: Reason) -> &'static str {
    match reason {
        Reason::ConflictingKeys => "The request shows more than one API key, or shows one twice. Send exactly one.",
        Reason::MalformedRequest => "The request could not be judged.",
        Reason::NoKey => "The request has no API key.",
        Reason::MalformedKey => "The request's credentials are not an API key of this service.",
        Reason::IpMismatch => "This API key belongs to another network and does not work from this address.",
        Reason::KeyBanned => "This API key is banned.",
        Reason::UnclaimableNetwork => "This API key has no owner yet, and an address like this one cannot become it.",
        Reason::ClientIpUnknown => "The client's address could not be established.",
        Reason::NotClaimed => "This API key is reserved until an operator gives it a network.",
        Reason::ClaimLimited => "Too many new API keys were used from this network lately. Try again later.",
        Reason::StoreUnavailable | Reason::DeadlineExceeded => "The API key could not be checked in time. Try again.",
        Reason::CallerRejected => "The gateway is not known to the service that checks API keys.",
        Reason::Bound | Reason::FirstUse | Reason::NetworkAdded | Reason::FailsafeOpen | Reason::ModeOff => {
            "The request is allowed."
        }
    }
}

/// Namespace `envoy.filters.http.ext_authz`. Fields that say nothing are absent.
fn metadata(
    decision: &str,
    reason: Reason,
    key_id: Option<KeyId>,
    context: &CheckContext<'_>,
    would_deny: bool,
) -> Struct {
    let text = |name: &str, text: String| (name.to_owned(), Value { kind: Some(Kind::StringValue(text)) });
    let key_id = key_id.map(|id| text("key_id", id.to_string()));
    let fields = [
        text("decision", decision.to_owned()),
        text("reason", reason.as_str().to_owned()),
        text("mode", context.request.mode.to_string()),
        text("decision_id", context.request.decision_id.to_string()),
    ];
    let would_deny = would_deny.then(|| ("would_deny".to_owned(), Value { kind: Some(Kind::BoolValue(true)) }));
    Struct { fields: fields.into_iter().chain(key_id).chain(would_deny).collect() }
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

//! The body of a denial, in the format that the client's SDK reads as an error of its own service.
//!
//! Sources of the formats:
//! - OpenAI: openai/openai-python 3.54.0 `_base_client.py` `_make_status_error_from_response` (`error.message` alone is
//!   in the exception's text) and `_exceptions.py` `APIError` (`code`, `param`, `type`). The gateways answer alike:
//!   songquanpeng/one-api@8df4a26 `middleware/utils.go` `abortWithMessage`, QuantumNous/new-api@3e92b6b
//!   `middleware/utils.go` `abortWithOpenAiMessage`, BerriAI/litellm `litellm/proxy/_types.py` `ProxyException`.
//!   Azure's front door also sends `{"statusCode", "message"}`, of which the SDK does not show the message, so Azure
//!   profiles get OpenAI's format too.
//! - Anthropic: anthropics/anthropic-sdk-python 2.12.0 `_exceptions.py` `APIStatusError` (`error.details.error_code` is
//!   the stable code; `request_id` comes from the header) and `types/shared/error_type.py`.
//! - Google: AIP-193 and googleapis/python-genai 3.4.0 `errors.py` `APIError`; `google/rpc/error_details.proto`.
//!
//! Most SDKs show only the message, so the message also contains the reason, the address and the decision id.

use std::fmt::Write;

use serde::Serialize;

use crate::{credential::Dialect, domain::Reason, settings::Help};

/// An HTTP status, and its name in each dialect.
pub(super) struct DenialStatus {
    pub(super) status: i32,
    /// `google.rpc.Code`, never 0. Envoy checks only whether it is 0; the code is for people who read the traffic.
    pub(super) grpc_code: i32,
    /// The reason phrase of the status, which RFC 9457 §4.2.1 recommends for `about:blank`.
    title: &'static str,
    openai: &'static str,
    anthropic: &'static str,
    google: &'static str,
    /// After how many seconds to try again, unless the engine knows better.
    pub(super) retry_after: Option<u64>,
}

const fn denial_status(
    status: i32,
    grpc_code: i32,
    title: &'static str,
    [openai, anthropic, google]: [&'static str; 3],
    retry_after: Option<u64>,
) -> DenialStatus {
    DenialStatus { status, grpc_code, title, openai, anthropic, google, retry_after }
}

/// All statuses of a denial. The last one is also used for a status that is not in the table, which must still deny.
#[rustfmt::skip]
const STATUSES: [DenialStatus; 5] = [
    denial_status(400, 3, "Bad Request", ["invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"], None),
    denial_status(401, 16, "Unauthorized", ["authentication_error", "authentication_error", "UNAUTHENTICATED"], None),
    denial_status(403, 7, "Forbidden", ["permission_error", "permission_error", "PERMISSION_DENIED"], None),
    denial_status(429, 8, "Too Many Requests", ["rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"], Some(1)),
    // Not Anthropic's `overloaded_error`, which belongs to its status 529.
    denial_status(503, 14, "Service Unavailable", ["server_error", "api_error", "UNAVAILABLE"], Some(1)),
];

impl DenialStatus {
    /// The row for `status`.
    pub(super) fn of(status: i32) -> &'static Self {
        const { assert!(STATUSES[4].status == 503) }
        STATUSES.iter().find(|row| row.status == status).unwrap_or(&STATUSES[4])
    }
}

/// A denial, which every dialect can render. Contains the client's own address, but nothing about the owner's networks.
pub(super) struct Problem<'a> {
    pub(super) status: &'a DenialStatus,
    /// After how many seconds to try again.
    pub(super) retry_after: Option<u64>,
    pub(super) reason: Reason,
    /// One or two sentences for the client.
    pub(super) detail: &'a str,
    pub(super) decision_id: &'a str,
    pub(super) client_ip: Option<&'a str>,
    pub(super) help: &'a Help,
}

impl Problem<'_> {
    /// The body and its media type.
    pub(super) fn render(&self, dialect: Dialect) -> (String, &'static str) {
        // Serializing texts and numbers to memory cannot fail; a denial with an empty body would still deny.
        let body = match dialect {
            Dialect::Generic => serde_json::to_string(&self.generic()),
            Dialect::OpenAi => serde_json::to_string(&self.openai()),
            Dialect::Anthropic => serde_json::to_string(&self.anthropic()),
            Dialect::Google => serde_json::to_string(&self.google()),
        };
        let media_type = match dialect {
            Dialect::Generic => "application/problem+json",
            Dialect::OpenAi | Dialect::Anthropic | Dialect::Google => "application/json",
        };
        (body.unwrap_or_default(), media_type)
    }

    fn generic(&self) -> Generic<'_> {
        let DenialStatus { title, status, .. } = *self.status;
        // Not the URL of the operator's help: a type identifies one problem, and a client may switch on it.
        Generic { r#type: "about:blank", title, status, detail: self.advice(), facts: self.facts() }
    }

    fn openai(&self) -> OpenAi<'_> {
        let error = OpenAiError { message: self.message(), r#type: self.status.openai, param: (), facts: self.facts() };
        OpenAi { error }
    }

    fn anthropic(&self) -> Anthropic<'_> {
        let Facts { code, decision_id, client_ip, help } = self.facts();
        let details = AnthropicDetails { error_code: code, client_ip, help };
        let error = AnthropicError { r#type: self.status.anthropic, message: self.message(), details };
        Anthropic { r#type: "error", error, request_id: decision_id }
    }

    fn google(&self) -> Google<'_> {
        let Facts { code, decision_id, client_ip, help } = self.facts();
        let metadata = Metadata { code, decision_id, client_ip };
        // AIP-193: upper case, unique within the domain.
        let reason = code.to_ascii_uppercase();
        let details = [
            Some(GoogleDetail::ErrorInfo { reason, domain: "key-ip-sentinel", metadata }),
            Some(GoogleDetail::RequestInfo { request_id: decision_id }),
            self.retry_after.map(|seconds| GoogleDetail::RetryInfo { retry_delay: format!("{seconds}s") }),
            help.map(|Help { text, url }| GoogleDetail::Help {
                links: [Link { description: text.as_deref(), url: url.as_deref() }],
            }),
        ];
        let error = GoogleError {
            code: self.status.status,
            message: self.message(),
            status: self.status.google,
            details: details.into_iter().flatten().collect(),
        };
        Google { error }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            code: self.reason.as_str(),
            decision_id: self.decision_id,
            client_ip: self.client_ip,
            help: self.help.as_option(),
        }
    }

    /// What happened, and the operator's help.
    fn advice(&self) -> String {
        let parts = [Some(self.detail), self.help.text.as_deref(), self.help.url.as_deref()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// The advice with all facts, for SDKs that show only a message.
    fn message(&self) -> String {
        let mut message = self.advice();
        let _ = write!(message, " ({}", self.reason);
        if let Some(ip) = self.client_ip {
            let _ = write!(message, ", seen from {ip}");
        }
        let _ = write!(message, ", decision {})", self.decision_id);
        message
    }
}

/// The members that every dialect has.
#[derive(Serialize)]
struct Facts<'a> {
    code: &'static str,
    decision_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a Help>,
}

/// RFC 9457.
#[derive(Serialize)]
struct Generic<'a> {
    r#type: &'static str,
    title: &'static str,
    status: i32,
    detail: String,
    #[serde(flatten)]
    facts: Facts<'a>,
}

#[derive(Serialize)]
struct OpenAi<'a> {
    error: OpenAiError<'a>,
}

#[derive(Serialize)]
struct OpenAiError<'a> {
    message: String,
    r#type: &'static str,
    /// `null`: the fault is not in a parameter of the request.
    param: (),
    #[serde(flatten)]
    facts: Facts<'a>,
}

#[derive(Serialize)]
struct Anthropic<'a> {
    r#type: &'static str,
    error: AnthropicError<'a>,
    request_id: &'a str,
}

#[derive(Serialize)]
struct AnthropicError<'a> {
    r#type: &'static str,
    message: String,
    details: AnthropicDetails<'a>,
}

#[derive(Serialize)]
struct AnthropicDetails<'a> {
    error_code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a Help>,
}

#[derive(Serialize)]
struct Google<'a> {
    error: GoogleError<'a>,
}

#[derive(Serialize)]
struct GoogleError<'a> {
    code: i32,
    message: String,
    status: &'static str,
    details: Vec<GoogleDetail<'a>>,
}

/// `google.rpc.*` in protobuf's JSON encoding.
#[derive(Serialize)]
#[serde(tag = "@type", rename_all_fields = "camelCase")]
enum GoogleDetail<'a> {
    #[serde(rename = "type.googleapis.com/google.rpc.ErrorInfo")]
    ErrorInfo { reason: String, domain: &'static str, metadata: Metadata<'a> },
    #[serde(rename = "type.googleapis.com/google.rpc.RequestInfo")]
    RequestInfo { request_id: &'a str },
    #[serde(rename = "type.googleapis.com/google.rpc.RetryInfo")]
    RetryInfo { retry_delay: String },
    #[serde(rename = "type.googleapis.com/google.rpc.Help")]
    Help { links: [Link<'a>; 1] },
}

/// `google.rpc.ErrorInfo.metadata`, a map of texts.
#[derive(Serialize)]
struct Metadata<'a> {
    code: &'static str,
    decision_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ip: Option<&'a str>,
}

#[derive(Serialize)]
struct Link<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
}

#[cfg(test)]
mod tests;

//! The only file that makes a `CheckResponse`.
//!
//! To Envoy, an empty message, a zero `status.code`, and a gRPC error under `failure_mode_allow` all mean *allow*. So
//! only this file makes a response: an allow needs a [`Permit`], and every other response has a non-zero status.

use envoy_types::pb::{
    envoy::{
        config::core::v3::{HeaderValue, HeaderValueOption, header_value_option::HeaderAppendAction},
        service::auth::v3::{CheckResponse, DeniedHttpResponse, OkHttpResponse, check_response::HttpResponse},
        r#type::v3::HttpStatus,
    },
    google::{
        protobuf::{BoolValue, Value, value::Kind},
        rpc::Status,
    },
};
use prost::Message;

use super::{
    context::CheckContext,
    headers::REMOVED,
    problem::{DenialStatus, Problem},
};
use crate::{
    credential::{Dialect, Profile},
    domain::Reason,
    engine::{Decision, Denial},
    settings::Help,
};

/// The texts of a response that differ between requests which are answered alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Texts<'a> {
    pub(super) decision_id: &'a str,
    pub(super) key_id: Option<&'a str>,
    /// Only denials contain it.
    pub(super) client_ip: Option<&'a str>,
}

/// The `CheckResponse` for `decision`, encoded.
pub(super) fn response(decision: &Decision, context: &CheckContext<'_>, help: &Help, texts: &Texts<'_>) -> Vec<u8> {
    let (response, metadata) = match decision {
        Decision::Allow(permit) => {
            let would_deny = permit.would_deny();
            (allowed(context), metadata("allow", permit.reason(), context, texts, would_deny))
        }
        Decision::Deny(denial) => {
            (denied(denial, context, help, texts), metadata("deny", denial.reason, context, texts, false))
        }
    };
    let mut message = response.encode_to_vec();
    // The fields of a message may be in any order, and in parts.
    message.extend(WithMetadata { dynamic_metadata: Some(metadata) }.encode_to_vec());
    message
}

/// An allow. Only [`response`] calls it, for a permit.
fn allowed(context: &CheckContext<'_>) -> CheckResponse {
    // Removed even if the Check does not have them: `allowed_headers` may have removed them from the Check only.
    let unread = context.profile.unread.iter().filter(|name| !context.kept.contains(name));
    let unread = unread.map(|&name| name.to_owned());
    CheckResponse {
        status: Some(Status { code: 0, ..Status::default() }),
        dynamic_metadata: None,
        http_response: Some(HttpResponse::OkResponse(OkHttpResponse {
            headers_to_remove: unread
                .chain(context.lookalikes.iter().cloned())
                .chain(REMOVED.map(str::to_owned))
                .collect(),
            ..OkHttpResponse::default()
        })),
    }
}

fn denied(denial: &Denial, context: &CheckContext<'_>, help: &Help, texts: &Texts<'_>) -> CheckResponse {
    let (reason, dialect) = (denial.reason, context.profile.dialect);
    let status = DenialStatus::of(status(reason));
    // Rounded up, because a retry that is a moment too early is denied again.
    let known = denial.retry_after.map(|wait| (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1));
    let retry_after = known.or(status.retry_after);
    let problem = Problem {
        status,
        retry_after,
        reason,
        detail: if context.placeholder && reason == Reason::MalformedKey { PLACEHOLDER } else { detail(reason) },
        decision_id: texts.decision_id,
        client_ip: texts.client_ip,
        help,
    };
    let (body, media_type) = problem.render(dialect);
    let mut headers = vec![header("content-type", media_type), header("cache-control", "no-store")];
    if status.status == 401 {
        headers.push(header("www-authenticate", &challenge(reason, context.profile)));
    }
    if let Some(seconds) = retry_after {
        headers.push(header("retry-after", &seconds.to_string()));
    }
    if dialect == Dialect::Anthropic {
        // Anthropic's SDKs read the request id only from this header.
        headers.push(header("request-id", texts.decision_id));
    }
    CheckResponse {
        status: Some(Status { code: status.grpc_code, message: reason.as_str().to_owned(), details: Vec::new() }),
        dynamic_metadata: None,
        http_response: Some(HttpResponse::DeniedResponse(DeniedHttpResponse {
            status: Some(HttpStatus { code: status.status }),
            headers,
            body,
        })),
    }
}

/// RFC 6750 §3: at least one parameter, and no error code if the request has no credentials. Other schemes have no such
/// code.
///
/// The realm is the dialect, which the body reveals anyway. The profile's name would reveal an operator's own name for
/// a custom profile.
fn challenge(reason: Reason, profile: &Profile) -> String {
    let realm = match profile.dialect {
        Dialect::Generic => "api",
        Dialect::OpenAi => "openai",
        Dialect::Anthropic => "anthropic",
        Dialect::Google => "google",
    };
    let scheme = profile.challenge();
    let error = if reason == Reason::NoKey || scheme != "Bearer" { "" } else { r#", error="invalid_token""# };
    format!(r#"{scheme} realm="{realm}"{error}"#)
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
        // The engine never denies for these reasons; 503 would still deny.
        | Reason::Bound
        | Reason::FirstUse
        | Reason::NetworkAdded
        | Reason::FailsafeOpen
        | Reason::ModeOff => 503,
    }
}

const PLACEHOLDER: &str = "The client has no API key configured: it sent a placeholder, such as undefined, not-needed or \
                           YOUR_API_KEY.";

fn detail(reason: Reason) -> &'static str {
    match reason {
        Reason::ConflictingKeys => {
            "The request contains more than one API key, or contains the same one twice. Send exactly one."
        }
        Reason::MalformedRequest => "The gateway sent a request that cannot be checked. Contact the operator.",
        Reason::NoKey => "The request has no API key.",
        Reason::MalformedKey => "The request's credentials are not an API key of this service.",
        Reason::IpMismatch => "This API key belongs to another network and does not work from this address.",
        Reason::KeyBanned => "This API key is banned.",
        Reason::UnclaimableNetwork => "This API key has no owner, and this address cannot own keys.",
        Reason::ClientIpUnknown => "The client's address could not be determined.",
        Reason::NotClaimed => "This API key is reserved until an operator gives it a network.",
        Reason::ClaimLimited => "Too many new API keys were used from this network recently. Try again later.",
        Reason::StoreUnavailable | Reason::DeadlineExceeded => "The API key could not be checked in time. Try again.",
        Reason::CallerRejected => "The gateway could not authenticate to the service that checks API keys.",
        Reason::Bound | Reason::FirstUse | Reason::NetworkAdded | Reason::FailsafeOpen | Reason::ModeOff => {
            "The request is allowed."
        }
    }
}

/// `CheckResponse.dynamic_metadata`, which Envoy puts into the namespace `envoy.filters.http.ext_authz`. A list, as maps
/// are on the wire: envoy-types' map would have its entries in another order in each response.
#[derive(Clone, PartialEq, Message)]
struct WithMetadata {
    #[prost(message, optional, tag = "4")]
    dynamic_metadata: Option<Metadata>,
}

/// `google.protobuf.Struct`.
#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(message, repeated, tag = "1")]
    fields: Vec<Field>,
}

#[derive(Clone, PartialEq, Message)]
struct Field {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Value>,
}

/// Empty fields are absent.
fn metadata(
    decision: &str,
    reason: Reason,
    context: &CheckContext<'_>,
    texts: &Texts<'_>,
    would_deny: bool,
) -> Metadata {
    let field = |name: &str, kind| Field { name: name.to_owned(), value: Some(Value { kind: Some(kind) }) };
    let text = |name: &str, text: &str| field(name, Kind::StringValue(text.to_owned()));
    let fields = [
        Some(text("decision", decision)),
        Some(text("reason", reason.as_str())),
        Some(text("mode", context.request.mode.as_str())),
        Some(text("decision_id", texts.decision_id)),
        texts.key_id.map(|id| text("key_id", id)),
        would_deny.then(|| field("would_deny", Kind::BoolValue(true))),
    ];
    Metadata { fields: fields.into_iter().flatten().collect() }
}

/// Overwrites an existing header. Envoy 1.40 reads the deprecated `append` in one place and `append_action` in another,
/// so both are set.
#[allow(deprecated)]
fn header(name: &str, value: &str) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue { key: name.to_owned(), value: value.to_owned(), ..HeaderValue::default() }),
        append: Some(BoolValue { value: false }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        credential::Carrier,
        domain::{Missing, Mode, event::DecisionId},
        engine::Request,
    };

    /// A 401 names the scheme that the profile reads.
    #[test]
    fn the_challenge_is_of_the_profiles_own_scheme() {
        let with = |carriers: &'static [Carrier]| Profile { carriers, ..Profile::by_name("generic").unwrap() };
        let carrier = |text: &str| Carrier::parse(text).unwrap();
        for (carriers, expected) in [
            (vec!["header authorization scheme:Token|Key"], r#"Token realm="api""#),
            (vec!["header authorization scheme:Basic user"], r#"Basic realm="api""#),
            (vec!["header a scheme:Token", "header b bearer"], r#"Bearer realm="api", error="invalid_token""#),
            (vec!["header apikey bare"], r#"Bearer realm="api", error="invalid_token""#),
        ] {
            let profile = with(carriers.into_iter().map(carrier).collect::<Vec<_>>().leak());
            assert_eq!(challenge(Reason::MalformedKey, &profile), expected);
        }
        assert_eq!(challenge(Reason::NoKey, &Profile::by_name("openai").unwrap()), r#"Bearer realm="openai""#);
    }

    /// Google's `RetryInfo` was always `1s`.
    #[test]
    fn the_retry_delay_in_a_google_body_is_that_of_the_retry_after_header() {
        let profile = Profile::by_name("gemini").unwrap();
        let (ip, missing, mode) = ("203.0.113.7".parse().ok(), Missing::Deny, Mode::Enforce);
        let request = Request { ip, key: Ok(None), missing, mode, decision_id: DecisionId(7) };
        let context =
            CheckContext { request, profile: &profile, lookalikes: Vec::new(), kept: Vec::new(), placeholder: false };
        for (reason, wait, seconds) in [
            (Reason::ClaimLimited, Some(Duration::from_millis(6100)), "7"),
            (Reason::ClaimLimited, Some(Duration::ZERO), "1"),
            (Reason::StoreUnavailable, None, "1"),
        ] {
            let denial = Denial { reason, key_id: None, retry_after: wait };
            let texts = Texts { decision_id: "7", key_id: None, client_ip: None };
            let response = response(&Decision::Deny(denial), &context, &Help::default(), &texts);
            let response = CheckResponse::decode(&response[..]).unwrap();
            let Some(HttpResponse::DeniedResponse(denied)) = response.http_response else { panic!("not a denial") };
            let headers = denied.headers.iter().filter_map(|option| option.header.as_ref());
            let retry_after: Vec<_> =
                headers.filter(|header| header.key == "retry-after").map(|header| header.value.as_str()).collect();
            assert_eq!(retry_after, [seconds]);
            let body: serde_json::Value = serde_json::from_str(&denied.body).unwrap();
            assert_eq!(body["error"]["details"][2]["retryDelay"], format!("{seconds}s"));
        }
    }
}

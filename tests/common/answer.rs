//! What every answer of the ext_authz edge must look like, whatever was asked.

use envoy_types::pb::{
    envoy::{
        config::core::v3::HeaderValueOption,
        service::auth::v3::{CheckResponse, DeniedHttpResponse, OkHttpResponse, check_response::HttpResponse},
    },
    google::protobuf::{Struct, value::Kind},
};
use key_ip_sentinel::domain::{Mode, Reason};
use prost::Message;
use serde_json::Value as Json;

use super::{grpc::Reply, told::Told};

/// A well-formed answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    response: CheckResponse,
}

impl Answer {
    /// Panics unless `reply` is an in-protocol answer that keeps every rule of the edge.
    pub(crate) fn from_reply(reply: &Reply) -> Self {
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.grpc_status(), 0, "a gRPC error is no denial to Envoy: {reply:?}");
        Self::read(&reply.message()).unwrap_or_else(|broken| panic!("{broken}: {reply:#?}"))
    }

    /// Reads a message; the error is the first rule of the edge that it breaks.
    pub(crate) fn read(message: &[u8]) -> Result<Self, String> {
        let response = CheckResponse::decode(message).map_err(|error| error.to_string())?;
        let answer = Self { response };
        answer.broken_rule().map(|()| answer)
    }

    /// The first rule that this answer breaks.
    fn broken_rule(&self) -> Result<(), String> {
        let status = self.response.status.as_ref().ok_or("no status: to Envoy that is an allow by default")?;
        let metadata = self.response.dynamic_metadata.as_ref().ok_or("no dynamic metadata")?;
        let word = text(metadata, "reason").ok_or("no reason in the metadata")?;
        let reason = Reason::from_word(word).ok_or("a reason outside the closed list")?;
        let decision = text(metadata, "decision").ok_or("no decision in the metadata")?;
        let mode = text(metadata, "mode").and_then(Mode::from_word).ok_or("a mode outside the closed list")?;
        let would_deny = flag(metadata, "would_deny");
        expect(would_deny != Some(false), "a field that says nothing")?;
        expect(would_deny.is_none() || mode == Mode::Observe, "would_deny, but not in observe")?;
        let allowed = |reason: Reason| {
            // A missing key is either's reason.
            let told = reason == Reason::NoKey || reason.allows() != would_deny.is_some();
            expect(told, "a denial's reason on an allow")
        };
        expect(text(metadata, "decision_id").is_some_and(|id| !id.is_empty()), "no decision id")?;
        match (status.code, decision, &self.response.http_response) {
            (0, "allow", None) => allowed(reason),
            (0, "allow", Some(HttpResponse::OkResponse(ok))) => {
                allowed(reason)?;
                ok.headers.iter().chain(&ok.response_headers_to_add).try_for_each(clean)
            }
            (1.., "deny", Some(HttpResponse::DeniedResponse(denied))) => self.broken_rule_of_denial(reason, denied),
            _ => Err("status, decision and response do not say the same".to_owned()),
        }
    }

    fn broken_rule_of_denial(&self, reason: Reason, denied: &DeniedHttpResponse) -> Result<(), String> {
        let expected = denial_status(reason).ok_or("an allow's reason on a denial")?;
        let status = denied.status.as_ref().map(|status| status.code);
        expect(status == Some(i32::from(expected)), "not the reason's HTTP status")?;
        denied.headers.iter().try_for_each(clean)?;
        expect(self.header("www-authenticate").is_some() == (expected == 401), "www-authenticate belongs to 401")?;
        expect(self.header("retry-after").is_some() == matches!(expected, 429 | 503), "retry-after: 429 and 503")?;
        Told::of(self.header("content-type"), &denied.body, expected, reason.as_str(), self.decision_id()).map(|_| ())
    }

    fn metadata(&self, field: &str) -> Option<&str> {
        self.response.dynamic_metadata.as_ref().and_then(|metadata| text(metadata, field))
    }

    pub(crate) fn reason(&self) -> &str {
        self.metadata("reason").unwrap()
    }

    pub(crate) fn decision(&self) -> &str {
        self.metadata("decision").unwrap()
    }

    /// The mode by which it was judged.
    pub(crate) fn mode(&self) -> &str {
        self.metadata("mode").unwrap()
    }

    /// A boolean of the metadata; absent is false.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.response.dynamic_metadata.as_ref().and_then(|metadata| flag(metadata, name)).unwrap_or(false)
    }

    pub(crate) fn is_allow(&self) -> bool {
        self.decision() == "allow"
    }

    pub(crate) fn key_id(&self) -> Option<&str> {
        self.metadata("key_id")
    }

    pub(crate) fn decision_id(&self) -> &str {
        self.metadata("decision_id").unwrap()
    }

    fn denied(&self) -> Option<&DeniedHttpResponse> {
        match &self.response.http_response {
            Some(HttpResponse::DeniedResponse(denied)) => Some(denied),
            _ => None,
        }
    }

    /// The part of an allow that changes the request.
    pub(crate) fn allowed(&self) -> Option<&OkHttpResponse> {
        match &self.response.http_response {
            Some(HttpResponse::OkResponse(ok)) => Some(ok),
            _ => None,
        }
    }

    /// The HTTP status of a denial.
    pub(crate) fn status(&self) -> Option<i32> {
        self.denied()?.status.as_ref().map(|status| status.code)
    }

    /// A header of a denial.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.denied()?.headers.iter().filter_map(|option| option.header.as_ref());
        headers.into_iter().find(|header| header.key.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
    }

    /// The body of a denial.
    pub(crate) fn body(&self) -> Json {
        serde_json::from_str(&self.denied().unwrap().body).unwrap()
    }

    /// What the body of a denial says.
    pub(crate) fn told(&self) -> Told {
        Told::read(self.header("content-type"), &self.denied().unwrap().body).unwrap()
    }

    /// All of the answer's bytes, to search in.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.response.encode_to_vec()
    }
}

fn expect(holds: bool, broken: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken.to_owned()) }
}

fn text<'a>(metadata: &'a Struct, field: &str) -> Option<&'a str> {
    match metadata.fields.get(field)?.kind.as_ref()? {
        Kind::StringValue(text) => Some(text),
        _ => None,
    }
}

fn flag(metadata: &Struct, field: &str) -> Option<bool> {
    match metadata.fields.get(field)?.kind.as_ref()? {
        Kind::BoolValue(flag) => Some(*flag),
        _ => None,
    }
}

/// Envoy writes values out as they are: only visible ASCII and single spaces are safe.
fn clean(option: &HeaderValueOption) -> Result<(), String> {
    let header = option.header.as_ref().ok_or("a header option without a header")?;
    let visible = header.value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let named = header.key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    expect(visible && named && !header.value.is_empty() && header.raw_value.is_empty(), "an unclean header")
}

/// Whether an allow may give this reason.
pub(crate) fn may_allow(reason: Reason) -> bool {
    reason.allows() || reason == Reason::NoKey
}

/// The HTTP status of a denial for this reason; `None` if it only allows.
pub(crate) fn denial_status(reason: Reason) -> Option<u16> {
    match reason {
        Reason::Bound | Reason::FirstUse | Reason::NetworkAdded | Reason::FailsafeOpen | Reason::ModeOff => None,
        Reason::ConflictingKeys | Reason::MalformedRequest => Some(400),
        Reason::NoKey | Reason::MalformedKey => Some(401),
        Reason::IpMismatch
        | Reason::KeyBanned
        | Reason::UnclaimableNetwork
        | Reason::ClientIpUnknown
        | Reason::NotClaimed => Some(403),
        Reason::ClaimLimited => Some(429),
        Reason::StoreUnavailable | Reason::DeadlineExceeded | Reason::CallerRejected => Some(503),
    }
}

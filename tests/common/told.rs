//! What a denial's body tells its client, read as each dialect's documentation has it and not as the server writes it.

use serde_json::Value as Json;

/// A well-formed body of one of the four dialects.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) dialect: &'static str,
    /// The dialect's word for the status: RFC 9457's title, OpenAI's and Anthropic's type, Google's status.
    pub(crate) word: String,
    pub(crate) message: String,
    pub(crate) code: String,
    pub(crate) decision_id: String,
    pub(crate) client_ip: Option<String>,
}

impl Told {
    /// Reads a body; the error is the first rule that it breaks.
    pub(crate) fn read(media_type: Option<&str>, body: &str) -> Result<Self, String> {
        // Envoy cuts longer ones, and then they are no JSON.
        rule(body.len() < 8192, "8 KiB or more")?;
        let body: Json =
            serde_json::from_str(body).map_err(|error| format!("the body is not JSON: {error}: {body}"))?;
        match media_type {
            Some("application/problem+json") => Self::generic(&body),
            Some("application/json") if body["type"] == "error" => Self::anthropic(&body),
            Some("application/json") if body["error"]["status"].is_string() => Self::google(&body),
            Some("application/json") => Self::openai(&body),
            other => Err(format!("the media type is {other:?}")),
        }
    }

    /// A denial's body of this status, code word and decision.
    pub(crate) fn of(
        media_type: Option<&str>,
        body: &str,
        status: u16,
        code: &str,
        decision_id: &str,
    ) -> Result<Self, String> {
        let told = Self::read(media_type, body)?;
        rule(told.word == word(told.dialect, status), "the word for the status is another one")?;
        rule(told.code == code, "the body's code is not the reason")?;
        rule(told.decision_id == decision_id, "the body's decision id is another one")?;
        if told.dialect != "generic" {
            // An SDK shows the message alone.
            let facts = [Some(code), Some(decision_id), told.client_ip.as_deref()];
            rule(facts.into_iter().flatten().all(|fact| told.message.contains(fact)), "a fact is not in the message")?;
        }
        Ok(told)
    }

    fn generic(body: &Json) -> Result<Self, String> {
        rule(body["type"].is_string() && body["status"].is_u64(), "no type or status")?;
        let word = text(&body["title"], "title")?;
        rule(body["status"] == status(&word), "the body's status is another one")?;
        Self::new("generic", word, text(&body["detail"], "detail")?, body)
    }

    fn openai(body: &Json) -> Result<Self, String> {
        let error = &body["error"];
        rule(error.get("param").is_some_and(Json::is_null), "param is not null")?;
        Self::new("openai", text(&error["type"], "error.type")?, text(&error["message"], "error.message")?, error)
    }

    fn anthropic(body: &Json) -> Result<Self, String> {
        let error = &body["error"];
        Ok(Self {
            dialect: "anthropic",
            word: text(&error["type"], "error.type")?,
            message: text(&error["message"], "error.message")?,
            code: text(&error["details"]["error_code"], "error.details.error_code")?,
            decision_id: text(&body["request_id"], "request_id")?,
            client_ip: error["details"]["client_ip"].as_str().map(str::to_owned),
        })
    }

    fn google(body: &Json) -> Result<Self, String> {
        let error = &body["error"];
        let detail = |name: &str| {
            let name = format!("type.googleapis.com/google.rpc.{name}");
            let details = error["details"].as_array().into_iter().flatten();
            details.into_iter().find(|detail| detail["@type"] == name.as_str()).cloned().unwrap_or_default()
        };
        let (info, request) = (detail("ErrorInfo"), detail("RequestInfo"));
        let metadata = info["metadata"].as_object().ok_or("no metadata in ErrorInfo")?;
        rule(metadata.values().all(Json::is_string), "metadata is a map of texts")?;
        let word = text(&error["status"], "error.status")?;
        let code = text(&info["metadata"]["code"], "metadata.code")?;
        rule(error["code"] == status(&word), "the body's code is not the HTTP status")?;
        rule(info["reason"] == code.to_uppercase(), "ErrorInfo's reason is not the code in upper case")?;
        rule(info["domain"] == "key-ip-sentinel", "ErrorInfo's domain")?;
        rule(detail("RetryInfo").is_object() == matches!(status(&word), 429 | 503), "RetryInfo: 429 and 503")?;
        Ok(Self {
            dialect: "google",
            word,
            message: text(&error["message"], "error.message")?,
            code,
            decision_id: text(&request["requestId"], "RequestInfo.requestId")?,
            client_ip: info["metadata"]["client_ip"].as_str().map(str::to_owned),
        })
    }

    fn new(dialect: &'static str, word: String, message: String, facts: &Json) -> Result<Self, String> {
        let (code, decision_id) = (text(&facts["code"], "code")?, text(&facts["decision_id"], "decision_id")?);
        let client_ip = facts["client_ip"].as_str().map(str::to_owned);
        Ok(Self { dialect, word, message, code, decision_id, client_ip })
    }
}

/// A status of a denial, and its words: generic, OpenAI, Anthropic, Google.
const WORDS: [(u16, [&str; 4]); 5] = [
    (400, ["Bad Request", "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"]),
    (401, ["Unauthorized", "authentication_error", "authentication_error", "UNAUTHENTICATED"]),
    (403, ["Forbidden", "permission_error", "permission_error", "PERMISSION_DENIED"]),
    (429, ["Too Many Requests", "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"]),
    (503, ["Service Unavailable", "server_error", "api_error", "UNAVAILABLE"]),
];

fn word(dialect: &str, status: u16) -> &'static str {
    let column = ["generic", "openai", "anthropic", "google"].iter().position(|name| *name == dialect).unwrap();
    WORDS.iter().find(|(number, _)| *number == status).unwrap().1[column]
}

fn status(word: &str) -> u16 {
    WORDS.iter().find(|(_, words)| words.contains(&word)).map_or(0, |(status, _)| *status)
}

fn text(value: &Json, name: &str) -> Result<String, String> {
    let text = value.as_str().filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or_else(|| format!("no {name} in the body"))
}

fn rule(holds: bool, broken: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken.to_owned()) }
}

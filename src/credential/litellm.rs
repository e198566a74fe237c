//! The forms in which LiteLLM reads a key in `Authorization`: BerriAI/litellm@0009d07
//! litellm/proxy/auth/user_api_key_auth.py `_get_bearer_token`, and @16b509b
//! litellm/proxy/vertex_ai_endpoints/langfuse_endpoints.py `langfuse_proxy_route`.

use super::{
    basic::{self, BasicPart},
    text::Text,
};

const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=Bearer ";

/// The key in `text`:
///
/// - `Bearer KEY` or `bearer KEY`. In another letter case LiteLLM reads no key, except on /langfuse/*, where it decodes
///   the whole text as Base64, leniently: there `BEARER sk-…` may contain another key than the one that it shows. `Bearer`
///   and `bearer` do not decode to UTF-8, whatever follows them.
/// - `Basic`, as Langfuse's clients send it on /langfuse/*: the key is the password. Elsewhere LiteLLM takes the Base64
///   itself for the key, which has no `-` and so is none. With `custom_auth_parser: langfuse` it takes the user name: the
///   master key is any text that begins with `sk-`, however short, so a user name that contains it is refused.
/// - The signature of LangChain's Bedrock client, with the key in place of the access key.
pub(super) fn read(text: &str, may_hold_a_key: impl Fn(&str) -> bool) -> Option<Text<'_>> {
    if let Some(credentials) = text.strip_prefix("Basic ") {
        let is_refused = |user: &str| user.to_ascii_lowercase().contains("sk-") || may_hold_a_key(user);
        return basic::read(credentials, BasicPart::Password, is_refused).map(Text::Decoded);
    }
    let bearer = ["Bearer ", "bearer "].iter().find_map(|scheme| text.strip_prefix(scheme));
    bearer.or_else(|| in_signature(text)).map(Text::Borrowed)
}

/// `AWS4-HMAC-SHA256 Credential=Bearer KEY/DATE/REGION/SERVICE/aws4_request, SignedHeaders=…, Signature=…`, of which
/// LiteLLM searches for the first `Credential=Bearer`.
pub(super) fn in_signature(text: &str) -> Option<&str> {
    let (key, rest) = text.strip_prefix(SIGNED)?.split_once('/')?;
    let mut scope = rest.splitn(4, '/');
    let (date, region, service, rest) = (scope.next()?, scope.next()?, scope.next()?, scope.next()?);
    let (headers, signature) = rest.strip_prefix("aws4_request, SignedHeaders=")?.split_once(", Signature=")?;
    let is = |text: &str, extra: &[u8]| {
        let is_inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || extra.contains(&byte);
        !text.is_empty() && text.bytes().all(is_inside)
    };
    let is_signature = signature.len() == 64 && signature.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_date = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
    let is_scope = is(region, b"-") && is(service, b"-") && is(headers, b"-;_");
    let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    (is_signature && is_date && is_scope && is_key).then_some(key)
}

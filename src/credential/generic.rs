//! `generic`: opaque bearer keys of an in-house service.

use super::{CarrierRule, Options, Profile, jwt};

pub(super) const PROFILE: Profile = Profile {
    name: "generic",
    carriers: &[
        CarrierRule { header: "authorization", form: authorization },
        CarrierRule { header: "x-api-key", form: bare },
        CarrierRule { header: "api-key", form: bare },
    ],
    unread: &[
        "proxy-authorization",
        "ocp-apim-subscription-key",
        "x-goog-api-key",
        "x-litellm-api-key",
        "mj-api-secret",
    ],
    accepts,
};

/// The shortest key: anything shorter is a placeholder or garbage, and must not claim.
const MIN: usize = 8;
/// The longest key, in bytes.
const MAX: usize = 4096;

/// `Bearer` in any case, exactly one space, the key (RFC 6750 §2.1); or the key alone.
///
/// RFC 9110 §11.4 would allow several spaces, but upstreams that cut a fixed `"Bearer "` then read another key.
fn authorization(value: &str) -> Option<&str> {
    const SCHEME: &str = "bearer";
    match value.split_once(' ') {
        Some((scheme, key)) => scheme.eq_ignore_ascii_case(SCHEME).then_some(key),
        // `BearerK` is the key `K` to upstreams that cut the word and trim, so it may not be another key to us.
        None if value.get(..SCHEME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SCHEME)) => None,
        None => Some(value),
    }
}

fn bare(value: &str) -> Option<&str> {
    Some(value)
}

/// The token68 alphabet of RFC 9110 §11.2, and `:|@$*`, which real key generators use.
///
/// Not `!`, which is how Envoy shows a byte that is not UTF-8; nor `,`, which is how it joins repeated headers; nor
/// `%`, quotes, `;` or white space, which some upstream decodes, unwraps or splits.
fn accepts(key: &str, options: Options) -> bool {
    let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=:|@$*".contains(&byte);
    let is_bearer = key.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("bearer"));
    (MIN..=MAX).contains(&key.len())
        && key.bytes().all(alphabet)
        && !is_bearer
        && (options.opaque_jwt || !jwt::looks_like_one(key))
}

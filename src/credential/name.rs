//! Which names an upstream may take for a carrier's name, for headers, parameters and cookies. The exact name is the
//! carrier; a name that some upstream would reduce to it is a lookalike.
//!
//! How upstreams reduce names:
//! - CGI and WSGI do not distinguish `-` and `_` in headers (RFC 3875 §4.1.18). lighttpd replaces every character that
//!   is not a letter or digit with `_` (http_cgi_encode_varname), and so does PHP with `.` in the variables of a FastCGI
//!   front (php_register_variable_ex, below).
//! - PHP removes leading spaces, replaces ` `, `.` and an unmatched `[` with `_`, reads `a[b]` as an array, ends a name
//!   at NUL, and used to percent-decode the names of cookies: php/php-src@000d873 main/php_variables.c
//!   php_register_variable_ex, php_default_treat_data.
//! - Rack and Rails remove brackets around a name, and read `a[]` as a list: rack/rack@0521d6f lib/rack/query_parser.rb
//!   normalize_params. So does Express: ljharb/qs@65270af lib/parse.js parseKeys (`[a]` is `a`).
//! - ASP.NET ignores case: dotnet/aspnetcore@d1a4541 src/Http/Http/src/Features/QueryFeature.cs, @cca91f2
//!   src/Http/Http/src/Internal/RequestCookieCollection.cs. Its predecessor also decodes `%u0061`: mono/mono@0b08553
//!   mcs/class/System.Web/System.Web/HttpUtility.cs UrlDecode.
//! - `URLSearchParams` removes a leading `?`: WHATWG URL §6.2.
//! - Python removes white space around the names of cookies, U+0085 and U+00A0 included: encode/starlette@d40db66
//!   starlette/requests.py cookie_parser. It also ends a cookie at white space: python/cpython@afad108
//!   Lib/http/cookies.py SimpleCookie. Older versions, which search for the next cookie, also end one at `"`, `[`, `]`
//!   and `\`.
//!
//! In parameters and cookies, `-` and `_` are different: no known upstream exchanges them there.

use super::text::{Plus, unescape};

/// How a carrier's name is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    Exact,
    Lookalike,
}

/// How an upstream reads the names of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Exactly, except that case may not matter: a name in any case is the carrier.
    InAnyCase,
    /// Unknown: the upstream may use any framework, so a name that some framework reduces to the carrier's is a
    /// lookalike.
    Unknown,
}

/// Whether `found` is the header `name`. Header names are lower case in HTTP/2 and case-insensitive in HTTP/1.1.
pub(super) fn header(found: &str, name: &str) -> Option<Spelling> {
    match found.eq_ignore_ascii_case(name) {
        true => Some(Spelling::Exact),
        false => same_name(found, name).then_some(Spelling::Lookalike),
    }
}

/// Whether `found`, as written in the query, is the parameter `name`.
pub(super) fn parameter(found: &[u8], name: &str, names: Names) -> Option<Spelling> {
    match names {
        Names::InAnyCase => is_parameter(found, name, u8::to_ascii_lowercase).then_some(Spelling::Exact),
        Names::Unknown if is_parameter(found, name, |byte| *byte) => Some(Spelling::Exact),
        Names::Unknown => reduces_to(found, name).then_some(Spelling::Lookalike),
    }
}

/// Whether an upstream that also splits queries at `;`, as Rack, Perl and older Go and Python do, would find `name`.
pub(super) fn is_behind_semicolon(parameter: &[u8], name: &str) -> bool {
    let others = parameter.split(|byte| *byte == b';').skip(1);
    let mut names = others.map(|other| other.split(|byte| *byte == b'=').next().unwrap_or_default());
    names.any(|found| reduces_to(found, name))
}

/// Whether `found`, without the white space that separates cookies, is the cookie `name`.
pub(super) fn cookie(found: &[u8], name: &str) -> Option<Spelling> {
    match found == name.as_bytes() {
        true => Some(Spelling::Exact),
        false => reduces_to(found, name).then_some(Spelling::Lookalike),
    }
}

fn is_parameter(found: &[u8], name: &str, case: fn(&u8) -> u8) -> bool {
    let mut wanted = name.bytes();
    let matches = unescape(found, Plus::Space)
        .all(|byte| byte.zip(wanted.next()).is_some_and(|(byte, wanted)| case(&byte) == case(&wanted)));
    matches && wanted.next().is_none()
}

/// Whether an upstream may read the header `name` as `carrier`: to CGI and its successors `x_api_key`, `x.api.key` and
/// `x!api!key` are `HTTP_X_API_KEY`, as `x-api-key` is.
///
/// They replace character by character, so a name with one character more is another variable: `authorization_` is
/// `HTTP_AUTHORIZATION_`, which no upstream reads as `Authorization`.
pub const fn same_name(name: &str, carrier: &str) -> bool {
    let (name, carrier) = (name.as_bytes(), carrier.as_bytes());
    if name.len() != carrier.len() {
        return false;
    }
    let mut at = 0;
    while at < name.len() && plain(name[at]) == plain(carrier[at]) {
        at += 1;
    }
    at == name.len()
}

/// A byte of a header's name as [`same_name`] compares it.
pub const fn plain(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
}

/// How many cookies `name` some parser would find in `part`, which has no `;`: at the beginning, or before a `=` and
/// after a character that some parser treats as white space or as a cookie's end.
pub(super) fn cookies_in(part: &[u8], name: &str) -> usize {
    let in_line = |line: &[u8]| {
        let mut words = line.split(|byte| *byte == b'=').peekable();
        let mut found = usize::from(words.next().is_some_and(|first| ends_with(first, name, true)));
        // The last word is a value, not a name.
        while let Some(word) = words.next().filter(|_| words.peek().is_some()) {
            found += usize::from(ends_with(word, name, false));
        }
        found
    };
    part.split(|byte| *byte == b',').map(in_line).sum()
}

/// Whether `written` ends with `name`, beginning where a name may begin: at the start if `may_begin`, and after a
/// character that ends a cookie.
fn ends_with(written: &[u8], name: &str, mut may_begin: bool) -> bool {
    let mut rest = decoded(written);
    loop {
        let here = rest.clone();
        let Some((byte, escaped)) = rest.next() else { return false };
        if may_begin && !is_dropped(byte) {
            if is_name(here, name) {
                return true;
            }
            may_begin = false;
        }
        may_begin |= !escaped && (is_invisible(byte) || b"\"[]\\".contains(&byte));
    }
}

/// Whether some framework reduces `found` to the parameter or cookie `name`. Combines the reductions of all frameworks.
pub(super) fn reduces_to(found: &[u8], name: &str) -> bool {
    let mut rest = decoded(found);
    let mut here = rest.clone();
    while rest.next().is_some_and(|(byte, _)| is_dropped(byte)) {
        here = rest.clone();
    }
    is_name(here, name)
}

/// Whether `text` is `name`, followed only by what frameworks remove.
fn is_name(text: impl Iterator<Item = (u8, bool)>, name: &str) -> bool {
    let plain = |byte: u8| if b" .[".contains(&byte) { b'_' } else { byte.to_ascii_lowercase() };
    let mut text = text.map(|(byte, _)| byte);
    if !name.bytes().all(|wanted| text.next().is_some_and(|byte| plain(byte) == plain(wanted))) {
        return false;
    }
    match text.next() {
        None | Some(b'[' | b']' | 0) => true,
        Some(byte) => is_invisible(byte) && text.all(is_invisible),
    }
}

/// White space in some character set, a control character, or `!`, with which Envoy may replace a byte that is not
/// UTF-8.
fn is_invisible(byte: u8) -> bool {
    !byte.is_ascii_graphic() || byte == b'!'
}

/// What some framework removes before a name.
fn is_dropped(byte: u8) -> bool {
    is_invisible(byte) || b"[]?".contains(&byte)
}

/// Decodes like the most lenient decoder: `%u0061` is `a`, and an invalid escape is itself. Yields each byte, and
/// whether it differs from the written one.
fn decoded(written: &[u8]) -> impl Iterator<Item = (u8, bool)> + Clone {
    let mut rest = written;
    std::iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        let escape = || if let [b'u', digits @ ..] = after { number(digits, 4) } else { number(after, 2) };
        let (byte, after) = match first {
            b'%' => escape().unwrap_or((b'%', after)),
            b'+' => (b' ', after),
            _ => (first, after),
        };
        rest = after;
        Some((byte, byte != first))
    })
}

/// The byte of `length` hexadecimal digits, and the rest. A number above 255 becomes 255, which is invisible.
fn number(digits: &[u8], length: usize) -> Option<(u8, &[u8])> {
    let (digits, after) = digits.split_at_checked(length)?;
    let code = digits.iter().try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?))?;
    Some((u8::try_from(code).unwrap_or(u8::MAX), after))
}

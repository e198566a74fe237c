//! Which names an upstream may take for a carrier's: one idea for headers, parameters and cookies. A name that is
//! written as the carrier's is the carrier; one that some upstream would reduce to it is the carrier in disguise.
//!
//! What they do to names:
//! - CGI and WSGI make one of `-` and `_` in headers (RFC 3875 §4.1.18); lighttpd makes `_` of all that is no letter or
//!   digit (http_cgi_encode_varname), and PHP of `.` in the variables of a FastCGI front (php_register_variable_ex, below);
//! - PHP drops spaces in front, makes `_` of ` `, `.` and an unmatched `[`, makes an array of `a[b]`, ends a name at NUL,
//!   and once percent-decoded the names of cookies: php/php-src@000d873 main/php_variables.c php_register_variable_ex,
//!   php_default_treat_data;
//! - Rack and Rails drop brackets around a name, and make a list of `a[]`: rack/rack@0521d6f lib/rack/query_parser.rb
//!   normalize_params; so does Express: ljharb/qs@65270af lib/parse.js parseKeys (`[a]` is `a`);
//! - ASP.NET ignores case: dotnet/aspnetcore@d1a4541 src/Http/Http/src/Features/QueryFeature.cs, @cca91f2
//!   src/Http/Http/src/Internal/RequestCookieCollection.cs; its predecessor also decodes `%u0061`: mono/mono@0b08553
//!   mcs/class/System.Web/System.Web/HttpUtility.cs UrlDecode;
//! - `URLSearchParams` drops a `?` in front: WHATWG URL §6.2;
//! - Python drops white space around cookies' names, U+0085 and U+00A0 included: encode/starlette@d40db66
//!   starlette/requests.py cookie_parser; it also ends a cookie at white space: python/cpython@afad108
//!   Lib/http/cookies.py SimpleCookie, and in older versions, which search for the next one, also at `"`, `[`, `]`
//!   and `\`.
//!
//! `-` and `_` are two names in parameters and cookies: nobody is known to exchange them there.

use super::text::{Plus, unescape};

/// How a name that stands for a carrier is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Exactly,
    Disguised,
}

/// What is known of how an upstream reads the names of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// As they are written, but for their case: in any case they are the carrier.
    InAnyCase,
    /// Nothing: any framework may stand there, so what one of them would reduce to the carrier is a disguise.
    Unknown,
}

/// Whether `found` is the header `name`. It is lower case in HTTP/2 and of no case in HTTP/1.1.
pub(super) fn header(found: &str, name: &str) -> Option<Written> {
    match found.eq_ignore_ascii_case(name) {
        true => Some(Written::Exactly),
        false => same_name(found, name).then_some(Written::Disguised),
    }
}

/// Whether `found`, as it is in the query, is the parameter `name`.
pub(super) fn parameter(found: &[u8], name: &str, names: Names) -> Option<Written> {
    match names {
        Names::InAnyCase => is_parameter(found, name, u8::to_ascii_lowercase).then_some(Written::Exactly),
        Names::Unknown if is_parameter(found, name, |byte| *byte) => Some(Written::Exactly),
        Names::Unknown => reduces_to(found, name).then_some(Written::Disguised),
    }
}

/// Whether an upstream that splits queries at `;` too, as Rack, Perl and older Go and Python do, would find `name`.
pub(super) fn is_behind_semicolon(parameter: &[u8], name: &str) -> bool {
    let others = parameter.split(|byte| *byte == b';').skip(1);
    let mut names = others.map(|other| other.split(|byte| *byte == b'=').next().unwrap_or_default());
    names.any(|found| reduces_to(found, name))
}

/// Whether `found`, without the white space that separates cookies, is the cookie `name`.
pub(super) fn cookie(found: &[u8], name: &str) -> Option<Written> {
    match found == name.as_bytes() {
        true => Some(Written::Exactly),
        false => reduces_to(found, name).then_some(Written::Disguised),
    }
}

fn is_parameter(found: &[u8], name: &str, case: fn(&u8) -> u8) -> bool {
    let mut wanted = name.bytes();
    let matches = unescape(found, Plus::Space)
        .all(|byte| byte.zip(wanted.next()).is_some_and(|(byte, wanted)| case(&byte) == case(&wanted)));
    matches && wanted.next().is_none()
}

/// Whether `name` may reach an upstream as the header `carrier`: to CGI and what came after it `x_api_key`, `x.api.key`
/// and `x!api!key` are `HTTP_X_API_KEY`, as `x-api-key` is.
pub const fn same_name(name: &str, carrier: &str) -> bool {
    const fn plain(byte: u8) -> u8 {
        if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' }
    }
    let (name, carrier) = (name.as_bytes(), carrier.as_bytes());
    let mut at = 0;
    while at < name.len() && at < carrier.len() && plain(name[at]) == plain(carrier[at]) {
        at += 1;
    }
    at == name.len() && at == carrier.len()
}

/// How often some parser would read the cookie `name` in `part`, which has no `;`: at its beginning, or right before a `=`
/// and behind something that is to some parser white space or a cookie's end.
pub(super) fn cookies_in(part: &[u8], name: &str) -> usize {
    let in_line = |line: &[u8]| {
        let mut words = line.split(|byte| *byte == b'=').peekable();
        let mut found = usize::from(words.next().is_some_and(|first| ends_with(first, name, true)));
        // The last one is no name, but a value.
        while let Some(word) = words.next().filter(|_| words.peek().is_some()) {
            found += usize::from(ends_with(word, name, false));
        }
        found
    };
    part.split(|byte| *byte == b',').map(in_line).sum()
}

/// Whether `name` is the last thing in `written`, where a name may begin: at its very front, if `fresh`, and behind
/// whatever ends a cookie.
fn ends_with(written: &[u8], name: &str, mut fresh: bool) -> bool {
    let mut rest = decoded(written);
    loop {
        let here = rest.clone();
        let Some((byte, escaped)) = rest.next() else { return false };
        if fresh && !is_dropped(byte) {
            if is_name(here, name) {
                return true;
            }
            fresh = false;
        }
        fresh |= !escaped && (is_invisible(byte) || b"\"[]\\".contains(&byte));
    }
}

/// Whether some framework makes the parameter or cookie `name` of `found`. What several of them do is allowed at once.
pub(super) fn reduces_to(found: &[u8], name: &str) -> bool {
    let mut rest = decoded(found);
    let mut here = rest.clone();
    while rest.next().is_some_and(|(byte, _)| is_dropped(byte)) {
        here = rest.clone();
    }
    is_name(here, name)
}

/// Whether `text` is `name` and what is dropped behind it.
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

/// White space in some character set, control characters, and `!`, which is how Envoy may show a byte that is not UTF-8.
fn is_invisible(byte: u8) -> bool {
    !byte.is_ascii_graphic() || byte == b'!'
}

/// Dropped in front of a name.
fn is_dropped(byte: u8) -> bool {
    is_invisible(byte) || b"[]?".contains(&byte)
}

/// As the most lenient decoder reads it: `%u0061` is an `a`, and a bad escape is itself. Each byte, and whether it was
/// written as another.
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

/// The byte that so many hexadecimal digits stand for, and what follows them. What is no byte is some invisible one.
fn number(digits: &[u8], length: usize) -> Option<(u8, &[u8])> {
    let (digits, after) = digits.split_at_checked(length)?;
    let code = digits.iter().try_fold(0, |code, digit| Some(code << 4 | char::from(*digit).to_digit(16)?))?;
    Some((u8::try_from(code).unwrap_or(u8::MAX), after))
}

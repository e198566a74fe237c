//! `credentials.passthrough`: carriers that are exempt beside the own key, because the upstream does not authenticate by
//! them.
//!
//! Some clients send two different credentials: the gateway's key in its own header, and that of another realm, such as
//! the provider's token, in `Authorization`. An exempt carrier reaches the upstream unchecked. So a carrier that a
//! profile reads is exempt only where a row of the profile says that the upstream ignores it, and never without the own
//! key.

use super::name::same_name;

/// When an upstream ignores a carrier that its profile reads, or does not read a header that the profile removes. What no
/// row says, the upstream may authenticate by.
#[derive(Clone, Copy, Debug)]
pub struct Ignored {
    /// The carrier's label.
    pub carrier: &'static str,
    /// The labels of the carriers that take precedence over it. They must not be ignored in favour of it in turn.
    pub overridden_by: &'static [&'static str],
    /// The paths on which it is ignored, as [`matches`] reads them: a gateway's routes authenticate in several functions.
    pub paths: &'static [&'static str],
    /// First segments of paths on which it is not ignored.
    pub except: &'static [&'static str],
    /// Whether the carrier's label alone, without paths, exempts it.
    pub by_label: bool,
    /// Whether it is ignored only if it holds a JSON Web Token, which is not a key of the realm.
    pub only_jwt: bool,
    /// The source of this behaviour.
    pub source: &'static str,
}

impl Ignored {
    /// An entry of `credentials.passthrough` that this row allows.
    pub fn example(&self) -> String {
        let Self { carrier, overridden_by, paths, .. } = self;
        format!("{carrier} beside {} on {} source URL-OF-ITS-DOCUMENTATION", overridden_by[0], paths[0])
    }

    pub(super) fn holds_for(&self, path: &[u8]) -> bool {
        let first = path.split(|byte| *byte == b'/').nth(1).unwrap_or_default();
        !self.except.iter().any(|name| name.as_bytes() == first)
            && self.paths.iter().any(|pattern| matches(pattern, path))
    }
}

/// The path of a request target, if every server reads it in the same way: no escape, empty or dot segment, path
/// parameter, backslash or other character that some server decodes, merges or cuts at.
pub(super) fn plain_path(target: &[u8]) -> Option<&[u8]> {
    let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:@+".contains(byte);
    let is_segment = |segment: &[u8]| segment.iter().all(is_plain) && segment.iter().any(|byte| *byte != b'.');
    let (slash, rest) = path.split_first()?;
    (*slash == b'/' && rest.split(|byte| *byte == b'/').all(is_segment)).then_some(path)
}

/// Whether `path` is the path of `pattern`, byte by byte. `*` at the end of a pattern is one or more segments; elsewhere
/// one.
pub(super) fn matches(pattern: &str, path: &[u8]) -> bool {
    let mut wanted = pattern.split('/').skip(1).peekable();
    let mut found = path.split(|byte| *byte == b'/').skip(1);
    while let Some(segment) = wanted.next() {
        match found.next() {
            None => return false,
            Some(_) if segment == "*" && wanted.peek().is_none() => return true,
            // An operator's own `*` is no segment.
            Some(here) if segment == "*" => {
                if here == b"*" {
                    return false;
                }
            }
            Some(here) if segment.as_bytes() != here => return false,
            Some(_) => {}
        }
    }
    found.next().is_none()
}

/// Whether a request with this header is never exempt: gateways authenticate WebSockets in another function, and some
/// upstreams take their path from the other two.
pub(super) fn prevents(header: &str) -> bool {
    PREVENTING.iter().any(|name| same_name(header, name))
}

/// The headers that prevent every exemption. Sentinel must see them.
pub const PREVENTING: [&str; 3] = ["upgrade", "x-original-url", "x-rewrite-url"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_that_all_servers_read_alike_is_plain() {
        for path in ["/", "/a", "/v1/messages", "/a-._~:@+/b", "/.well-known/x", "/v1beta/models/g:generateContent"] {
            assert_eq!(plain_path(path.as_bytes()).is_some(), path != "/", "{path}");
        }
        assert_eq!(plain_path(b"/a/b?c=/../d"), Some(&b"/a/b"[..]));
        for path in [
            "",
            "a",
            "*",
            "//a",
            "/a//b",
            "/a/",
            "/./a",
            "/a/..",
            "/a/../b",
            "/a/.../b",
            "/a%2fb",
            "/%61",
            "/a;b",
            "/a\\b",
            "/a b",
            "/a#b",
            "/a\u{e9}",
            "/a,b",
            "/a(b)",
            "/a*",
            "/*",
            "http://h/a",
        ] {
            assert_eq!(plain_path(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, path, expected) in [
            ("/a/b", "/a/b", true),
            ("/a/b", "/a/B", false),
            ("/a/b", "/a/b/c", false),
            ("/a/b", "/a", false),
            ("/a/*", "/a/b", true),
            ("/a/*", "/a/b/c", true),
            ("/a/*", "/a", false),
            ("/a/*", "/ab/c", false),
            ("/*", "/a", true),
            ("/*/mcp", "/a/mcp", true),
            ("/*/mcp", "/a/b/mcp", false),
            ("/*/mcp", "/mcp", false),
            // An operator's pattern, which a row must cover as a whole.
            ("/a/*", "/a/*", true),
            ("/a/*", "/a/b/*", true),
            ("/a/*", "/*", false),
            ("/*/mcp", "/*/mcp", false),
            ("/a/b", "/a/*", false),
        ] {
            assert_eq!(matches(pattern, path.as_bytes()), expected, "{pattern} {path}");
        }
    }
}

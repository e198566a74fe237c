//! Routes that an upstream may find by another path than Envoy, because the upstream unescapes `%2F` and Envoy does not.

use super::manager::{Manager, forwards, per_route, routes};
use crate::doctor::{Code, Report, yaml::Node};

const REJECT: &str = "path_with_escaped_slashes_action: REJECT_REQUEST";

impl Manager<'_> {
    pub(super) fn escaped_slashes(&self, report: &mut Report) {
        let Some(table) = self.table else { return };
        report.mark_checked(Code::EnvoyEscapedSlashes);
        if !keeps_escaped_slashes(self.manager.node) {
            return;
        }
        for (host, route) in routes(table.node) {
            let at = table.at_node(route);
            match self.is_checked(host, route) {
                true => special_route(&at, route, report),
                false => public_route(&at, route, report),
            }
        }
    }
}

/// A route without a check must not match a path that the upstream may read as one with a check.
fn public_route(at: &str, route: &Node, report: &mut Report) {
    let (Some(matched), true) = (route.get("match"), forwards(route)) else { return };
    if matched.get("path").is_some() {
        return;
    }
    let code = Code::EnvoyEscapedSlashes;
    let fix = format!("safe_regex: {{ regex: \"/public/[A-Za-z0-9._~/-]*\" }}, or {REJECT}");
    match matched.get("safe_regex").and_then(|regex| regex.text_of("regex")) {
        Some(regex) if is_plain(regex) => {}
        Some(_) => {
            let seen = format!("{at}: requests of this route are not checked, and its regular expression may match");
            report.warning(
                code,
                format!("{seen} escaped paths, such as /public/..%2fv1, which an upstream may read as /v1"),
                fix,
            );
        }
        None => {
            let seen =
                format!("{at}: requests of this route are not checked, and it matches escaped paths: an upstream");
            report.error(code, format!("{seen} that unescapes reads /public/..%2fv1 as /v1"), fix);
        }
    }
}

/// A route that blocks or that has its own profile must also match the spelling that the upstream reads as its path.
fn special_route(at: &str, route: &Node, report: &mut Report) {
    let blocks = route.get("direct_response").and_then(|answer| answer.text_of("status"));
    let blocks = blocks.and_then(|status| status.parse::<u16>().ok()).is_some_and(|status| status >= 400);
    let configs = route.get("typed_per_filter_config").map(Node::children).into_iter().flatten();
    let mut extensions =
        configs.filter_map(|config| per_route(config)?.get("check_settings")?.get("context_extensions"));
    let profile = extensions.any(|extensions| extensions.get("sentinel.profile").is_some());
    let Some(matched) = route.get("match").filter(|_| blocks || profile) else { return };
    let inner = |text: &str| text.trim_start_matches('/').contains('/');
    let evaded = ["path", "prefix"].iter().any(|field| matched.text_of(field).is_some_and(inner))
        || matched.get("path_separated_prefix").is_some();
    if evaded {
        let what = if profile { "without its sentinel.profile" } else { "and is not blocked" };
        let seen = format!("{at}: a path with %2F in place of a slash does not match this route");
        let seen =
            format!("{seen}, so the request is checked {what}; an upstream that unescapes reads the route's path");
        report.warning(
            Code::EnvoyEscapedSlashes,
            seen,
            format!("safe_regex with (/|%2[fF]) for each slash, or {REJECT}"),
        );
    }
}

/// Whether Envoy forwards `%2F` in a path.
pub(super) fn keeps_escaped_slashes(manager: &Node) -> bool {
    // Proto enums have names and numbers.
    let action = manager.text_of("path_with_escaped_slashes_action");
    action.is_none_or(|action| ["KEEP_UNCHANGED", "1", "IMPLEMENTATION_SPECIFIC_DEFAULT", "0"].contains(&action))
}

/// Whether a regular expression matches only paths of letters, digits and `-._~/`. Conservative: false for what it does
/// not know.
fn is_plain(regex: &str) -> bool {
    let is_literal = |byte: char| byte.is_ascii_alphanumeric() || "_~/-".contains(byte);
    let mut rest = regex;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '[' => match rest.split_once(']') {
                Some((class, after)) if is_plain_class(class) => rest = after,
                _ => return false,
            },
            '\\' => match rest.chars().next() {
                Some('.' | '-' | '/' | 'd' | 'w') => rest = &rest[1..],
                _ => return false,
            },
            '(' | ')' | '|' | '*' | '+' | '?' => {}
            other if is_literal(other) => {}
            _ => return false,
        }
    }
    true
}

fn is_plain_class(class: &str) -> bool {
    let class = class.as_bytes();
    let kind = |byte: u8| (byte.is_ascii_lowercase(), byte.is_ascii_uppercase(), byte.is_ascii_digit());
    let mut rest = class;
    loop {
        rest = match rest {
            [] => return true,
            [from, b'-', to, after @ ..] if from.is_ascii_alphanumeric() && kind(*from) == kind(*to) => after,
            [_, b'-', _, ..] => return false,
            [one, after @ ..] if one.is_ascii_alphanumeric() || b"._~/-".contains(one) => after,
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn an_expression_for_plain_paths_has_no_escape() {
        for plain in ["/public/[A-Za-z0-9._~/-]*", "/(a|b)/c\\.html", "/v1/\\d+/[a-f0-9]+", "(?i)/A", "/[-a]"] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in [
            "/public/.*",
            "/[^?]*",
            "/[.-~]",
            "/[0-z]",
            "/[A-z]",
            "/a%2fb",
            "/a;b",
            "/\\S*",
            "/[a",
            "/a\\",
            "/[[:print:]]",
        ] {
            assert!(!is_plain(other), "{other}");
        }
    }
}

//! Whether Envoy forwards a route on which the upstream accepts a credential that Sentinel does not judge.

use std::collections::BTreeSet;

use regex::Regex;

use super::{
    manager::{Manager, forwards},
    routes::keeps_escaped_slashes,
};
use crate::{
    credential::Credentials,
    doctor::{Code, Report, yaml::Node},
};

impl Manager<'_> {
    pub(super) fn login_routes(&self, credentials: &Credentials, report: &mut Report) {
        let Some(table) = self.table else { return };
        let escapes = keeps_escaped_slashes(self.manager.node);
        let code = Code::EnvoyLoginRoutes;
        report.mark_checked(code);
        for profile in credentials.profiles() {
            for host in table.node.items("virtual_hosts") {
                let routes: Vec<_> = host.items("routes").iter().map(Route::of).collect();
                let forwarded = |path: &&str| {
                    let spellings = spellings(path, escapes);
                    spellings.iter().find_map(|spelling| Some((first_forwarding(&routes, spelling)?, spelling.clone())))
                };
                let found: Vec<_> = profile.login_routes.paths.iter().filter_map(forwarded).collect();
                let Some((route, _)) = found.first() else { continue };
                // Each once: a prefix and the path below it may have the same spelling.
                let paths: BTreeSet<_> = found.iter().map(|(_, path)| path.as_str()).collect();
                let seen = format!(
                    "{}: this route forwards {}: the upstream of profile {} accepts a credential there that Sentinel does not \
                     judge, such as a stolen key in a form",
                    table.at_node(route),
                    paths.into_iter().collect::<Vec<_>>().join(", "),
                    profile.name
                );
                report.error(code, seen, "add the routes of envoy/envoy.yaml that answer 404 in front of it");
            }
        }
    }
}

/// The path's spellings that the upstream reads as it, with a segment in place of `*`. Starlette's `^/login$` matches a line
/// feed at the end, too.
fn spellings(pattern: &str, escapes: bool) -> Vec<String> {
    let path = pattern.replace('*', "x");
    let inner = path.trim_start_matches('/');
    let escaped = ["%2F", "%2f"].map(|slash| format!("/{}", inner.replace('/', slash)));
    let escaped = escaped.into_iter().filter(|it| escapes && *it != path);
    let with_line_feed = ["%0A", "%0a"].map(|end| format!("{path}{end}"));
    std::iter::once(path.clone()).chain(with_line_feed).chain(escaped).collect()
}

/// The route that forwards some requests of `path` to an upstream.
fn first_forwarding<'a>(routes: &[Route<'a>], path: &str) -> Option<&'a Node> {
    for route in routes.iter().filter(|route| route.path.matches(path)) {
        if forwards(route.node) {
            return Some(route.node);
        }
        if !route.conditional {
            return None;
        }
    }
    None
}

struct Route<'a> {
    node: &'a Node,
    path: PathMatch<'a>,
    /// Whether it matches only some requests of the path.
    conditional: bool,
}

enum PathMatch<'a> {
    Exact(&'a str),
    Prefix(&'a str),
    SeparatedPrefix(&'a str),
    Regex(Regex),
    /// One that is not evaluated: its route counts as one that matches nothing.
    Unknown,
}

const CONDITIONS: [&str; 8] = [
    "headers",
    "query_parameters",
    "cookies",
    "grpc",
    "runtime_fraction",
    "tls_context",
    "dynamic_metadata",
    "filter_state",
];

impl<'a> Route<'a> {
    fn of(node: &'a Node) -> Self {
        let Some(matched) = node.get("match") else {
            return Self { node, path: PathMatch::Unknown, conditional: true };
        };
        let conditional = CONDITIONS.iter().any(|name| matched.get(name).is_some());
        Self { node, path: PathMatch::of(matched), conditional }
    }
}

impl<'a> PathMatch<'a> {
    fn of(matched: &'a Node) -> Self {
        let text = |name| matched.text_of(name);
        let regex = || {
            let regex = matched.get("safe_regex")?.text_of("regex")?;
            // Envoy matches the whole path.
            Regex::new(&format!("^(?:{regex})$")).ok()
        };
        let plain = text("path").map(Self::Exact).or_else(|| text("prefix").map(Self::Prefix));
        let plain = plain.or_else(|| text("path_separated_prefix").map(Self::SeparatedPrefix));
        plain.or_else(|| regex().map(Self::Regex)).unwrap_or(Self::Unknown)
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == *exact,
            Self::Prefix(prefix) => path.starts_with(prefix),
            Self::SeparatedPrefix(prefix) => {
                path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            Self::Regex(regex) => regex.is_match(path),
            Self::Unknown => false,
        }
    }
}

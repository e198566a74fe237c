//! Whether Envoy sends Sentinel every header that may hold a key or an address.

use std::collections::BTreeSet;

use super::{case::FilterCheck, matcher::matches};
use crate::{
    credential::{Options, PREVENTING, Place},
    doctor::{Code, Report, yaml::Node},
};

impl FilterCheck<'_> {
    pub(super) fn hidden_headers(&self, report: &mut Report) {
        let code = Code::EnvoyHiddenHeaders;
        report.mark_checked(code);
        let lists = ["allowed_headers", "disallowed_headers"].map(|name| self.filter.get(name));
        let Some(list) = lists[0].or(lists[1]) else { return };
        let (mut hidden, mut lookalikes, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        for name in self.headers_read() {
            // Some upstreams read `_` and `.` in a header name as `-`.
            let seen =
                [name.to_owned(), name.replace('-', "_"), name.replace('-', ".")].map(|name| is_seen(lists, &name));
            match seen {
                [Some(false), ..] => hidden.push(name),
                [Some(true), Some(true), Some(true)] => {}
                _ if seen.contains(&Some(false)) => lookalikes.push(name),
                _ => unknown.push(name),
            }
        }
        let fix = "remove allowed_headers and disallowed_headers; a list that lacks one header allows a bypass";
        if !hidden.is_empty() {
            let seen = format!("{}: Sentinel does not see {}", self.at(list), hidden.join(", "));
            report.error(code, format!("{seen}: a key or an address there reaches the upstream unchecked"), fix);
        }
        if !unknown.is_empty() {
            let (at, names) = (self.at(list), unknown.join(", "));
            let seen = format!("{at}: whether Sentinel sees {names} depends on a regular expression");
            report.warning(code, format!("{seen}, which doctor does not evaluate"), fix);
        }
        if let (true, Some(name)) = (hidden.is_empty(), lookalikes.first()) {
            let others = [name.replace('-', "_"), name.replace('-', ".")].join(" and ");
            let seen = format!("{}: Sentinel does not see {others}, which upstreams may read as {name}", self.at(list));
            report.error(code, format!("{seen}: a key there reaches the upstream unchecked"), fix);
        }
    }

    /// The headers that any configured profile or `client_ip` reads.
    fn headers_read(&self) -> BTreeSet<&str> {
        let profiles = self.setup.credentials.profiles();
        let carriers = profiles.flat_map(|profile| profile.carriers).filter_map(|carrier| match carrier.place {
            Place::Header(name) => Some(name),
            Place::Cookie(_) => Some("cookie"),
            Place::Protocol(_) => Some("sec-websocket-protocol"),
            Place::Query(_) => None,
        });
        // credentials.passthrough does not apply to requests with one of these.
        let Options { passthrough, foreign, .. } = &self.setup.credentials.options;
        let exempts = !(passthrough.is_empty() && foreign.is_empty());
        let preventing = PREVENTING.into_iter().filter(|_| exempts);
        carriers.chain(self.setup.client_ip.header()).chain(preventing).collect()
    }
}

/// Whether a header passes `allowed_headers` and `disallowed_headers`; `None` if a regular expression decides.
fn is_seen([allowed, disallowed]: [Option<&Node>; 2], name: &str) -> Option<bool> {
    let allowed = allowed.map_or(Some(true), |list| listed(list, name));
    match (allowed, disallowed.map_or(Some(false), |list| listed(list, name))) {
        (Some(false), _) | (_, Some(true)) => Some(false),
        (Some(true), Some(false)) => Some(true),
        _ => None,
    }
}

/// Whether a `ListStringMatcher` matches the name; `None` if a regular expression decides.
fn listed(list: &Node, name: &str) -> Option<bool> {
    let mut all = list.items("patterns").iter().map(|pattern| matches(pattern, name));
    let is_unknown = all.clone().any(|it| it.is_none());
    if all.any(|it| it == Some(true)) { Some(true) } else { (!is_unknown).then_some(false) }
}

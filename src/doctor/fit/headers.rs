//! Whether Sentinel sees every header in which it looks for a key or an address.

use std::collections::BTreeSet;

use super::{case::Case, matcher::matches};
use crate::{
    credential::Place,
    doctor::{Code, Report, yaml::Node},
};

impl Case<'_> {
    pub(super) fn hidden_headers(&self, report: &mut Report) {
        let code = Code::EnvoyHiddenHeaders;
        report.looked_at(code);
        let lists = ["allowed_headers", "disallowed_headers"].map(|name| self.filter.get(name));
        let Some(list) = lists[0].or(lists[1]) else { return };
        let (mut hidden, mut disguised, mut unread) = (Vec::new(), Vec::new(), Vec::new());
        for name in self.read() {
            // The other two are the same header to some upstreams.
            let seen =
                [name.to_owned(), name.replace('-', "_"), name.replace('-', ".")].map(|name| is_seen(lists, &name));
            match seen {
                [Some(false), ..] => hidden.push(name),
                [Some(true), Some(true), Some(true)] => {}
                _ if seen.contains(&Some(false)) => disguised.push(name),
                _ => unread.push(name),
            }
        }
        let fix = "remove allowed_headers and disallowed_headers; a list that lacks one header is a bypass";
        if !hidden.is_empty() {
            let seen = format!("{}: Sentinel does not see {}", self.at(list), hidden.join(", "));
            report.error(code, format!("{seen}: a key or an address there goes to the upstream unjudged"), fix);
        }
        if !unread.is_empty() {
            let seen = format!("{}: whether Sentinel sees {} hangs on a pattern", self.at(list), unread.join(", "));
            report.warning(code, format!("{seen} that is not read here"), fix);
        }
        if let (true, Some(name)) = (hidden.is_empty(), disguised.first()) {
            let others = [name.replace('-', "_"), name.replace('-', ".")].join(" and ");
            let seen = format!("{}: Sentinel does not see {others}, which upstreams may read as {name}", self.at(list));
            report.error(code, format!("{seen}: a key there goes to the upstream unjudged"), fix);
        }
    }

    /// By any profile that a request may be read by.
    fn read(&self) -> BTreeSet<&str> {
        let profiles = self.setup.credentials.profiles();
        let carriers = profiles.flat_map(|profile| profile.carriers).filter_map(|carrier| match carrier.place {
            Place::Header(name) => Some(name),
            Place::Cookie(_) => Some("cookie"),
            Place::Protocol(_) => Some("sec-websocket-protocol"),
            Place::Query(_) => None,
        });
        // What credentials.passthrough lets pass it lets pass without an upgrade only.
        let upgrade = (!self.setup.credentials.options.passthrough.is_empty()).then_some("upgrade");
        carriers.chain(self.setup.client_ip.header()).chain(upgrade).collect()
    }
}

/// Whether a header passes `allowed_headers` and `disallowed_headers`.
fn is_seen([allowed, disallowed]: [Option<&Node>; 2], name: &str) -> Option<bool> {
    let allowed = allowed.map_or(Some(true), |list| listed(list, name));
    match (allowed, disallowed.map_or(Some(false), |list| listed(list, name))) {
        (Some(false), _) | (_, Some(true)) => Some(false),
        (Some(true), Some(false)) => Some(true),
        _ => None,
    }
}

/// Whether the name is in a `ListStringMatcher`; `None` if that cannot be told.
fn listed(list: &Node, name: &str) -> Option<bool> {
    let mut all = list.items("patterns").iter().map(|pattern| matches(pattern, name));
    let unread = all.clone().any(|it| it.is_none());
    if all.any(|it| it == Some(true)) { Some(true) } else { (!unread).then_some(false) }
}

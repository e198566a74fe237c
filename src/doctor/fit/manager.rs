//! A connection manager: which of its routes its ext_authz filters check.
//!
//! Envoy Gateway disables each filter in `http_filters` and enables it on the routes of its policy. What enables a filter
//! was established with Envoy 1.40; `tests/doctor/control_plane.rs` repeats it.

use super::walk::{FoundFilter, Located, inside, is};
use crate::doctor::{Code, Report, yaml::Node};

/// A finding names at most this many places.
pub(super) const MAX_NAMED: usize = 5;

/// In characters. Longer names of routes are cut.
const MAX_NAME: usize = 120;

/// A connection manager with its ext_authz filters.
pub(super) struct Manager<'a> {
    pub(super) manager: Located<'a>,
    /// Its routes, if a file has them.
    pub(super) table: Option<Located<'a>>,
    /// The entries of `http_filters` that apply unless a route disables them.
    on: Vec<&'a Node>,
    /// The entries with `disabled: true`, which apply where a route enables them.
    off: Vec<&'a Node>,
}

impl<'a> Manager<'a> {
    pub(super) fn new(manager: Located<'a>, table: Option<Located<'a>>, filters: &[FoundFilter<'a>]) -> Self {
        let entries = filters.iter().filter_map(|found| found.context.entry);
        let (off, on) = entries.partition(|entry| entry.has_true("disabled"));
        Self { manager, table, on, off }
    }

    /// Reports the routes on which no disabled filter is enabled. False if no route is checked: to report more about
    /// each route would only repeat it.
    pub(super) fn some_route_is_checked(&self, report: &mut Report) -> bool {
        let (Some(table), Some(first), []) = (self.table, self.off.first(), &self.on[..]) else { return true };
        let code = Code::EnvoyNotEnforced;
        let forwarding: Vec<_> = routes(table.node).filter(|(_, route)| forwards(route)).collect();
        let unchecked = forwarding.iter().filter(|(host, route)| !self.any_is_enabled(host, route));
        let unchecked: Vec<_> = unchecked.map(|(_, route)| *route).collect();
        if unchecked.is_empty() {
            return true;
        }
        if unchecked.len() == forwarding.len() && !has_other_routes(table.node) {
            let at = self.manager.at_node(first.get("disabled").unwrap_or(first));
            let seen = format!("{at}: the filter is disabled, and no route of this connection manager enables it");
            let fix = "remove `disabled: true`, and disable the filter with ExtAuthzPerRoute on the public routes only; with a \
                       control plane, attach its policy to the routes";
            report.error(code, format!("{seen}: Envoy never calls Sentinel"), fix);
            return false;
        }
        let named = unchecked.iter().take(MAX_NAMED).map(|route| format!("{}{}", table.at_node(route), name(route)));
        let named = named.collect::<Vec<_>>().join(", ");
        let (count, all) = (unchecked.len(), forwarding.len());
        let more = if count > MAX_NAMED { format!(" and {} more", count - MAX_NAMED) } else { String::new() };
        let seen =
            format!("{count} of {all} routes forward requests without a check, because no ext_authz filter is enabled");
        let fix = "attach the control plane's policy to these routes, or enable the filter there with typed_per_filter_config; \
                   if they are public, ignore this finding";
        report.warning(code, format!("{seen} on them: {named}{more}"), fix);
        true
    }

    /// Whether requests of a route are checked. Filters that are on by default must not be disabled; of those that routes
    /// enable, one policy's is enough.
    pub(super) fn is_checked(&self, host: &Node, route: &Node) -> bool {
        if self.on.is_empty() {
            self.any_is_enabled(host, route)
        } else {
            self.each_place(host, route, |places| self.on.iter().all(|entry| applies(entry, places)))
        }
    }

    fn any_is_enabled(&self, host: &Node, route: &Node) -> bool {
        self.each_place(host, route, |places| self.off.iter().any(|entry| applies(entry, places)))
    }

    /// Whether this holds for each destination of the route. `places` are what may configure a filter there, the most
    /// specific first.
    fn each_place(&self, host: &Node, route: &Node, holds: impl Fn(&[&Node]) -> bool) -> bool {
        let table = self.table.map_or(host, |table| table.node);
        let weighted = route.get("route").and_then(|action| action.get("weighted_clusters"));
        match weighted.map(|weighted| weighted.items("clusters")).unwrap_or_default() {
            [] => holds(&[route, host, table]),
            clusters => clusters.iter().all(|cluster| holds(&[cluster, route, host, table])),
        }
    }
}

/// Whether Envoy runs this filter. Two rules: the most specific entry of the filter's name decides whether the filter is
/// in the chain, and the most specific `ExtAuthzPerRoute`, whether it then calls its server.
fn applies(entry: &Node, places: &[&Node]) -> bool {
    let name = entry.text_of("name");
    let mut configs = places.iter().filter_map(|place| place.get("typed_per_filter_config")?.get(name?));
    let is_in_chain = match configs.clone().next() {
        Some(config) => !(is(config, FILTER_CONFIG) && inside(config).has_true("disabled")),
        None => !entry.has_true("disabled"),
    };
    is_in_chain && !configs.find_map(per_route).is_some_and(|own| own.has_true("disabled"))
}

const FILTER_CONFIG: &str = "route.v3.FilterConfig";

/// The `ExtAuthzPerRoute` of an entry of `typed_per_filter_config`.
pub(super) fn per_route(config: &Node) -> Option<&Node> {
    let config = if is(config, FILTER_CONFIG) { inside(config).get("config")? } else { config };
    is(config, "ext_authz.v3.ExtAuthzPerRoute").then(|| inside(config))
}

/// The routes of a route configuration, each with its virtual host.
pub(super) fn routes(table: &Node) -> impl Iterator<Item = (&Node, &Node)> {
    table.items("virtual_hosts").iter().flat_map(|host| host.items("routes").iter().map(move |route| (host, route)))
}

/// Whether a route sends requests to an upstream.
pub(super) fn forwards(route: &Node) -> bool {
    route.get("route").is_some()
}

/// Whether a route configuration has routes that [`routes`] does not return.
pub(super) fn has_other_routes(table: &Node) -> bool {
    table.get("vhds").is_some() || table.items("virtual_hosts").iter().any(|host| host.get("matcher").is_some())
}

fn name(node: &Node) -> String {
    let Some(name) = node.text_of("name").filter(|name| !name.is_empty()) else { return String::new() };
    format!(" ({})", printable(name))
}

/// A name from a file, safe to print.
pub(super) fn printable(name: &str) -> String {
    name.chars().take(MAX_NAME).flat_map(char::escape_debug).collect()
}

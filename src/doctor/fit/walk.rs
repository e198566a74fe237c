//! Finds every ext_authz filter of the files, at any depth, with its context: a bootstrap file, a list of xDS resources,
//! a `config_dump` and an Istio patch differ only in the levels above.

use std::collections::HashMap;

use super::file::EnvoyFile;
use crate::doctor::yaml::Node;

const EXT_AUTHZ: &str = "http.ext_authz.v3.ExtAuthz";

/// A node and the name of its file.
#[derive(Clone, Copy)]
pub(super) struct Located<'a> {
    pub(super) file: &'a str,
    pub(super) node: &'a Node,
}

impl Located<'_> {
    /// The file and line.
    pub(super) fn at(&self) -> String {
        self.at_node(self.node)
    }

    /// The file and line of a node inside this one.
    pub(super) fn at_node(&self, node: &Node) -> String {
        format!("{}:{}", self.file, node.line)
    }
}

/// An ext_authz filter.
#[derive(Clone, Copy)]
pub(super) struct FoundFilter<'a> {
    /// Its configuration.
    pub(super) filter: &'a Node,
    /// Its context.
    pub(super) context: Context<'a>,
}

impl FoundFilter<'_> {
    /// Whether both belong to one connection manager, or none is known of either.
    pub(super) fn shares_manager(&self, other: &Self) -> bool {
        let [ours, theirs] = [self, other].map(|found| found.context.manager.map(std::ptr::from_ref));
        ours == theirs
    }
}

/// The nodes that enclose a node.
#[derive(Clone, Copy, Default)]
pub(super) struct Context<'a> {
    /// The name of the file.
    pub(super) file: &'a str,
    /// The connection manager.
    pub(super) manager: Option<&'a Node>,
    /// The listener filter that reads the PROXY protocol.
    pub(super) proxy_protocol: Option<&'a Node>,
    /// The entry of `http_filters`, which may disable its filter.
    pub(super) entry: Option<&'a Node>,
    /// Inside a patch: a field that is absent here may be set in the configuration that the patch is merged into.
    pub(super) partial: bool,
    /// Inside a dump that has the static listeners a second time, apart from the bootstrap.
    has_listeners: bool,
}

/// The parts of the files that the checks need.
#[derive(Default)]
pub(super) struct Parts<'a> {
    pub(super) ext_authz: Vec<FoundFilter<'a>>,
    /// The connection managers, without those of patches.
    pub(super) managers: Vec<Located<'a>>,
    /// The route configurations outside connection managers, by name.
    pub(super) tables: HashMap<&'a str, Vec<Located<'a>>>,
    /// Where ext_authz filters come from a server (ECDS), and their connection managers.
    pub(super) discovered: Vec<(Located<'a>, Option<&'a Node>)>,
    /// Where listeners come from a server or a file (LDS).
    pub(super) listeners_elsewhere: Option<Located<'a>>,
    /// Kubernetes resources without Envoy configuration.
    pub(super) resources: Vec<Located<'a>>,
}

impl<'a> Parts<'a> {
    pub(super) fn of(files: &'a [EnvoyFile]) -> Self {
        let mut parts = Self::default();
        for EnvoyFile { name, documents } in files {
            documents.iter().for_each(|document| parts.document(Located { file: name, node: document }));
        }
        parts
    }

    /// The routes of a manager: its own, or the route configuration that it names, first from the manager's own file.
    pub(super) fn table_of(&self, manager: Located<'a>) -> Option<Located<'a>> {
        if let Some(node) = manager.node.get("route_config") {
            return Some(Located { node, ..manager });
        }
        let named = self.tables.get(rds_name(manager.node)?)?;
        named.iter().find(|table| table.file == manager.file).or(named.first()).copied()
    }

    fn document(&mut self, document: Located<'a>) {
        let Located { file, node } = document;
        let kind = node.get("api_version").and_then(|_| node.text_of("kind"));
        let items = node.items("items");
        if kind.is_some() && !items.is_empty() {
            return items.iter().for_each(|node| self.document(Located { file, node }));
        }
        let before = self.count();
        self.walk(node, Context { file, ..Context::default() });
        // An EnvoyFilter may patch parts that no check reads.
        if kind.is_some_and(|kind| kind != "EnvoyFilter") && self.count() == before {
            self.resources.push(document);
        }
    }

    fn count(&self) -> usize {
        self.ext_authz.len() + self.managers.len() + self.tables.values().map(Vec::len).sum::<usize>()
    }

    fn walk(&mut self, node: &'a Node, mut context: Context<'a>) {
        let here = Located { file: context.file, node };
        context.has_listeners |= node.items("configs").iter().any(|dump| is(dump, "admin.v3.ListenersConfigDump"));
        if context.has_listeners && is(node, "admin.v3.BootstrapConfigDump") {
            return;
        }
        if node.get("listener_filters").is_some() || node.get("filter_chains").is_some() {
            let mut filters = node.items("listener_filters").iter();
            context.proxy_protocol = filters.find(|filter| is_a(filter, "listener.proxy_protocol.v3.ProxyProtocol"));
        }
        if node.text_of("operation").is_some_and(|text| text.eq_ignore_ascii_case("merge")) {
            context.partial = true;
        }
        if config(node).is_some() {
            context.entry = Some(node);
        }
        if let Some(discovery) = node.get("config_discovery") {
            context.entry = Some(node);
            let mut types = discovery.items("type_urls").iter().filter_map(Node::text);
            if types.any(|name| name.ends_with(EXT_AUTHZ)) {
                self.discovered.push((here, context.manager));
            }
        }
        if node.get("dynamic_resources").is_some_and(|resources| resources.get("lds_config").is_some()) {
            self.listeners_elsewhere.get_or_insert(here);
        }
        let own = context.manager.and_then(|manager| manager.get("route_config"));
        if node.get("virtual_hosts").or(node.get("vhds")).is_some()
            && !context.partial
            && !own.is_some_and(|own| std::ptr::eq(own, node))
        {
            self.tables.entry(node.text_of("name").unwrap_or_default()).or_default().push(here);
        }
        // Not the network filter of that name, which Sentinel does not implement.
        if is(node, EXT_AUTHZ) {
            self.ext_authz.push(FoundFilter { filter: inside(node), context });
        } else if is(node, "http_connection_manager.v3.HttpConnectionManager") {
            context.manager = Some(inside(node));
            if !context.partial {
                self.managers.push(Located { node: inside(node), ..here });
            }
        }
        // States of a listener in a dump: what Envoy is about to drop, and what it did not accept.
        let past = ["draining_state", "error_state"].map(|name| node.get(name).map(std::ptr::from_ref));
        let present = node.children().filter(|child| !past.contains(&Some(std::ptr::from_ref(*child))));
        present.for_each(|child| self.walk(child, context));
    }
}

/// The name of a manager's route configuration, if a server or a file delivers it (RDS).
pub(super) fn rds_name(manager: &Node) -> Option<&str> {
    manager.get("rds")?.text_of("route_config_name")
}

/// Whether this entry of a list of filters configures a message whose type name ends with `message`.
pub(super) fn is_a(entry: &Node, message: &str) -> bool {
    config(entry).is_some_and(|config| is(config, message))
}

/// The configuration of an entry of a list of filters.
pub(super) fn config(entry: &Node) -> Option<&Node> {
    entry.get("typed_config")
}

/// The message inside a `TypedStruct`, or the node itself.
pub(super) fn inside(node: &Node) -> &Node {
    node.get("value").filter(|_| is_wrapped(node)).unwrap_or(node)
}

/// Whether this is a message whose type name ends with `message`.
pub(super) fn is(node: &Node, message: &str) -> bool {
    let name = if is_wrapped(node) { node.text_of("type_url") } else { node.text_of("@type") };
    name.is_some_and(|name| name.ends_with(message))
}

fn is_wrapped(node: &Node) -> bool {
    node.text_of("@type")
        .is_some_and(|name| name.ends_with("type.v1.TypedStruct") || name.ends_with("type.v3.TypedStruct"))
}

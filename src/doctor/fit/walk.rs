//! Finds every ext_authz filter of a file, at any depth, with its context: a bootstrap file, a list of xDS resources
//! and an Istio patch differ only in the levels above.

use crate::doctor::yaml::Node;

/// An ext_authz filter.
#[derive(Clone, Copy)]
pub(super) struct FoundFilter<'a> {
    /// Its configuration.
    pub(super) filter: &'a Node,
    /// Its context.
    pub(super) context: Context<'a>,
}

/// The nodes that enclose a node.
#[derive(Clone, Copy, Default)]
pub(super) struct Context<'a> {
    /// The connection manager.
    pub(super) manager: Option<&'a Node>,
    /// The listener filter that reads the PROXY protocol.
    pub(super) proxy_protocol: Option<&'a Node>,
    /// The entry of `http_filters`, which may disable its filter.
    pub(super) entry: Option<&'a Node>,
    /// Inside a patch: a field that is absent here may be set in the configuration that the patch is merged into.
    pub(super) partial: bool,
}

/// The filters and connection managers of a file.
#[derive(Default)]
pub(super) struct Filters<'a> {
    pub(super) ext_authz: Vec<FoundFilter<'a>>,
    /// The connection managers, without those of patches.
    pub(super) managers: Vec<&'a Node>,
}

impl<'a> Filters<'a> {
    pub(super) fn of(documents: &'a [Node]) -> Self {
        let mut found = Self::default();
        documents.iter().for_each(|document| found.walk(document, Context::default()));
        found
    }

    fn walk(&mut self, node: &'a Node, mut context: Context<'a>) {
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
        // Not the network filter of that name, which Sentinel does not implement.
        if is(node, "http.ext_authz.v3.ExtAuthz") {
            self.ext_authz.push(FoundFilter { filter: inside(node), context });
        } else if is(node, "http_connection_manager.v3.HttpConnectionManager") {
            context.manager = Some(inside(node));
            if !context.partial {
                self.managers.push(inside(node));
            }
        }
        node.children().for_each(|child| self.walk(child, context));
    }
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

//! Finds every ext_authz filter of a file, at any depth, and what is around it: a bootstrap file, a list of xDS resources
//! and an Istio patch differ only in what is above.

use crate::doctor::yaml::Node;

/// An ext_authz filter.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    /// Its configuration.
    pub(super) filter: &'a Node,
    /// What is around it.
    pub(super) around: Around<'a>,
}

/// What is around a node.
#[derive(Clone, Copy, Default)]
pub(super) struct Around<'a> {
    /// The connection manager.
    pub(super) manager: Option<&'a Node>,
    /// The listener filter that reads the PROXY protocol.
    pub(super) proxy_protocol: Option<&'a Node>,
    /// The entry of `http_filters`, which may switch its filter off.
    pub(super) entry: Option<&'a Node>,
    /// Inside a patch that is merged into what is not here: what is absent may be there.
    pub(super) partial: bool,
}

/// All that matters of a file.
#[derive(Default)]
pub(super) struct Sites<'a> {
    pub(super) filters: Vec<Site<'a>>,
    /// Connection managers that are whole.
    pub(super) managers: Vec<&'a Node>,
}

impl<'a> Sites<'a> {
    pub(super) fn of(documents: &'a [Node]) -> Self {
        let mut sites = Self::default();
        documents.iter().for_each(|document| sites.walk(document, Around::default()));
        sites
    }

    fn walk(&mut self, node: &'a Node, mut around: Around<'a>) {
        if node.get("listener_filters").is_some() || node.get("filter_chains").is_some() {
            let mut filters = node.items("listener_filters").iter();
            around.proxy_protocol = filters.find(|filter| is_a(filter, "listener.proxy_protocol.v3.ProxyProtocol"));
        }
        if node.text_of("operation").is_some_and(|text| text.eq_ignore_ascii_case("merge")) {
            around.partial = true;
        }
        if config(node).is_some() {
            around.entry = Some(node);
        }
        // Not the network filter of that name, which Sentinel does not answer.
        if is(node, "http.ext_authz.v3.ExtAuthz") {
            self.filters.push(Site { filter: inside(node), around });
        } else if is(node, "http_connection_manager.v3.HttpConnectionManager") {
            around.manager = Some(inside(node));
            if !around.partial {
                self.managers.push(inside(node));
            }
        }
        node.children().for_each(|child| self.walk(child, around));
    }
}

/// Whether this entry of a list of filters holds a message of this type, by the end of its name.
pub(super) fn is_a(entry: &Node, message: &str) -> bool {
    config(entry).is_some_and(|config| is(config, message))
}

/// What an entry of a list of filters configures.
pub(super) fn config(entry: &Node) -> Option<&Node> {
    entry.get("typed_config")
}

/// The message itself where it is wrapped in a `TypedStruct`.
pub(super) fn inside(node: &Node) -> &Node {
    node.get("value").filter(|_| is_wrapped(node)).unwrap_or(node)
}

fn is(node: &Node, message: &str) -> bool {
    let name = if is_wrapped(node) { node.text_of("type_url") } else { node.text_of("@type") };
    name.is_some_and(|name| name.ends_with(message))
}

fn is_wrapped(node: &Node) -> bool {
    node.text_of("@type")
        .is_some_and(|name| name.ends_with("type.v1.TypedStruct") || name.ends_with("type.v3.TypedStruct"))
}

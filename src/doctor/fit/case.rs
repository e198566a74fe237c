//! One ext_authz filter and the settings that it is compared with.

use super::{
    matcher,
    walk::{Context, is_a},
};
use crate::doctor::{Code, Report, Setup, yaml};

/// The checks of one ext_authz filter.
pub(super) struct FilterCheck<'a> {
    pub(super) filter: &'a yaml::Node,
    pub(super) context: Context<'a>,
    pub(super) order: Order<'a>,
    pub(super) setup: &'a Setup,
}

/// The order of a manager's filters. Computed once per manager, because a file may have thousands of filters.
#[derive(Clone, Copy, Default)]
pub(super) struct Order<'a> {
    pub(super) last_cors: Option<(usize, &'a yaml::Node)>,
    /// The first filter that removes `client_ip.header`.
    pub(super) first_remover: Option<(usize, &'a yaml::Node)>,
}

impl FilterCheck<'_> {
    /// The file and line of a node.
    pub(super) fn at(&self, node: &yaml::Node) -> String {
        format!("{}:{}", self.context.file, node.line)
    }

    /// The file and line of a field, or of the filter if the field is absent.
    pub(super) fn at_field(&self, name: &str) -> String {
        self.at(self.filter.get(name).unwrap_or(self.filter))
    }

    pub(super) fn cors_order(&self, report: &mut Report) {
        let code = Code::EnvoyCorsOrder;
        let Some(manager) = self.context.manager else { return };
        report.mark_checked(code);
        if let Some((at, cors)) = self.order.last_cors
            && self.position(manager).is_some_and(|ours| at > ours)
        {
            let seen =
                format!("{}: the CORS filter is behind ext_authz: a preflight has no key and is denied", self.at(cors));
            report.warning(code, seen, "move envoy.filters.http.cors in front of envoy.filters.http.ext_authz");
        }
    }

    /// The index of this filter in the manager.
    pub(super) fn position(&self, manager: &yaml::Node) -> Option<usize> {
        manager.items("http_filters").element_offset(self.context.entry?)
    }
}

impl<'a> Order<'a> {
    pub(super) fn of(manager: Option<&'a yaml::Node>, header: Option<&str>) -> Self {
        let filters = manager.map(|manager| manager.items("http_filters")).unwrap_or_default();
        let all = || filters.iter().enumerate();
        Self {
            last_cors: all().rfind(|(_, filter)| is_a(filter, "http.cors.v3.Cors")),
            first_remover: header.and_then(|name| all().find(|(_, filter)| matcher::removes(filter, name))),
        }
    }
}

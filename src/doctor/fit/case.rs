//! What a filter is judged by.

use super::{
    matcher,
    walk::{Around, is_a},
};
use crate::doctor::{Code, Report, Setup, yaml};

/// One ext_authz filter and what it has to fit.
pub(super) struct Case<'a> {
    pub(super) file: &'a str,
    pub(super) filter: &'a yaml::Node,
    pub(super) around: Around<'a>,
    pub(super) order: Order<'a>,
    pub(super) setup: &'a Setup,
}

/// What matters of the order of a manager's filters: found once, however many of them ask.
#[derive(Clone, Copy, Default)]
pub(super) struct Order<'a> {
    pub(super) last_cors: Option<(usize, &'a yaml::Node)>,
    /// Of those that remove the header of `client_ip.header`.
    pub(super) first_remover: Option<(usize, &'a yaml::Node)>,
}

impl Case<'_> {
    /// Where a reader finds it.
    pub(super) fn at(&self, node: &yaml::Node) -> String {
        format!("{}:{}", self.file, node.line)
    }

    /// The field's place, or the filter's where the field is absent.
    pub(super) fn at_field(&self, name: &str) -> String {
        self.at(self.filter.get(name).unwrap_or(self.filter))
    }

    pub(super) fn cors_order(&self, report: &mut Report) {
        let code = Code::EnvoyCorsOrder;
        let Some(manager) = self.around.manager else { return };
        report.looked_at(code);
        if let Some((at, cors)) = self.order.last_cors
            && self.position(manager).is_some_and(|ours| at > ours)
        {
            let seen = format!(
                "{}: the CORS filter is behind ext_authz; a preflight carries no key and is denied",
                self.at(cors)
            );
            report.warning(code, seen, "move envoy.filters.http.cors in front of envoy.filters.http.ext_authz");
        }
    }

    /// Which of the manager's filters this one is.
    pub(super) fn position(&self, manager: &yaml::Node) -> Option<usize> {
        manager.items("http_filters").element_offset(self.around.entry?)
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

//! Compares Envoy's files with Sentinel's settings.
//!
//! Each check was shown to be necessary with a real Envoy; `envoy/envoy.yaml` gives the reason next to each field.
//! Parts that are not in the file are not guessed: a filter without its connection manager is checked by itself.

mod address;
mod case;
mod file;
mod filter;
mod headers;
mod login;
mod manager;
mod matcher;
mod metadata;
mod routes;
mod unread;
mod walk;

use std::collections::HashSet;

use super::{Code, Report, Setup, yaml};
use case::{FilterCheck, Order};
pub use file::EnvoyFile;
use manager::Manager;
use walk::{Context, FoundFilter, Located, Parts};

impl EnvoyFile {
    /// Adds the findings about the files to `report`. They are read as one configuration: a control plane keeps routes
    /// and listeners apart.
    pub fn check(files: &[Self], setup: &Setup, report: &mut Report) {
        if files.is_empty() {
            return;
        }
        let parts = Parts::of(files);
        parts.unread(files, report);
        parts.missing(files, report);
        for filters in parts.ext_authz.chunk_by(FoundFilter::shares_manager) {
            let Some(first) = filters.first() else { continue };
            let order = Order::of(first.context.manager, setup.client_ip.header());
            FilterCheck { filter: first.filter, context: first.context, order, setup }.trusted_proxies(report);
            parts.routes(filters, first.context, setup, report);
            for &FoundFilter { filter, context } in filters {
                let check = FilterCheck { filter, context, order, setup };
                check.enforced(report);
                check.failure_mode(report);
                check.service(report);
                check.client_address(report);
                check.metadata(report);
                check.caller_token(report);
                check.hidden_headers(report);
                check.response(report);
                check.timeout(report);
                check.cors_order(report);
            }
        }
    }
}

impl<'a> Parts<'a> {
    /// Checks the routes of the connection manager of these filters.
    fn routes(&self, filters: &[FoundFilter<'a>], context: Context<'a>, setup: &Setup, report: &mut Report) {
        let Context { file, manager, partial, .. } = context;
        let Some(manager) = manager.filter(|_| !partial) else {
            let entries = filters.iter().filter_map(|found| Some((found.context.file, found.context.entry?)));
            let disabled = entries.filter(|(_, entry)| entry.has_true("disabled"));
            return disabled.for_each(|(file, node)| unread::disabled_without_routes(Located { file, node }, report));
        };
        let manager = Located { file, node: manager };
        self.unread_routes(manager, report);
        let manager = Manager::new(manager, self.table_of(manager), filters);
        if manager.some_route_is_checked(report) {
            manager.escaped_slashes(report);
            manager.login_routes(&setup.credentials, report);
        }
    }

    fn missing(&self, files: &[EnvoyFile], report: &mut Report) {
        let code = Code::EnvoyExtAuthzMissing;
        report.mark_checked(code);
        let fix = "add envoy.filters.http.ext_authz in front of the router, as in envoy/envoy.yaml";
        if self.ext_authz.is_empty() && !self.may_be_elsewhere() {
            let names = files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(", ");
            return report.error(
                code,
                format!("{names}: there is no ext_authz filter, so Envoy never calls Sentinel"),
                fix,
            );
        }
        let found = self.ext_authz.iter().filter_map(|found| found.context.manager);
        let with_filter = found.chain(self.discovered.iter().filter_map(|(_, manager)| *manager));
        let with_filter: HashSet<*const yaml::Node> = with_filter.map(std::ptr::from_ref).collect();
        for manager in self.managers.iter().filter(|manager| !with_filter.contains(&std::ptr::from_ref(manager.node))) {
            let mut routes =
                self.table_of(*manager).into_iter().flat_map(|table| manager::routes(table.node)).peekable();
            // Nothing reaches an upstream through redirects to HTTPS.
            if routes.peek().is_some() && !routes.any(|(_, route)| manager::forwards(route)) {
                continue;
            }
            let seen = format!("{}: this connection manager has no ext_authz filter", manager.at());
            report.warning(code, format!("{seen}: its requests are not checked"), fix);
        }
    }

    /// Whether a part that was not read may have the filter.
    fn may_be_elsewhere(&self) -> bool {
        let only_routes = self.managers.is_empty() && !(self.tables.is_empty() && self.resources.is_empty());
        only_routes || !self.discovered.is_empty() || self.listeners_elsewhere.is_some()
    }
}

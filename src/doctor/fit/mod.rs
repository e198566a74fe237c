//! Compares an Envoy file with Sentinel's settings.
//!
//! Each check was shown to be necessary with a real Envoy; `envoy/envoy.yaml` gives the reason next to each field.
//! Parts that are not in the file are not guessed: a filter without its connection manager is checked by itself.

mod address;
mod case;
mod filter;
mod headers;
mod login;
mod matcher;
mod metadata;
mod routes;
mod walk;

use std::collections::{HashMap, HashSet, hash_map::Entry};

use super::{Code, Fault, Report, Setup, yaml};
use case::{FilterCheck, Order};
use walk::{Filters, FoundFilter};

/// A bootstrap file, a list of xDS resources, or an Istio EnvoyFilter, as YAML or JSON.
#[derive(Clone, Debug)]
pub struct EnvoyFile {
    name: String,
    documents: Vec<yaml::Node>,
}

impl EnvoyFile {
    /// Parses `text`. Findings call the file `name`.
    pub fn parse(name: String, text: &str) -> Result<Self, Fault> {
        Ok(Self { name, documents: yaml::parse(text)? })
    }

    /// Adds the findings about the file to `report`.
    pub fn check(&self, setup: &Setup, report: &mut Report) {
        let filters = Filters::of(&self.documents);
        self.check_missing(&filters, report);
        let mut orders: HashMap<Option<*const yaml::Node>, Order<'_>> = HashMap::new();
        for FoundFilter { filter, context } in filters.ext_authz {
            let (order, is_first) = match orders.entry(context.manager.map(std::ptr::from_ref)) {
                Entry::Occupied(known) => (*known.get(), false),
                Entry::Vacant(new) => (*new.insert(Order::of(context.manager, setup.client_ip.header())), true),
            };
            let check = FilterCheck { file: &self.name, filter, context, order, setup };
            if is_first {
                check.trusted_proxies(report);
                check.routes(report);
                check.login_routes(report);
            }
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

    fn check_missing(&self, filters: &Filters<'_>, report: &mut Report) {
        let code = Code::EnvoyExtAuthzMissing;
        report.mark_checked(code);
        let fix = "add envoy.filters.http.ext_authz in front of the router, as in envoy/envoy.yaml";
        if filters.ext_authz.is_empty() {
            let seen = format!("{}: there is no ext_authz filter, so Envoy never calls Sentinel", self.name);
            return report.error(code, seen, fix);
        }
        let with_filter = filters.ext_authz.iter().filter_map(|found| found.context.manager.map(std::ptr::from_ref));
        let with_filter: HashSet<*const yaml::Node> = with_filter.collect();
        for manager in filters.managers.iter().filter(|manager| !with_filter.contains(&std::ptr::from_ref(**manager))) {
            let seen = format!("{}:{}: this connection manager has no ext_authz filter", self.name, manager.line);
            report.warning(code, format!("{seen}: its requests are not checked"), fix);
        }
    }
}

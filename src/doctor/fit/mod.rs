//! Whether a file of Envoy's fits Sentinel's settings.
//!
//! Every check is one that a real Envoy was seen to need (`envoy/envoy.yaml` says why beside each field). What a file
//! leaves to others is not guessed: a filter without its connection manager is judged by what it says itself.

mod address;
mod case;
mod filter;
mod headers;
mod matcher;
mod metadata;
mod walk;

use std::collections::{HashMap, HashSet, hash_map::Entry};

use super::{Code, Fault, Report, Setup, yaml};
use case::{Case, Order};
use walk::{Site, Sites};

/// A bootstrap file, a list of xDS resources, or a patch of Istio's, as YAML or JSON.
#[derive(Clone, Debug)]
pub struct EnvoyFile {
    name: String,
    documents: Vec<yaml::Node>,
}

impl EnvoyFile {
    /// Reads `text`; `name` is how findings call it.
    pub fn parse(name: String, text: &str) -> Result<Self, Fault> {
        Ok(Self { name, documents: yaml::parse(text)? })
    }

    /// Adds to `report` what does not fit `setup`.
    pub fn examine(&self, setup: &Setup, report: &mut Report) {
        let sites = Sites::of(&self.documents);
        self.missing(&sites, report);
        let mut orders: HashMap<Option<*const yaml::Node>, Order<'_>> = HashMap::new();
        for Site { filter, around } in sites.filters {
            let (order, is_first) = match orders.entry(around.manager.map(std::ptr::from_ref)) {
                Entry::Occupied(known) => (*known.get(), false),
                Entry::Vacant(new) => (*new.insert(Order::of(around.manager, setup.client_ip.header())), true),
            };
            let case = Case { file: &self.name, filter, around, order, setup };
            if is_first {
                case.trusted(report);
            }
            case.enforced(report);
            case.failure_mode(report);
            case.service(report);
            case.addresses(report);
            case.metadata(report);
            case.caller_token(report);
            case.hidden_headers(report);
            case.answers(report);
            case.timeout(report);
            case.cors_order(report);
        }
    }

    fn missing(&self, sites: &Sites<'_>, report: &mut Report) {
        let code = Code::EnvoyExtAuthzMissing;
        report.looked_at(code);
        let fix = "add envoy.filters.http.ext_authz in front of the router, as in envoy/envoy.yaml";
        if sites.filters.is_empty() {
            let seen = format!("{}: there is no ext_authz filter, so nobody asks Sentinel", self.name);
            return report.error(code, seen, fix);
        }
        let asked = sites.filters.iter().filter_map(|site| site.around.manager.map(std::ptr::from_ref));
        let asked: HashSet<*const yaml::Node> = asked.collect();
        for manager in sites.managers.iter().filter(|manager| !asked.contains(&std::ptr::from_ref(**manager))) {
            let seen = format!("{}:{}: this connection manager has no ext_authz filter", self.name, manager.line);
            report.warning(code, format!("{seen}: what comes through it is not judged"), fix);
        }
    }
}

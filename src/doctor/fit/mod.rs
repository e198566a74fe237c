//! Whether a file of Envoy's fits Sentinel's settings.
//!
//! Every check is one that a real Envoy was seen to need (`envoy/envoy.yaml` says why beside each field). What a file
//! leaves to others is not guessed: a filter without its connection manager is judged by what it says itself.

mod address;
mod filter;
mod headers;
mod metadata;
mod walk;

use std::collections::{HashMap, HashSet, hash_map::Entry};

use super::{Code, Fault, Report, Setup, yaml};
use walk::{Around, Site, Sites, is_a};

/// A bootstrap file, a list of xDS resources, or a patch of Istio's, as YAML or JSON.
#[derive(Clone, Debug)]
pub struct EnvoyFile {
    name: String,
    documents: Vec<yaml::Node>,
}

/// One ext_authz filter and what it has to fit.
struct Case<'a> {
    file: &'a str,
    filter: &'a yaml::Node,
    around: Around<'a>,
    order: Order<'a>,
    setup: &'a Setup,
}

/// What matters of the order of a manager's filters: found once, however many of them ask.
#[derive(Clone, Copy, Default)]
struct Order<'a> {
    last_cors: Option<(usize, &'a yaml::Node)>,
    /// Of those that remove the header of `client_ip.header`.
    first_remover: Option<(usize, &'a yaml::Node)>,
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

impl Case<'_> {
    /// Where a reader finds it.
    fn at(&self, node: &yaml::Node) -> String {
        format!("{}:{}", self.file, node.line)
    }

    /// The field's place, or the filter's where the field is absent.
    fn at_field(&self, name: &str) -> String {
        self.at(self.filter.get(name).unwrap_or(self.filter))
    }

    fn cors_order(&self, report: &mut Report) {
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
    fn position(&self, manager: &yaml::Node) -> Option<usize> {
        manager.items("http_filters").element_offset(self.around.entry?)
    }
}

impl<'a> Order<'a> {
    fn of(manager: Option<&'a yaml::Node>, header: Option<&str>) -> Self {
        let filters = manager.map(|manager| manager.items("http_filters")).unwrap_or_default();
        let all = || filters.iter().enumerate();
        Self {
            last_cors: all().rfind(|(_, filter)| is_a(filter, "http.cors.v3.Cors")),
            first_remover: header.and_then(|name| all().find(|(_, filter)| address::removes(filter, name))),
        }
    }
}

//! Whether a file of Envoy's fits Sentinel's settings.
//!
//! Every check is one that a real Envoy was seen to need (`envoy/envoy.yaml` says why beside each field). What a file
//! leaves to others is not guessed: a filter without its connection manager is judged by what it says itself.

mod address;
mod filter;
mod headers;
mod metadata;
mod walk;

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
    setup: &'a Setup,
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
        for Site { filter, around } in sites.filters {
            let case = Case { file: &self.name, filter, around, setup };
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
        let asks = |manager: &yaml::Node| {
            sites.filters.iter().any(|site| site.around.manager.is_some_and(|around| std::ptr::eq(around, manager)))
        };
        for manager in sites.managers.iter().filter(|manager| !asks(manager)) {
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
        let filters = manager.items("http_filters");
        let ours = self.position(filters);
        let late = filters
            .iter()
            .enumerate()
            .find(|(at, entry)| is_a(entry, "http.cors.v3.Cors") && ours.is_some_and(|ours| *at > ours));
        if let Some((_, cors)) = late {
            let seen = format!(
                "{}: the CORS filter is behind ext_authz; a preflight carries no key and is denied",
                self.at(cors)
            );
            report.warning(code, seen, "move envoy.filters.http.cors in front of envoy.filters.http.ext_authz");
        }
    }

    /// Which of the manager's filters this one is.
    fn position(&self, filters: &[yaml::Node]) -> Option<usize> {
        let entry = self.around.entry?;
        filters.iter().position(|filter| std::ptr::eq(filter, entry))
    }
}

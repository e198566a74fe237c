//! What the files do not hold, or hold in a form that doctor does not read. It is reported, so that the absence of
//! findings about it does not look like a confirmation.

use super::{
    file::EnvoyFile,
    manager::{MAX_NAMED, has_other_routes, printable},
    walk::{Located, Parts, rds_name},
};
use crate::doctor::{Code, Report, yaml::Node};

const DUMP: &str = "pass what Envoy received: the output of `egctl config envoy-proxy all -o json`, of `istioctl proxy-config all POD \
                    -o json`, or of /config_dump of Envoy's admin address";

impl Parts<'_> {
    /// Adds the findings about parts that were not read.
    pub(super) fn unread(&self, files: &[EnvoyFile], report: &mut Report) {
        report.mark_checked(Code::EnvoyNotRead);
        files.iter().for_each(|file| self.resources_of(&file.name, report));
        for (entry, _) in &self.discovered {
            warn(
                report,
                entry,
                "this ext_authz filter comes from a server (config_discovery): its settings were not read",
                DUMP,
            );
        }
        if let Some(bootstrap) = self.listeners_elsewhere.filter(|_| self.ext_authz.is_empty()) {
            warn(report, &bootstrap, "listeners come from elsewhere (lds_config): they were not read", DUMP);
        }
        let tables = self.tables.values().flatten();
        if self.managers.is_empty()
            && self.ext_authz.is_empty()
            && let Some(first) = tables.min_by_key(|table| (table.file, table.node.line))
        {
            let seen = "no file has the connection manager of this route configuration: its filters were not read";
            warn(report, first, seen, "pass the file with the listeners too");
        }
    }

    /// Adds the findings about the routes of a connection manager with ext_authz filters.
    pub(super) fn unread_routes(&self, manager: Located<'_>, report: &mut Report) {
        match (self.table_of(manager), rds_name(manager.node)) {
            (None, Some(name)) => {
                let seen = format!("its routes (route configuration {}) were not read", printable(name));
                warn(report, &manager, &seen, "pass the file with this route configuration too");
            }
            (None, None) if manager.node.get("scoped_routes").is_some() => {
                warn(report, &manager, "its routes (scoped_routes) were not read", DUMP);
            }
            (Some(table), _) if has_other_routes(table.node) => {
                let seen = "the routes that come from a server (vhds) or stand in a matcher were not read";
                warn(
                    report,
                    &table,
                    seen,
                    "check these routes yourself: each must enable ext_authz, or not disable it",
                );
            }
            _ => {}
        }
    }

    /// One finding for each file: a repository of resources may have hundreds.
    fn resources_of(&self, file: &str, report: &mut Report) {
        let all: Vec<_> = self.resources.iter().filter(|resource| resource.file == file).collect();
        let Some(first) = all.first() else { return };
        let kind = |node: &Node| printable(node.text_of("kind").unwrap_or_default());
        let named = all.iter().take(MAX_NAMED).map(|it| format!("{} (line {})", kind(it.node), it.node.line));
        let named = named.collect::<Vec<_>>().join(", ");
        let more = if all.len() > MAX_NAMED { format!(" and {} more", all.len() - MAX_NAMED) } else { String::new() };
        let seen =
            format!("Kubernetes resources, from which a control plane makes Envoy's configuration: {named}{more}");
        warn(report, first, &format!("not read: {seen}"), DUMP);
    }
}

/// The finding about a filter that is disabled where no connection manager, and so no route, is known.
pub(super) fn disabled_without_routes(entry: Located<'_>, report: &mut Report) {
    let seen = "the filter is disabled, and the routes that may enable it were not read";
    warn(
        report,
        &entry,
        seen,
        "remove `disabled: true`, or pass what Envoy received, from /config_dump of its admin address",
    );
}

fn warn(report: &mut Report, at: &Located<'_>, seen: &str, fix: &str) {
    report.warning(Code::EnvoyNotRead, format!("{}: {seen}", at.at()), fix);
}
